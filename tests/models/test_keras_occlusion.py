"""When a Keras model's occlusion is computed on its layer graph, and that it is the same from outside."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from picasso.attribution.occlusion import corners as all_corners
from picasso.config import Config
from picasso.errors import Cancelled, ModelError, NotSupported
from picasso.models.base import hide
from picasso.models.incremental import rounding
from picasso.models.incremental.choosing import quicker
from picasso.models.incremental.folding import fold
from picasso.models.incremental.reading import read
from picasso.models.info import usual_window
from picasso.models.keras_flat import flatten
from picasso.models.opening import open_model
from picasso.models.windows import Windows

SHAPE = (20, 24, 3)
WINDOW = (5, 4)
CORNERS = np.stack(np.meshgrid([-2, 4, 9, 17], [-1, 8, 21], indexing="ij"), -1).reshape(-1, 2)
SLOW = 10.0  # seconds for an image, as if the model were a large one


def network(**last):
    image = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, activation="tanh")(image)
    return keras.Model(
        image, layers.Dense(**{"units": 3, "activation": "softmax"} | last)(layers.Flatten(name="flat")(x))
    )


def opened(folder, model):
    model.save(folder / "model.keras")
    found = open_model(Config(MODEL_PATH=folder / "model.keras", DATA_DIR=folder))
    found.info = replace(found.info, seconds_per_image=SLOW)
    found.warm_up()
    return found


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module", params=["softmax", pytest.param("sigmoid", marks=pytest.mark.slow)])
def model(request, tmp_path_factory):
    """With a preview, as if this processor were quick in bfloat16."""
    last = {"units": 1, "activation": "sigmoid"} if request.param == "sigmoid" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "WORTHWHILE", 0)
        return opened(tmp_path_factory.mktemp(request.param), network(**last))


@pytest.mark.parametrize("logits", [False, True])
def test_scores_are_those_of_the_dense_way(model, logits):
    x, fill = noise((1, *SHAPE)), noise(SHAPE, 1)
    scores = model.occlude(x, CORNERS, WINDOW, fill, logits=logits)
    expected = model.predict(hide(x, CORNERS, WINDOW, fill), logits=logits)
    assert model._occluder is not None
    np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-5)
    assert np.ptp(scores, axis=0).max() > 1e-3


def test_windows_are_counted_and_can_be_cancelled(model):
    x, calls, asked = noise((1, *SHAPE)), model.calls, []
    with model.watched(lambda: asked.append(1)):
        model.occlude(x, CORNERS, WINDOW, x[0])
    assert model.calls == calls + len(CORNERS)
    assert asked

    def cancel():
        raise Cancelled("enough")

    with model.watched(cancel), pytest.raises(Cancelled):
        model.occlude(x, CORNERS, WINDOW, x[0])


def test_what_it_costs_is_known_before(model):
    plan = model.occlusion_plan(CORNERS, (2, 2))
    assert plan.positions == len(CORNERS)
    assert 0 < plan.share < 1
    assert plan.whole_from == "flat"
    assert 0 < plan.seconds < SLOW


def test_pages_are_told_what_it_costs(model):
    known = model.info.occlusion
    assert [one.window for one in known] == sorted({one.window for one in known})
    assert known[-1].window == 24
    for one in (known[0], known[1]):
        assert one == model.info.occlusion_cost(one.window)
        assert 0 < one.share < 1
        assert 0 < one.seconds < 1
        assert one.whole_from == "flat"
        assert one.begin >= 0
    usual, side = model.info.usual_occlusion, usual_window(SHAPE)
    plan = model.occlusion_plan(all_corners(SHAPE[:2], (side, side), 1), (side, side))
    assert usual.share == pytest.approx(plan.share, rel=0.1)
    assert usual.seconds == pytest.approx(plan.seconds / plan.positions, rel=0.1)
    first, second = known[:2]
    between = replace(model.info, occlusion=(first, replace(second, window=first.window + 4)))
    assert between.occlusion_cost(first.window + 1).share == pytest.approx(0.75 * first.share + 0.25 * second.share)
    assert between.occlusion_cost(500).seconds == second.seconds
    assert json.loads(json.dumps(model.info.as_dict()))["occlusion"][0]["whole_from"] == "flat"
    assert pickle.loads(pickle.dumps(model.info)) == model.info


def test_parts_of_two_images_may_alternate(model):
    images, fill = noise((2, *SHAPE)), noise(SHAPE, 1)
    found = np.full((2, len(CORNERS), model.info.classes), np.nan, np.float32)
    parts = [model._occluder.occlude_in_parts(Windows(x[None], CORNERS, WINDOW, fill), most=4) for x in images]
    for both in zip(*parts, strict=True):
        for scores, (windows, some) in zip(found, both, strict=True):
            scores[windows] = model._sides(some, logits=False)
    for x, scores in zip(images, found, strict=True):
        np.testing.assert_allclose(scores, model.predict(hide(x[None], CORNERS, WINDOW, fill)), rtol=0, atol=2e-5)


def test_stopped_it_gives_all_that_it_has_begun(model):
    begun, given = [], []
    windows = Windows(noise((1, *SHAPE)), CORNERS, WINDOW, noise(SHAPE, 1))
    parts = model._occluder.occlude_in_parts(windows, most=2, checkpoint=begun.append, enough=lambda: len(given) > 0)
    for numbers, _ in parts:
        given.append(len(numbers))
    assert given == begun
    assert sum(given) < len(CORNERS)


@pytest.mark.parametrize("logits", [False, True])
def test_a_preview_has_three_digits(model, logits):
    x, fill = noise((1, *SHAPE)), noise(SHAPE, 1)
    preview = model.occlude(x, CORNERS, WINDOW, fill, logits=logits, preview=True)
    exact = model.occlude(x, CORNERS, WINDOW, fill, logits=logits)
    assert 0 < np.abs(preview - exact).max() < 0.02 * max(1, np.abs(exact).max())
    assert preview.shape == exact.shape


@pytest.mark.parametrize("gained", [1.5, 1.3])
def test_a_preview_is_offered_where_it_was_measured_to_be_worthwhile(model, monkeypatch, gained):
    """It is compiled and timed before it is offered, with the windows that the exact occlusion is timed with."""
    timed = []

    def measure(preview, x):
        preview.work_per_second = gained * exact.work_per_second
        timed.append(preview.graph.dtype)

    exact = model._occluder
    monkeypatch.setattr(rounding, "seconds_per_window", measure)
    monkeypatch.setattr(rounding, "_seconds", lambda dtype: {"float32": 2.0, "bfloat16": 1.0}[dtype])
    assert (rounding.quicker_preview(exact, noise((1, *SHAPE))) is not None) == (gained > rounding.WORTHWHILE)
    assert timed == ["bfloat16"]
    monkeypatch.setattr(rounding, "_seconds", lambda dtype: 1.0)  # a processor that has no bfloat16
    assert rounding.quicker_preview(exact, noise((1, *SHAPE))) is None
    assert timed == ["bfloat16"]


def test_how_quick_a_preview_is_was_measured(model):
    assert model.info.preview_speed == model._preview.work_per_second / model._occluder.work_per_second > 0


def test_a_preview_is_refused_where_there_is_none(tiny_model):
    assert tiny_model.info.preview_speed == 0
    shape = tiny_model.info.input_shape
    with pytest.raises(NotSupported, match="preview"):
        tiny_model.occlude(noise((1, *shape)), CORNERS, WINDOW, noise(shape), preview=True)


def test_no_window_has_no_scores(model, tiny_model):
    for one in (model, tiny_model):
        shape = one.info.input_shape
        scores = one.occlude(noise((1, *shape)), np.zeros((0, 2), np.int64), (2, 2), noise(shape))
        assert scores.shape == (0, one.info.classes)


def test_a_small_model_is_run_once_per_window(tiny_model):
    tiny_model.warm_up()
    assert "gradients" in tiny_model.info.capabilities
    plan = tiny_model.occlusion_plan(CORNERS, WINDOW)
    assert (plan.share, plan.whole_from) == (1.0, "")
    assert tiny_model.info.occlusion == ()
    assert tiny_model.info.occlusion_cost(3).seconds == tiny_model.info.seconds_per_image
    assert tiny_model.info.seconds_per_gradient > 0


def test_scores_that_are_not_numbers_are_refused(model):
    with pytest.raises(ModelError, match="NaN"):
        model.occlude(noise((1, *SHAPE)), CORNERS, WINDOW, np.full(SHAPE, np.nan, np.float32))


def choose(dense, seconds=SLOW):
    made = network()
    flat = flatten(made)
    graph = fold(read(flat, flat.model.inputs[0], flat.model.outputs, SHAPE, lambda images: [images]))
    answer = dense or (lambda windows: np.asarray(made(windows.hidden())))
    return quicker(lambda: graph, answer, noise((1, *SHAPE)), seconds)


def test_it_is_used_only_where_it_is_right_and_quicker():
    assert choose(None) is not None
    assert choose(lambda windows: np.zeros((len(windows), 3), np.float32)) is None
    assert choose(lambda windows: np.full((len(windows), 3), np.nan, np.float32)) is None
    assert choose(None, seconds=0.0021 / 100) is None


@pytest.mark.parametrize(("seconds", "chosen"), [(0.003, True), (0.005, False)])
def test_full_batches_decide_whether_it_is_quicker(monkeypatch, seconds, chosen):
    monkeypatch.setattr("picasso.models.incremental.choosing.seconds_per_window", lambda occluder, x: seconds)
    assert (choose(None, seconds=0.004) is not None) == chosen


def normalised(path):
    """A network with a batch normalization that does something."""
    keras.utils.set_random_seed(4)
    image = keras.Input(SHAPE)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3)(image)))
    made = keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    made.get_layer("norm").moving_mean.assign(noise((8,)) / 4)
    made.get_layer("norm").moving_variance.assign(np.linspace(0.1, 2, 8))
    made.save(path)
    return made


@pytest.mark.parametrize("wrong", [False, True])
def test_scores_are_those_of_the_folded_network_where_it_is_right(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr("picasso.models.keras.LARGE", 0)
    if wrong:  # as if a rule of folding lost the normalizations
        monkeypatch.setattr("picasso.models.incremental.known._normalise", lambda *_: lambda x: x)
        monkeypatch.setattr("picasso.models.incremental.folding._scaled", lambda *_: [])
    made = normalised(tmp_path / "model.keras")
    model = open_model(Config(MODEL_PATH=tmp_path / "model.keras", DATA_DIR=tmp_path))
    assert (model._folded is None) == wrong
    x = noise((3, *SHAPE))
    before = model.predict(x)
    np.testing.assert_allclose(before, made(x), atol=1e-6)
    with model.shuffled(2, seed=1):
        assert np.abs(model.predict(x) - before).max() > 1e-3
    np.testing.assert_array_equal(model.predict(x), before)


def test_the_model_is_the_same_after_runs_that_end_in_any_way(model):
    """Scores, weights and windows, to the last digit; also with shuffled weights, an error or a cancel between."""
    x, fill = noise((1, *SHAPE)), noise(SHAPE, 1)

    def state():
        weights = [one.numpy().tobytes() for one in model.network.variables]
        return weights, model.predict(x).tobytes(), model.occlude(x, CORNERS, WINDOW, fill).tobytes()

    def interrupt(error):
        def checkpoint():
            raise error

        with model.watched(checkpoint), pytest.raises(type(error)):
            model.occlude(noise((1, *SHAPE), 2), CORNERS, WINDOW, fill)

    before, occluder = state(), model._occluder
    for error in (Cancelled("enough"), ZeroDivisionError()):
        interrupt(error)
        assert state() == before
        with model.shuffled(1, seed=0):
            assert state()[2] != before[2]
            interrupt(error)
        assert state() == before
    assert model._occluder is occluder
