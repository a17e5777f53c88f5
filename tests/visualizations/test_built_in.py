"""The built-in visualizations against plain code: the very numbers, for the very class they name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from picasso.errors import InvalidSetting
from picasso.models.info import OcclusionCost
from picasso.models.preprocessing import OwnFunction
from picasso.visualizations.base import Input
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.class_probabilities import ClassProbabilities
from picasso.visualizations.discovery import discover
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks
from picasso.visualizations.saliency import Saliency

discover()  # fills in what the classes need
HEIGHT, WIDTH = 12, 16
PICTURE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
X = np.asarray(PICTURE, np.float32)[None] / 255


def run(visualization, model, folder, **values):
    """One picture as large as the model's input, so that preprocessing changes its range only."""
    settings = visualization.parse_settings(values, model.info)
    (result,) = visualization(model).make_visualization([Input("a.png", PICTURE)], folder, settings)
    return result


def best(model):
    return np.argsort(-model.network(X).numpy()[0])


def test_class_probabilities(tiny_model, tmp_path):
    result = run(ClassProbabilities, tiny_model, tmp_path, classes=2)
    scores, order = tiny_model.network(X).numpy()[0], best(tiny_model)
    assert [prediction["index"] for prediction in result["predictions"]] == order[:2].tolist()
    assert [prediction["score"] for prediction in result["predictions"]] == pytest.approx(scores[order[:2]], abs=1e-6)
    np.testing.assert_allclose(result["answer"], scores, atol=1e-6)


