"""Settings at the edges of what is declared, and runs that would be too much work."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor, picture

from picasso.config import Config
from picasso.errors import InvalidSetting, OverBudget
from picasso.models.info import ModelInfo
from picasso.runs.budget import check_budget
from picasso.runs.roster import Status
from picasso.runs.run import State
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.discovery import discover
from picasso.visualizations.forms import settings_schema

REGISTRY = discover(frameworks=False).visualizations
NEVER = [None, [], {}, [[1]], "", "\0", "<img src=x>", "1e999", "9" * 5000, "--1", "0x10", 10**400, -(10**400), 1e300]
EDGE = 2**-20  # beside the limit of a number that need not be whole


def neighbours(rules: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Values around every constraint of a field's schema, and whether each is allowed."""
    if choices := rules.get("enum") or ([rules["const"]] if "const" in rules else []):
        yield from ((choice, True) for choice in choices)
        yield from ((f"{choice}x", False) for choice in choices)
    elif rules.get("type") in ("integer", "number"):
        step = rules.get("multipleOf", 1) if rules["type"] == "integer" else EDGE
        yield from _around(rules, "minimum", step, 1, allowed=True)
        yield from _around(rules, "maximum", step, -1, allowed=True)
        yield from _around(rules, "exclusiveMinimum", step, 1, allowed=False)
        yield from _around(rules, "exclusiveMaximum", step, -1, allowed=False)
        yield from ((value, False) for value in ("two", math.nan, math.inf, -math.inf))
        if rules["type"] == "integer":
            yield 0.5 + rules.get("minimum", rules.get("default", 0)), False
    elif rules.get("type") == "boolean":
        yield from ((True, True), (False, True), ("perhaps", False), (2, False))
    elif "items" in rules:
        options = rules["items"]["enum"]
        yield from ((options, True), (options[:1], True), ([], False), ([*options, "none of them"], False))


def _around(rules: dict[str, Any], name: str, step: float, inward: int, *, allowed: bool) -> Iterator[tuple[Any, bool]]:
    if name in rules:
        limit = rules[name]
        yield limit, allowed
        yield limit - inward * step, False
        yield limit + inward * step, True


def fields() -> Iterator[Any]:
    for visualization in REGISTRY.values():
        for field, rules in settings_schema(visualization)["properties"].items():
            yield pytest.param(visualization, field, rules, id=f"{visualization.name}.{field}")


@pytest.mark.parametrize(("visualization", "field", "rules"), list(fields()))
def test_every_constraint_holds_at_its_edge(
    visualization: type[BaseVisualization], field: str, rules: dict[str, Any]
) -> None:
    for value, allowed in neighbours(rules):
        for strict, given in ((True, value), (False, as_text(value))):  # as programs and forms do
            error = refusal(visualization, field, given, strict=strict)
            if allowed:  # another setting may forbid it, but then it is that which is named
                assert error is None or error.field != field, (given, error.message)
            else:
                assert error is not None, given
                assert re.search(r"got .*\.$", error.message, re.DOTALL), error.message
    for value in NEVER:
        for strict in (True, False):
            error = refusal(visualization, field, value, strict=strict)
            assert error is None or len(error.message) < 500


def as_text(value: Any) -> str:
    """A value as a form sends it."""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def refusal(visualization: type[BaseVisualization], field: str, value: Any, *, strict: bool) -> InvalidSetting | None:
    """Why a value is refused; one that is taken can be kept as JSON."""
    try:
        found = visualization.parse_settings({field: value}, strict=strict)
    except InvalidSetting as error:
        return error
    json.dumps(found.model_dump(mode="json"), allow_nan=False)
    return None


@pytest.mark.slow
def test_the_edges_hold_for_forms_and_programs(visitor: Visitor) -> None:
    """One field of each kind through the doors; what is refused starts nothing."""
    image = visitor.add()
    before = len(visitor.services.store.runs(visitor.session))
    engine: Any = visitor.services.engine
    engine.waiting = True
    for name, field in [("occlusion", "window"), ("saliency", "noise"), ("occlusion", "fill"), ("trust", "methods")]:
        rules = settings_schema(REGISTRY[name])["properties"][field]
        for value, allowed in neighbours(rules):
            form = visitor.post("/runs", {"visualization": name, "image": image, field: as_text(value)})
            body = json.dumps({"visualization": name, "images": [image], "settings": {field: value}})
            asked = visitor.post("/api/v1/runs", body, content_type="application/json")
            assert form.status_code in ((303, 422) if allowed else (422,)), (name, field, value)
            assert asked.status_code in ((202, 422) if allowed else (400, 422)), (name, field, value)
    engine.waiting = False
    for run in visitor.services.store.runs(visitor.session):
        engine.end(run, State.CANCELLED)
    assert len(visitor.services.store.runs(visitor.session)) > before
    visitor.post("/start-over")


