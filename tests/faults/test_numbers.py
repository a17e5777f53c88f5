"""A model that gives NaN or infinity: for one picture of several, for all; wherever a visualization asks it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import ExaminingClient, InProcessEngine, Visitor
from long_forms import everything

from picasso.app import create_app
from picasso.cli import main
from picasso.config import Config
from picasso.errors import ModelError
from picasso.models.decoding import own_decode
from picasso.testing import TinyModel
from picasso.visualizations.discovery import discover

WHITE = 0.99  # pictures whose mean is above this are those that the model has no numbers for
FINITE = "NaN or infinite"
ASKED = ("_scores", "_gradients", "_activations", "_layer_gradients", "_guided_gradients")
SMALL: dict[str, dict[str, Any]] = {
    "occlusion": {"window": 4, "stride": 4},
    "random-masks": {"masks": 40},
    "trust": {"steps": 10, "maps": 1, "methods": ["gradient"]},
}


class Broken(TinyModel):
    """A tiny model that gives `value` for white pictures where `where` is asked."""

    where, value = "_scores", np.nan

    def __init__(self) -> None:
        super().__init__()
        for name in ASKED:
            setattr(self, name, self.asked(name, getattr(self, name)))

    def asked(self, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        """A function of the model: what comes of NaN within it is its own affair, and no warning."""

        def answer(x: Any, *args: Any) -> Any:
            with np.errstate(all="ignore"):
                found, white = own(x, *args), x.mean(axis=(1, 2, 3)) > WHITE
            for values in found if isinstance(found, tuple) else (found,):
                if name == self.where and white.any():
                    values[white] = self.value
            return found

        return answer


def picture(level: int) -> bytes:
    """A PNG of the model's size: 255 is the white one, others have some noise."""
    noise = np.random.default_rng(level).integers(0, 60, (12, 16, 3), np.uint8)
    stream = BytesIO()
    pixels = np.full_like(noise, 255) if level == 255 else noise + np.uint8(level)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application with an engine of the test's process."""
    engine = InProcessEngine()
    made = create_app(Config(DATA_DIR=tmp_path_factory.mktemp("numbers")), engine)
    made.test_client_class = ExaminingClient
    return made


def visitor_of(app: Any, model: TinyModel) -> Visitor:
    """A visitor, with that model open."""
    engine = app.extensions["picasso"].engine
    engine.begin(app)
    engine.open(model)
    return Visitor(app)


def strict(text: bytes) -> Any:
    """JSON without NaN."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} in JSON")

    return json.loads(text, parse_constant=refuse)


def broken_at(where: str, value: float) -> TinyModel:
    """A model that is broken there."""
    return type("Broken", (Broken,), {"where": where, "value": value})()


CASES = [
    (visualization, where, value)
    for visualization in ("class-probabilities", "occlusion", "saliency", "class-activation", "random-masks",
                          "feature-maps", "trust", "what-if")
    for where in ASKED
    for value in (np.nan, np.inf, -np.inf)
]  # fmt: skip
SAMPLE = [case for case in CASES if case[1:] == ("_scores", np.nan) or (case[1] == "_gradients" and case[2] == np.inf)]


def test_every_visualization_is_tried() -> None:
    assert {case[0] for case in CASES} == set(discover([]).visualizations)


@pytest.mark.parametrize(("visualization", "where", "value"), CASES if everything() else SAMPLE)
def test_a_picture_without_numbers_costs_the_others_nothing(
    app: Any, visualization: str, where: str, value: float
) -> None:
    visitor = visitor_of(app, broken_at(where, value))
    visitor.upload(("a.png", picture(10)), ("white.png", picture(255)), ("b.png", picture(90)))
    images = [image.id for image in visitor.services.store.images(visitor.session)]
    run = visitor.start(visualization, *images, **SMALL.get(visualization, {}))
    assert run.state == "done", run.error
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    page = visitor.page(f"/runs/{run.id}/")
    shown = strict(visitor.get(f"/api/v1/runs/{run.id}").data)
    if not manifest["failed"]:  # it does not ask the model there
        assert FINITE not in page.text
        return
    assert list(manifest["failed"]) == [images[1]]
    assert "white.png" in page.text
    assert FINITE in page.text
    assert [one["error"] is None for one in shown["results"]] == [True, False, True]
    assert "white.png" in shown["results"][1]["error"]["message"]
    assert shown["results"][1]["content"] is None
    assert [bool(one["artifacts"]) for one in shown["results"]] == [True, False, True]
    for result in shown["results"]:
        for artifact in result["artifacts"]:
            for address in filter(None, (artifact["url"], artifact["drawn"])):
                assert visitor.get(address).status_code == 200
    for address in (f"/api/v1/runs/{run.id}/bundle.zip", f"/runs/{run.id}/?range=own", "/runs"):
        assert visitor.get(address).status_code == 200
    if visitor.services.registry.get(visualization).comparable:
        other = visitor.start("class-probabilities", images[0], images[2])
        compared = visitor.page(f"/compare?run={run.id}&run={other.id}&order=answers")
        assert "cannot be explained" in compared.text
        assert visitor.get(f"/compare/state?run={run.id}&run={other.id}").status_code == 200
    assert visitor.get(f"/runs/{run.id}/maps/1/0/map.npy").status_code == 404


def test_pictures_none_of_which_has_numbers(app: Any) -> None:
    visitor = visitor_of(app, broken_at("_scores", np.nan))
    visitor.upload(("white.png", picture(255)), ("snow.png", picture(255)))
    images = [image.id for image in visitor.services.store.images(visitor.session)]
    for asked in (images, images[:1]):
        run = visitor.start("class-probabilities", *asked)
        assert (run.state, run.error_code) == ("failed", "not_finite")
        assert run.error is not None
        assert run.error.startswith("\u201cwhite.png\u201d cannot be explained: Tiny gave scores that are NaN")
        assert "white.png" in visitor.page(f"/runs/{run.id}/").text
    answer = visitor.client.post(
        "/api/v1/explain",
        data={"file": (BytesIO(picture(255)), "white.png"), "visualization": "class-probabilities"},
    )
    assert (answer.status_code, strict(answer.data)["error"]["code"]) == (422, "not_finite")
    asked_by_hand = visitor.client.post(f"/ask/{images[0]}/answer", json={"region": "0,0,4,4", "what": "hide"})
    assert asked_by_hand.status_code == 422
    assert FINITE in strict(asked_by_hand.data)["error"]["message"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_decode_function_that_gives_no_numbers_is_named(wrong: float) -> None:
    with pytest.raises(ModelError, match=r"my:decode failed.*NaN or infinite"):
        own_decode(lambda scores: [[{"index": 0, "label": "a", "score": wrong}]], "my:decode", np.zeros((1, 2)), 1)


def test_the_command_line_names_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, level in (("a", 10), ("white", 255), ("b", 90)):
        (photos / f"{name}.png").write_bytes(picture(level))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("picasso.models.opening.open_model", lambda _config: broken_at("_scores", np.nan))
    command = ["explain", str(photos), "-v", "class-probabilities", "--json", "--out", "results"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3, done.output
    assert "1 image was not explained" in done.stderr
    assert "white.png\u201d cannot be explained: Tiny gave scores that are NaN" in done.stderr
    lines = [strict(line.encode()) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines if "error" in line] == ["white.png"]
    assert {path.parent.name for path in (tmp_path / "results").rglob("result.json")} == {"a.png", "b.png"}