def starts_by_hand(size, window, stride):
    """Every `stride` pixels, the last one at the border."""
    found = [place for place in range(0, size, stride) if place + window <= size]
    return found if found[-1] + window == size else [*found, size - window]


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize(("window", "stride"), [(4, 3), (5, 5), (14, 7), (16, 1)])
def test_occlusion_equals_a_plain_loop(tiny_model, tmp_path, window, stride, score):
    """Black windows; one that is taller than the picture is cut to it."""
    model = tiny_model
    result = run(Occlusion, model, tmp_path, window=window, stride=stride, fill="black", classes=2, score=score)
    tall, wide = min(window, HEIGHT), min(window, WIDTH)
    base = model.predict(X, logits=score == "logit")[0]
    total, count = np.zeros((2, HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    order = best(model)[:2]
    for top in starts_by_hand(HEIGHT, tall, stride):
        for left in starts_by_hand(WIDTH, wide, stride):
            hidden = X.copy()
            hidden[:, top : top + tall, left : left + wide] = 0
            drop = base - model.predict(hidden, logits=score == "logit")[0]
            total[:, top : top + tall, left : left + wide] += drop[order, None, None]
            count[top : top + tall, left : left + wide] += 1
    assert [one["index"] for one in result["maps"]] == order.tolist()
    for one, expected in zip(result["maps"], total / count, strict=True):
        np.testing.assert_allclose(one["map"], expected, atol=1e-5)
        assert (one["low"], one["high"]) == (one["map"].min(), one["map"].max())
    assert result["plotted"] == score
    np.testing.assert_array_equal(result["base"], base)


def test_occlusion_keeps_the_scores_of_all_classes_at_all_positions(tiny_model, tmp_path):
    result = run(Occlusion, tiny_model, tmp_path, window=6, stride=5, fill="white")
    assert result["scores"].shape == (result["positions"], 4)
    for (top, left), scores in zip(result["corners"], result["scores"], strict=True):
        hidden = X.copy()
        hidden[:, top : top + 6, left : left + 6] = 1
        np.testing.assert_allclose(scores, tiny_model.predict(hidden)[0], atol=1e-5)


def test_windows_that_hide_nothing_are_not_computed(tiny_model, tmp_path, monkeypatch):
    """Half of the picture is black already. All positions have scores; all of the map is as computed one by one."""
    half = np.asarray(PICTURE).copy()
    half[:, 8:] = 0
    monkeypatch.setattr("test_built_in.PICTURE", Image.fromarray(half))
    calls = tiny_model.calls
    result = run(Occlusion, tiny_model, tmp_path, window=4, stride=4, fill="black")
    assert result["positions"] == result["hidden"] == 12
    assert tiny_model.calls == calls + 1 + 6
    hidden = np.repeat(half[None] / np.float32(255), 12, 0)
    for (top, left), picture in zip(result["corners"], hidden, strict=True):
        picture[top : top + 4, left : left + 4] = 0
    np.testing.assert_allclose(result["scores"], tiny_model.predict(hidden), atol=1e-6)
    for one in result["maps"]:
        assert (one["map"][:, 8:] == 0).all()
        assert np.ptp(one["map"][:, :8]) > 0


def test_the_stride_is_said_as_it_is_along_each_side(tiny_model, tmp_path):
    """A window that is cut to the picture's height is moved by that, and across by what was asked for."""
    result = run(Occlusion, tiny_model, tmp_path, window=14, stride=13)
    assert (result["window"], result["strides"]) == ((12, 14), (12, 13))


@pytest.mark.parametrize("visualization", [Occlusion, Saliency, ClassActivation, RandomMasks])
def test_where_the_decode_function_names_no_class_the_best_is_explained(
    tiny_model, tmp_path, monkeypatch, visualization
):
    monkeypatch.setattr(tiny_model, "own_decode", (lambda scores: [[] for _ in scores], "mine:decode"))
    result = run(visualization, tiny_model, tmp_path, classes=1)
    assert [one["index"] for one in result["maps"]] == best(tiny_model)[:1].tolist()


def test_what_colour_is_zero_is_said_where_it_is_known(tiny_model, tmp_path, monkeypatch):
    assert run(Saliency, tiny_model, tmp_path, method="gradient x input")["baseline"].getpixel((0, 0)) == (0, 0, 0)
    own = OwnFunction(lambda images: np.stack([np.asarray(one) / 127.5 - 1 for one in images]), "mine", X.shape[1:])
    monkeypatch.setattr(tiny_model, "preprocessor", own)
    assert "baseline" not in run(Saliency, tiny_model, tmp_path, method="gradient x input")


def test_saliency_is_the_largest_gradient_of_the_logit_over_channels(tiny_model, tmp_path):
    import tensorflow as tf

    result = run(Saliency, tiny_model, tmp_path, classes=4)
    *body, head = tiny_model.network.layers
    for one in result["maps"]:
        with tf.GradientTape() as tape:
            x = values = tf.constant(X)
            tape.watch(x)
            for layer in body:
                values = layer(values)
            logit = (values @ head.kernel + head.bias)[0, one["index"]]
        np.testing.assert_allclose(one["map"], np.abs(tape.gradient(logit, x)[0]).max(axis=-1), atol=1e-5)
    assert [one["index"] for one in result["maps"]] == best(tiny_model).tolist()
    assert result["plotted"] == "logit"


def test_a_preview_says_how_far_it_is_from_the_exact_drops(tiny_model, tmp_path, monkeypatch):
    """As if half precision gave .9 times the score, less .02 everywhere: drops are measured within the preview."""
    plain = tiny_model.occlude_in_parts

    def coarse(*hidden, preview=False, **how):
        for windows, scores in plain(*hidden, **how):
            yield windows, scores * 0.9 - 0.02 if preview else scores

    monkeypatch.setattr(tiny_model, "occlude_in_parts", coarse)
    monkeypatch.setattr(tiny_model, "info", replace(tiny_model.info, preview_speed=2.0))
    exact, fast = (
        run(Occlusion, tiny_model, tmp_path, window=4, precision=precision) for precision in ("exact", "fast")
    )
    for one, other in zip(fast["maps"], exact["maps"], strict=True):
        np.testing.assert_allclose(one["map"], 0.9 * other["map"], atol=1e-6)
    # Pages draw the maps of all other classes from these.
    np.testing.assert_allclose(fast["base"] - fast["scores"], 0.9 * (exact["base"] - exact["scores"]), atol=1e-6)
    some = np.linspace(0, exact["positions"] - 1, 16).astype(int)
    drops = (exact["base"] - exact["scores"][some])[:, [one["index"] for one in exact["maps"]]]
    np.testing.assert_allclose(fast["deviation"], 0.1 * np.abs(drops).max(), rtol=1e-4)
    assert fast["compared"] == 16
    assert "deviation" not in exact


def test_occlusion_refuses_what_the_model_cannot_do(tiny_model):
    with pytest.raises(InvalidSetting, match=r"'window' must be 1..16 pixels for this model, got 17") as caught:
        Occlusion.parse_settings({"window": 17}, tiny_model.info)
    assert caught.value.field == "window"
    info = replace(tiny_model.info, capabilities=frozenset({"predict"}))
    with pytest.raises(InvalidSetting, match="has no logit behind a softmax") as caught:
        Occlusion.parse_settings({"score": "logit"}, info)
    assert caught.value.field == "score"
    with pytest.raises(InvalidSetting, match="no quicker in bfloat16") as caught:
        Occlusion.parse_settings({"precision": "fast"}, info)
    assert caught.value.field == "precision"


def test_guided_backpropagation_is_offered_where_the_model_has_it(tiny_model):
    assert "guided backpropagation" in Saliency.limits(tiny_model.info)["method"]
    info = replace(tiny_model.info, capabilities=tiny_model.info.capabilities - {"guided"})
    assert "guided backpropagation" not in Saliency.limits(info)["method"]
    with pytest.raises(InvalidSetting, match="Guided backpropagation is defined for networks") as caught:
        Saliency.parse_settings({"method": "guided backpropagation"}, info)
    assert caught.value.field == "method"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((224, 224, 3), (32, 16)), ((28, 28, 1), (4, 2)), ((12, 16, 3), (2, 1)), ((3, 400, 3), (1, 1))],
)
def test_occlusion_defaults_follow_the_model(tiny_model, shape, expected):
    settings = Occlusion.parse_settings({}, replace(tiny_model.info, input_shape=shape))
    assert (settings.window, settings.stride) == expected


