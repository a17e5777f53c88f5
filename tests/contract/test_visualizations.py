"""One contract for every visualization that discovery finds: built-in ones and the example plugin."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from picasso.errors import Cancelled, InvalidSetting
from picasso.runs.artifacts import Artifact, pack, unpack
from picasso.visualizations.base import Input
from picasso.visualizations.discovery import discover
from picasso.visualizations.forms import form_fields

PLUGINS = Path(__file__).resolve().parents[2] / "examples" / "plugin"
REGISTRY = discover([PLUGINS])
MANY_CALLS, SOME_CALLS = 300, 100  # of the model for one picture: a suite over everything has to be quick
SIZES = [("RGB", 31, 20), ("L", 16, 12), ("RGB", 1, 1)]


@pytest.fixture(params=REGISTRY.visualizations.values(), ids=REGISTRY.visualizations)
def visualization(request):
    return request.param


@pytest.fixture(params=["tiny_model", "tiny_grey_model"])
def model(request):
    return request.getfixturevalue(request.param)


def pictures(count=3):
    noise = np.random.default_rng(5)
    shapes = [(height, width) if mode == "L" else (height, width, 3) for mode, width, height in SIZES]
    arrays = [noise.integers(0, 256, shape, dtype=np.uint8) for shape in shapes[:count]]
    return [Input(f"picture {index}.png", Image.fromarray(array)) for index, array in enumerate(arrays)]


def costs(visualization, info):
    """The settings of which less needs fewer model calls, where that is many by default: each with less."""
    calls = visualization.model_calls(visualization.parse_settings({}, info), info) or 0
    for field in form_fields(visualization, {}, info):
        least = {"number": field.low, "several": field.options[:1]}.get(field.kind)
        if calls > MANY_CALLS and least is not None:
            fewer = visualization.model_calls(visualization.parse_settings({field.name: least}, info), info)
            if fewer < calls:
                yield field.name, SOME_CALLS if field.kind == "number" and field.value > SOME_CALLS else least


def variants(visualization, info):
    """The defaults, and the defaults with one setting at each end of its range or at each of its choices.

    Where several may be chosen, the first and the first two: what each of them does is for their own tests.
    """
    yield {}
    costly = {name for name, _ in costs(visualization, info)}
    for field in form_fields(visualization, {}, info):
        high = min(field.high or 0, MANY_CALLS) if field.name in costly else field.high
        several = (field.options[:1], field.options[:2])
        values = {"choice": field.options, "several": several, "switch": (True, False), "number": (field.low, high)}
        for value in values.get(field.kind, ()):
            if value is not None:
                yield {field.name: value}


def parsed(visualization, info, values):
    """Settings that are the defaults but for `values`, and for what would make the run long."""
    return visualization.parse_settings(dict(costs(visualization, info)) | values, info)


def run(visualization, model, folder, inputs, values=None, report=None, seed=1):
    """As a worker does it."""
    settings = parsed(visualization, model.info, values or {})
    random.seed(seed)
    np.random.seed(seed)
    given = None if visualization.settings is None else settings
    return visualization(model, report).make_visualization(inputs, folder, given)


def arrays(result, key=""):
    """All arrays anywhere in a result, each with the key it lies under."""
    if isinstance(result, np.ndarray):
        yield key, result
    elif isinstance(result, dict):
        for name, item in result.items():
            yield from arrays(item, name)
    elif isinstance(result, list | tuple):
        for item in result:
            yield from arrays(item, key)


def artifacts(content):
    if isinstance(content, Artifact):
        yield content
    for item in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from artifacts(item)


def weights(model):
    return [weight.copy() for weight in model.network.get_weights()]


def assert_same(before, after):
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_nothing_is_broken():
    assert REGISTRY.broken == []
    assert "hidden-halves" in REGISTRY.visualizations


def test_it_describes_itself(visualization):
    assert visualization.template.is_file()
    assert visualization.description.endswith(".")
    assert visualization.reference_link.startswith("https://")
    assert visualization.title[0].isupper()
    assert visualization.version
    assert all(field.help for field in form_fields(visualization, {}))


def test_settings_that_some_choices_need_name_choices_there_are(visualization):
    parts = visualization.settings_model.model_json_schema().get("properties", {})
    for part in parts.values():
        for other, choices in part.get("only", {}).items():
            assert set(choices) < set(parts[other]["enum"])


def test_it_says_what_a_model_lacks(visualization, tiny_model):
    assert visualization.unsupported_reason(tiny_model.info) is None
    for need in visualization.needs:
        info = replace(tiny_model.info, capabilities=tiny_model.info.capabilities - {need})
        assert visualization.unsupported_reason(info).startswith("Needs ")


@pytest.mark.parametrize(
    "model", ["tiny_model", pytest.param("tiny_grey_model", marks=pytest.mark.slow)], indirect=True
)
def test_results(visualization, model, tmp_path):
    """One per input whatever the settings: finite, float32, maps as large as the model's input."""
    inputs = pictures()
    for values in variants(visualization, model.info):
        results = run(visualization, model, tmp_path, inputs, values)
        assert len(results) == len(inputs)
        for key, array in arrays(list(results)):
            assert np.isfinite(array).all(), (values, key)
            assert array.dtype == np.float32 or array.dtype.kind in "iub", (values, key)
            if key == "map":
                assert array.shape == model.info.input_shape[:2], values