# Too much work


def info(size: int, seconds: float = 0.005) -> ModelInfo:
    return ModelInfo(
        name="Large", framework="keras", file="large.keras", modified=0.0, fingerprint="ab", functions="cd",
        input_shape=(size, size, 3), labels=("a", "b"), score_kind="probability",
        capabilities=frozenset({"predict"}), parameters=1, versions=(), seconds_per_image=seconds,
    )  # fmt: skip


def test_the_defaults_of_every_visualization_are_affordable() -> None:
    for visualization in REGISTRY.values():
        known = info(224)
        try:
            settings = visualization.parse_settings({}, known)
        except InvalidSetting:  # a region has to be chosen, or a layer of the model
            continue
        check_budget(Config(), visualization, settings, known, 1)


def test_absurd_work_is_refused_with_what_it_would_take() -> None:
    occlusion = REGISTRY["occlusion"]
    absurd = occlusion.parse_settings({"window": 1, "stride": 1}, info(224))
    with pytest.raises(OverBudget, match=r"50,17\d model calls for each picture, about 25\d seconds in all"):
        check_budget(Config(), occlusion, absurd, info(224), 1)
    check_budget(Config(MAX_MODEL_CALLS=60_000), occlusion, absurd, info(224), 1)
    usual = occlusion.parse_settings({"window": 32, "stride": 8}, info(224))
    with pytest.raises(OverBudget, match=r"about [\d,]+ seconds in all; a run may take 3,600 seconds"):
        check_budget(Config(), occlusion, usual, info(224, 1.0), 100)


def test_every_door_refuses_it_before_a_single_model_call(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(MAX_MODEL_CALLS=700)
    engine = visitor.services.engine
    assert isinstance(engine, InProcessEngine)
    image = visitor.add()
    assert engine.host is not None
    with engine.host.shelf.lend("", lambda: None) as model:
        before = model.calls
        absurd = {"window": 1, "stride": 1}
        text = {name: str(value) for name, value in absurd.items()}
        page = visitor.post("/runs", {"visualization": "occlusion", "image": image, **text})
        compared = visitor.post(
            "/compare", {"visualization": "occlusion", "image": image, "setting": "occlusion.window", "values": "1,28"}
        )
        asked = visitor.post("/api/v1/runs", json={"visualization": "occlusion", "images": [image], "settings": absurd})
        upload = {"file": (BytesIO(picture()), "a.png"), "visualization": "occlusion", **text}
        explained = visitor.post("/api/v1/explain", upload)
        for response in (page, compared, asked, explained):
            assert response.status_code == 422
            assert "785 model calls for each picture" in response.get_data(as_text=True)
        assert asked.get_json()["error"]["code"] == "over_budget"
        assert visitor.services.store.runs(visitor.session) == []
        assert model.calls == before


def test_a_run_that_was_asked_for_while_the_model_loaded_is_refused_by_the_worker(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(MAX_MODEL_CALLS=700)
    engine: Any = visitor.services.engine
    status, engine.status = engine.status, lambda reference=None: Status("loading")
    engine.waiting = True
    run = visitor.start("occlusion", visitor.add(), window="1", stride="1")
    assert run.state is State.QUEUED
    engine.status, engine.waiting = status, False
    with engine.host.shelf.lend("", lambda: None) as model:
        before = model.calls
        engine.wake()
        ended = visitor.run(run.id)
        assert (ended.state, ended.error_code, model.calls) == (State.FAILED, "over_budget", before)
        again = visitor.post(f"/runs/{run.id}/again")  # refused before there is a run
        assert again.status_code == 422
        assert "785 model calls" in str(ended.error)
        assert "785 model calls" in again.get_data(as_text=True)
        assert (visitor.services.store.runs(visitor.session), model.calls) == ([ended], before)