@pytest.mark.parametrize(("asked", "level"), [(1, 4), (2, 2)])
def test_a_stopped_occlusion_has_the_scores_so_far(tiny_model, tmp_path, monkeypatch, asked, level):
    """Windows of 2 x 2, side by side: of 6 x 8 positions every fourth come first, then every second."""
    monkeypatch.setattr("picasso.visualizations.occlusion.TOGETHER", 1)
    settings = Occlusion.parse_settings({"window": 2, "stride": 2}, tiny_model.info)
    answers = iter([*[False] * (asked - 1), True])
    visualization, before = Occlusion(tiny_model, None, lambda: next(answers)), tiny_model.calls
    (result,) = visualization.make_visualization([Input("a.png", PICTURE)] * 2, tmp_path, settings)
    assert tiny_model.calls - before == 1 + result["hidden"]
    whole = run(Occlusion, tiny_model, tmp_path, window=2, stride=2)
    rows, columns = range(0, 12, 2 * level), range(0, 16, 2 * level)
    assert result["corners"].tolist() == [[row, column] for row in rows for column in columns]
    assert (result["hidden"], result["positions"], whole["hidden"]) == (len(rows) * len(columns), 48, 48)
    np.testing.assert_allclose(result["covered"], result["hidden"] / 48)
    places = [whole["corners"].tolist().index(corner) for corner in result["corners"].tolist()]
    np.testing.assert_allclose(result["scores"], whole["scores"][places], atol=1e-5)
    for one, other in zip(result["maps"], whole["maps"], strict=True):
        there = ~np.isnan(one["map"])
        assert there.sum() == 4 * result["hidden"]
        np.testing.assert_allclose(one["map"][there], other["map"][there], atol=1e-5)
        assert (one["low"], one["high"]) == (one["map"][there].min(), one["map"][there].max())


def test_what_occlusion_costs_follows_the_windows(tiny_model):
    costs = (OcclusionCost(2, 0.01, 0.2, "conv", 0.5), OcclusionCost(6, 0.03, 0.6, "conv", 0.5))
    info = replace(tiny_model.info, seconds_per_image=0.1, occlusion=costs)
    settings = Occlusion.parse_settings({"window": 4, "stride": 4}, info)
    cost = Occlusion.cost(settings, info)
    assert cost.what == "12 positions"
    assert cost.seconds == pytest.approx(0.1 + 0.5 + 12 * 0.02)
    assert cost.remark == "each 40\N{NO-BREAK SPACE}% of the work of running the whole network"
    fast = settings.model_copy(update={"precision": "fast"})
    preview = Occlusion.cost(fast, replace(info, preview_speed=1.5))
    assert preview.seconds == pytest.approx(0.1 + 0.5 + 12 * 0.02 / 1.5 + 0.5 + 16 * 0.02)
    dense = Occlusion.cost(settings, replace(info, occlusion=()))
    assert (dense.what, dense.seconds, dense.remark) == ("13 model calls", pytest.approx(1.3), "")


@pytest.mark.parametrize(
    ("method", "calls", "gradients"),
    [("gradient", 1, 3), ("SmoothGrad", 1, 3 * 32), ("integrated gradients", 1, 3 * 129)],
)
def test_gradients_cost_what_was_measured(tiny_model, method, calls, gradients):
    info = replace(tiny_model.info, seconds_per_image=0.1, seconds_per_gradient=0.25)
    settings = Saliency.parse_settings({"method": method}, info)
    assert Saliency.cost(settings, info).seconds == pytest.approx(0.1 * calls + 0.25 * gradients)
    unknown = replace(info, seconds_per_gradient=0.0)
    assert Saliency.cost(settings, unknown).seconds == pytest.approx(0.1 * calls + 0.3 * gradients)


def test_saliency_costs_no_more_than_there_are_classes(tiny_model):
    settings = Saliency.parse_settings({"classes": 10}, tiny_model.info)
    assert Saliency.model_calls(settings, tiny_model.info) == 1 + 4


def test_no_window_is_hidden_twice_when_the_batch_grows_meanwhile(tiny_model, tmp_path, monkeypatch):
    sizes = iter([4, 4, 4, *[64] * 100])
    monkeypatch.setattr(type(tiny_model), "batch", property(lambda _: next(sizes)))
    before = tiny_model.calls
    result = run(Occlusion, tiny_model, tmp_path, window=4, stride=2)
    assert tiny_model.calls - before == len(result["corners"]) + 1