def test_a_run_can_be_kept_and_repeated_and_changes_nothing(visualization, model, tmp_path):
    inputs, before = pictures(), weights(model)
    first, second = (run(visualization, model, tmp_path, inputs) for _ in range(2))
    assert [pack(result, "") for result in first] == [pack(result, "") for result in second]
    assert_same([np.asarray(item.data) for item in pictures()], [np.asarray(item.data) for item in inputs])
    assert_same(before, weights(model))
    for index, result in enumerate(first):
        packed = pack(result, str(index))
        text = json.dumps(packed.content, allow_nan=False)
        found = list(artifacts(unpack(json.loads(text), lambda name: f"/{name}", packed.files.__getitem__)))
        assert {artifact.url for artifact in found} == {f"/{name}" for name in packed.files}
        kept = [artifact.load() for artifact in found if artifact.kind == "array"]
        assert_same([array for _, array in arrays(result)], kept)
        for artifact in found:
            assert artifact.kind in ("array", "image")
            assert str(artifact).endswith(".npy" if artifact.kind == "array" else ".png")


def test_progress_never_goes_back_and_ends_at_one(visualization, model, tmp_path):
    seen, inputs = [], pictures()

    def report(fraction, message, partial):
        seen.append(fraction)
        assert partial is None or len(partial) <= len(inputs)
        for index, result in enumerate(partial or ()):
            json.dumps(pack(result, str(index)).content, allow_nan=False)

    run(visualization, model, tmp_path, inputs, report=report)
    assert all(0 <= before <= after <= 1 for before, after in pairwise([0, *seen]))
    assert seen == [] or seen[-1] == pytest.approx(1)  # what tells nothing is done when it ends


def test_cancelling_stops_it_and_leaves_the_model_usable(visualization, model, tmp_path, monkeypatch):
    inputs, before = pictures(), weights(model)
    asked = []
    monkeypatch.setattr(model, "checkpoint", lambda: asked.append(None))
    expected = run(visualization, model, tmp_path, inputs)
    checkpoints = len(asked)
    assert checkpoints >= 1
    for allowed in {0, checkpoints // 2, checkpoints - 1}:
        countdown = iter(range(allowed))

        def checkpoint(left=countdown):
            if next(left, None) is None:
                raise Cancelled("The run was cancelled.")

        monkeypatch.setattr(model, "checkpoint", checkpoint)
        with pytest.raises(Cancelled):
            run(visualization, model, tmp_path, inputs)
    monkeypatch.setattr(model, "checkpoint", lambda: None)
    assert_same(before, weights(model))
    again = run(visualization, model, tmp_path, inputs)
    assert [pack(result, "") for result in again] == [pack(result, "") for result in expected]


def test_one_that_has_enough_returns_what_it_has(visualization, tiny_model, tmp_path, monkeypatch):
    """Of a slow model, so that no batch is large: it is done with the first picture at the latest."""
    monkeypatch.setattr(tiny_model, "info", replace(tiny_model.info, seconds_per_image=0.5))
    monkeypatch.setattr("picasso.models.base.GRADIENTS", (1, 1))
    inputs, settings = pictures(), parsed(visualization, tiny_model.info, {})
    told, before = [], tiny_model.calls
    made = visualization(tiny_model, lambda fraction, *_: told.append(fraction), lambda: True)
    results = made.make_visualization(inputs, tmp_path, None if visualization.settings is None else settings)
    assert 1 <= len(results) <= len(inputs)
    assert made.stopped == visualization.stoppable
    if visualization.stoppable:
        others = len(inputs) - 1  # whose scores are asked for too
        assert told[-1] <= 1 / len(inputs)
        assert tiny_model.calls - before - others <= visualization.model_calls(settings, tiny_model.info)
    for index, result in enumerate(results):
        json.dumps(pack(result, str(index)).content, allow_nan=False)


def test_the_cost_that_it_says_is_the_cost_that_it_has(visualization, tiny_model, tmp_path):
    for values in variants(visualization, tiny_model.info):
        settings = parsed(visualization, tiny_model.info, values)
        said = visualization.model_calls(settings, tiny_model.info)
        if said is None:
            continue
        for count in (2,) if values else (1, 2):
            before = tiny_model.calls
            run(visualization, tiny_model, tmp_path, pictures(count), values)
            calls = tiny_model.calls - before
            assert calls <= said * count if visualization.stops_early(settings) else calls == said * count, values


def outside(part):
    """Values just outside a setting's declaration (a part of its JSON schema)."""
    whole = part.get("type") == "integer"
    if "minimum" in part:
        yield part["minimum"] - 1 if whole else np.nextafter(part["minimum"], -np.inf)
    if "maximum" in part:
        yield part["maximum"] + 1 if whole else np.nextafter(part["maximum"], np.inf)
    yield from (part[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in part)
    if part.get("type") in ("integer", "number", "boolean", "array") or "enum" in part:
        yield from ("something else", "", None)
    if whole:
        yield 1.5


def test_every_settings_constraint_is_enforced(visualization, tiny_model):
    for name, part in visualization.settings_model.model_json_schema().get("properties", {}).items():
        wrong = list(outside(part))
        assert wrong or part["type"] == "string", name
        for value in wrong:
            for text in (value, str(value)):
                with pytest.raises(InvalidSetting, match=f"'{name}' should be ") as caught:
                    visualization.parse_settings({name: text}, tiny_model.info)
                assert caught.value.field == name


def test_defaults_and_ends_are_valid(visualization, model):
    visualization.parse_settings({})
    for values in variants(visualization, model.info):
        as_text = {name: ",".join(v) if isinstance(v, tuple) else str(v) for name, v in values.items()}
        assert visualization.parse_settings(values, model.info) == visualization.parse_settings(as_text, model.info)


def test_unknown_settings_are_refused(visualization):
    with pytest.raises(InvalidSetting, match="There is no setting 'nonsense'") as caught:
        visualization.parse_settings({"nonsense": 1})
    assert caught.value.field == "nonsense"
