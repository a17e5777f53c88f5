"""Visualizations that draw maps: the right method on the right class and layer, and what their pages say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from picasso.attribution import cam
from picasso.attribution.fills import make_fill
from picasso.attribution.integrated_gradients import integrated_gradients
from picasso.attribution.random_masks import random_masks
from picasso.attribution.resizing import resize
from picasso.attribution.saliency import gradient_times_input, saliency, total
from picasso.attribution.score_cam import score_cam
from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets
from picasso.errors import InvalidSetting
from picasso.models.info import Layer
from picasso.visualizations.base import Input
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.discovery import discover
from picasso.visualizations.feature_maps import FeatureMaps
from picasso.visualizations.layers import with_extent
from picasso.visualizations.maps import Method, Tried
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks
from picasso.visualizations.saliency import METHODS, Saliency

discover()  # fills in what the classes need
HEIGHT, WIDTH, COUNT = 12, 16, 10  # more pictures than are looked at together
PIXELS = np.random.default_rng(2).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
X = PIXELS.astype(np.float32) / 255
INPUTS = [Input(f"{index}.png", Image.fromarray(pixels)) for index, pixels in enumerate(PIXELS)]


def run(visualization, model, folder, inputs=INPUTS, report=None, **values):
    settings = visualization.parse_settings(values, model.info)
    return visualization(model, report).make_visualization(inputs, folder, settings)


def targets_of(model, index, classes=2):
    """One picture's best classes, by their logits."""
    best = np.argsort(-model.predict(X[index : index + 1])[0])[:classes]
    return Targets(X[index : index + 1], np.zeros(classes, np.int64), best, logits=True)


def expected_saliency(model, targets, method):
    if method == "gradient x input":
        return total(gradient_times_input(model, targets))
    if method == "SmoothGrad":
        return saliency(smoothgrad(model, targets, samples=3, noise=0.3, seed=7).gradients)
    white = make_fill("white", targets.x[0], model.solid)[None]
    return integrated_gradients(model, targets, white, tolerance=0.001, most=17).maps


@pytest.mark.parametrize("method", ["gradient x input", "SmoothGrad", "integrated gradients"])
def test_saliency_is_the_method_on_each_picture_and_class(tiny_model, tmp_path, method):
    values = {"samples": 3, "noise": 0.3, "seed": 7, "baseline": "white", "points": 17, "gap": 0.001}
    results = run(Saliency, tiny_model, tmp_path, method=method, classes=2, **values)
    for index, result in enumerate(results):
        targets = targets_of(tiny_model, index)
        assert [one["index"] for one in result["maps"]] == targets.classes.tolist()
        found = np.stack([one["map"] for one in result["maps"]])
        np.testing.assert_allclose(found, expected_saliency(tiny_model, targets, method), atol=1e-4)
        assert result["signed"] is METHODS[method].signed
        assert bool(found.min() < 0) is result["signed"]
        assert result["plotted"] == "logit"


def test_integrated_gradients_say_how_far_they_add_up(tiny_model, tmp_path):
    (result,) = run(Saliency, tiny_model, tmp_path, INPUTS[:1], method="integrated gradients", gap=0, points=17)
    for one in result["maps"]:
        assert one["gap"] == pytest.approx(abs(one["map"].sum(dtype=float) - one["change"]), abs=1e-4)
        assert one["points"] == 17
        assert one["within"] is False


def test_gradient_times_input_shows_the_colour_that_is_zero(tiny_model, tmp_path):
    (result,) = run(Saliency, tiny_model, tmp_path, INPUTS[:1], method="gradient x input")
    assert not np.asarray(result["baseline"]).any()  # this model takes 0..255 as 0..1


@pytest.mark.parametrize("method", ["Grad-CAM", "Grad-CAM++", "LayerCAM", "Score-CAM"])
def test_class_activation_is_the_method_on_the_layer(tiny_model, tmp_path, method):
    layer = tiny_model.info.layers[0]
    results = run(ClassActivation, tiny_model, tmp_path, method=method, layer=layer.path, classes=2, channels=3)
    combine = {"Grad-CAM": cam.grad_cam, "Grad-CAM++": cam.grad_cam_plus_plus, "LayerCAM": cam.layer_cam}
    for index, result in enumerate(results):
        targets = targets_of(tiny_model, index)
        if method == "Score-CAM":
            fill = make_fill("grey", targets.x[0], tiny_model.solid)[None]
            coarse = score_cam(tiny_model, targets, layer.path, fill, channels=3).maps
        else:
            coarse = cam.class_activation(tiny_model, targets, layer.path, combine[method])
        np.testing.assert_allclose(np.stack([one["cells"] for one in result["maps"]]), coarse, atol=1e-4)
        found = np.stack([one["map"] for one in result["maps"]])
        np.testing.assert_allclose(found, resize(coarse, (HEIGHT, WIDTH)), atol=1e-4)
        assert [one["index"] for one in result["maps"]] == targets.classes.tolist()
        assert (result["layer"], result["signed"]) == (layer.path, False)


def test_grad_cam_of_the_last_layer_divides_the_logit(tiny_model):
    """What the page says of its values: before the cut they add up to the logit, but for the bias."""
    layer, classes = tiny_model.info.layers[-1].path, [0, 1, 2, 3]
    activations, gradients = tiny_model.layer_gradients(X[[0] * 4], classes, layer)
    parts = (gradients.mean(axis=(1, 2), keepdims=True) * activations).sum(axis=-1)
    logits = tiny_model.predict(X[:1], logits=True)[0] - tiny_model.network.layers[-1].bias.numpy()
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), logits, atol=1e-4)
    maps = cam.class_activation(
        tiny_model, replace(targets_of(tiny_model, 0, 4), classes=np.arange(4)), layer, cam.grad_cam
    )
    np.testing.assert_allclose(maps, np.maximum(parts, 0), atol=1e-5)


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_random_masks_is_rise_on_each_picture(tiny_model, tmp_path, score):
    values = {"masks": 64, "cells": 3, "visible": 0.4, "fill": "black", "seed": 5, "score": score}
    results = run(RandomMasks, tiny_model, tmp_path, INPUTS[:2], classes=2, **values)
    for index, result in enumerate(results):
        best = targets_of(tiny_model, index).classes.tolist()
        found = random_masks(
            tiny_model, X[index], best, np.zeros_like(X[0]), logits=score == "logit", most=64, cells=3, visible=0.4,
            precision=0.05, seed=5,
        )  # fmt: skip
        for row, one in enumerate(result["maps"]):
            np.testing.assert_allclose(one["map"], found.maps[row], atol=1e-5)
            np.testing.assert_allclose(one["errors"], found.errors[row], atol=1e-5)
        assert (result["masks"], result["plotted"], result["signed"]) == (64, score, True)


def test_feature_maps_are_the_strongest_channels(tiny_model, tmp_path):
    layer = tiny_model.info.layers[-1]
    activations = tiny_model.activations(X[:1], layer.path)[0]
    (result,) = run(FeatureMaps, tiny_model, tmp_path, INPUTS[:1], channels=3)
    order = np.argsort(-np.abs(activations).mean(axis=(0, 1)), kind="stable")[:3]
    assert [one["number"] for one in result["channels"]] == order.tolist()
    for one in result["channels"]:
        np.testing.assert_allclose(one["activation"], activations[..., one["number"]], atol=1e-6)
    assert (result["layer"], result["of"], result["signed"]) == (layer.path, 4, False)


def test_the_page_sees_a_map_while_it_sharpens(tiny_model, tmp_path):
    seen = []
    results = run(
        Saliency, tiny_model, tmp_path, INPUTS[:2], lambda fraction, _, partial: seen.append((fraction, list(partial))),
        method="SmoothGrad", samples=50,
    )  # fmt: skip
    for index in (0, 1):  # one after the other
        of_this = [partial[index] for _, partial in seen if len(partial) == index + 1]
        assert len(of_this) > 5
        early, late = (result["maps"][0]["map"] for result in (of_this[0], of_this[-1]))
        assert np.abs(early - late).max() > 0
        np.testing.assert_array_equal(late, results[index]["maps"][0]["map"])


@pytest.mark.parametrize(
    ("visualization", "values", "has", "fewer"),
    [
        (Saliency, {"method": "SmoothGrad", "samples": 48}, "samples", "samples"),
        (Saliency, {"method": "integrated gradients", "gap": 0}, "points", "points"),
        (RandomMasks, {"masks": 320, "cells": 3}, "masks", "masks"),
        (ClassActivation, {"method": "Score-CAM"}, "used", "channels"),
    ],
)
def test_a_stopped_map_is_the_one_of_less_work(tiny_model, tmp_path, monkeypatch, visualization, values, has, fewer):
    """The first picture as it was when the person had enough, and how far that is; no other was begun."""
    monkeypatch.setattr(tiny_model, "info", replace(tiny_model.info, seconds_per_image=1.0))  # one at a time
    settings = visualization.parse_settings({"classes": 2, **values}, tiny_model.info)
    told = []
    made = visualization(tiny_model, lambda share, *_: told.append(share), lambda: True)
    (stopped,) = made.make_visualization(INPUTS[:2], tmp_path, settings)
    assert made.stopped
    assert 0 < told[-1] < 0.5
    done = {one.get(has, stopped.get(has)) for one in stopped["maps"]}
    assert len(done) == 1
    (whole,) = run(visualization, tiny_model, tmp_path, INPUTS[:1], **{"classes": 2, **values, fewer: max(done)})
    for one, other in zip(stopped["maps"], whole["maps"], strict=True):
        np.testing.assert_allclose(one["map"], other["map"], atol=1e-6)


@pytest.mark.parametrize("method", ["gradient", "Grad-CAM"])
def test_quick_maps_are_stopped_between_pictures(tiny_model, tmp_path, method):
    visualization = Saliency if method == "gradient" else ClassActivation
    settings = visualization.parse_settings({"method": method, "classes": 4}, tiny_model.info)
    made = visualization(tiny_model, None, lambda: True)
    assert len(made.make_visualization(INPUTS, tmp_path, settings)) == 3  # of ten: at most 17 gradients go together
    assert made.stopped


@pytest.mark.parametrize("method", ["gradient", "Grad-CAM"])
def test_many_pictures_and_classes(tiny_model, tmp_path, method):
    """More than a batch has."""
    visualization = Saliency if method == "gradient" else ClassActivation
    results = run(visualization, tiny_model, tmp_path, method=method, classes=4)
    assert [len(result["maps"]) for result in results] == [4] * COUNT


# What a model allows
LAYERS = (
    Layer("conv", "Conv2D", (6, 8, 16), True),
    Layer("late", "Conv2D", (3, 4, 32), True),
    Layer("pooled", "GlobalAveragePooling2D", (1, 1, 32), False),
)


@pytest.mark.parametrize("visualization", [ClassActivation, FeatureMaps])
def test_layers_to_choose_from_have_more_than_one_place(tiny_model, visualization):
    info = replace(tiny_model.info, layers=LAYERS)
    assert visualization.limits(info)["layer"] == ["conv", "late"]
    assert visualization.parse_settings({}, info).layer == "late"
    with pytest.raises(InvalidSetting, match=r"'layer' should be a layer of .* got 'latte'. Near: late\.") as caught:
        visualization.parse_settings({"layer": "latte"}, info)
    assert caught.value.field == "layer"


@pytest.mark.parametrize("visualization", [ClassActivation, FeatureMaps])
def test_a_model_without_maps_is_refused(tiny_model, visualization):
    info = replace(tiny_model.info, layers=LAYERS[2:])
    assert visualization.unsupported_reason(info).startswith("Needs a layer whose output is a map")


def test_without_gradients_there_is_score_cam(tiny_model, tmp_path):
    info = replace(tiny_model.info, capabilities=tiny_model.info.capabilities - {"gradients"})
    assert ClassActivation.unsupported_reason(info) is None
    assert ClassActivation.limits(info)["method"] == ["Score-CAM"]
    assert ClassActivation.parse_settings({}, info).method == "Score-CAM"
    with pytest.raises(InvalidSetting, match=r"LayerCAM needs gradients, which .* does not give. Choose Score-CAM"):
        ClassActivation.parse_settings({"method": "LayerCAM"}, info)


def test_a_logit_is_refused_where_there_is_none(tiny_model):
    info = replace(tiny_model.info, capabilities=frozenset({"predict"}))
    assert RandomMasks.limits(info)["score"] == ["probability"]
    with pytest.raises(InvalidSetting, match="has no logit behind a softmax"):
        RandomMasks.parse_settings({"score": "logit"}, info)


@pytest.mark.parametrize(
    ("values", "calls", "early"),
    [
        ({}, 1 + 3, False),
        ({"method": "SmoothGrad", "samples": 10}, 1 + 30, False),
        ({"method": "integrated gradients", "points": 20}, 1 + 3 * 17, True),
        ({"method": "gradient x input", "classes": 10}, 1 + 4, False),
    ],
)
def test_saliency_says_what_it_costs(tiny_model, values, calls, early):
    settings = Saliency.parse_settings(values, tiny_model.info)
    assert Saliency.model_calls(settings, tiny_model.info) == calls
    assert Saliency.stops_early(settings) is early


def test_class_activation_says_what_it_costs(tiny_model):
    settings = ClassActivation.parse_settings({"method": "Score-CAM"}, tiny_model.info)
    assert ClassActivation.model_calls(settings, tiny_model.info) == 2 + 4  # the layer has four channels
    assert ClassActivation.stops_early(settings)


def test_saliency_methods_are_those_of_the_setting():
    assert list(METHODS) == Saliency.settings_model.model_json_schema()["properties"]["method"]["enum"]


@pytest.mark.parametrize("method", Saliency.settings_model.model_json_schema()["properties"]["method"]["enum"])
def test_what_a_page_says_names_the_score(tiny_model, tmp_path, method):
    (result,) = run(Saliency, tiny_model, tmp_path, INPUTS[:1], method=method, classes=1)
    for text in ("explains", "reading", "misleads"):
        assert "{" not in result[text]


METHOD = Method(
    signed=False,
    explains="its {score}",
    ends=("none", "most"),
    reading="Bright is much.",
    misleads="It tells nothing.",
    source="Nobody",
    link="https://example.org",
    tried=(Tried((0.8, 0.7)), Tried((0.9, 0.3), {"baseline": "white"})),
)


@pytest.mark.parametrize(
    ("values", "words", "halves", "others"),
    [
        ({}, "", (0.8, 0.7), ["baseline white"]),
        ({"classes": 2, "named": "bee"}, "", (0.8, 0.7), ["baseline white"]),  # what is drawn, not how
        ({"noise": 0.5}, "", (0.8, 0.7), ["baseline white"]),  # which this method does not use
        ({"baseline": "white"}, "baseline white", (0.9, 0.3), [""]),
        ({"baseline": "blur"}, "baseline blur", None, ["", "baseline white"]),
        ({"baseline": "white", "points": 17}, "baseline white, points 17", None, ["", "baseline white"]),
    ],
)
def test_what_was_tried_is_said_of_the_very_settings(tiny_model, tmp_path, monkeypatch, values, words, halves, others):
    monkeypatch.setitem(METHODS, "integrated gradients", METHOD)
    result = run(Saliency, tiny_model, tmp_path, INPUTS[:1], method="integrated gradients", **values)[0]
    tried = result["tried"]
    assert (tried["settings"], tried["halves"]) == (words, halves)
    assert [other["settings"] for other in tried["others"]] == others
    assert [other["failed"] for other in tried["others"]] == [bool(other) for other in others]


def test_a_default_that_follows_from_the_model_is_one(tiny_model, tmp_path):
    """The layer of Class activation, the window of Occlusion."""
    for visualization in (ClassActivation, Occlusion):
        result = run(visualization, tiny_model, tmp_path, INPUTS[:1])[0]
        assert result["tried"]["halves"] == visualization.method(visualization.parse_settings({})).tried[0].halves
    other = with_extent(tiny_model.info)[0].path
    assert other != tiny_model.info.default_layer
    result = run(ClassActivation, tiny_model, tmp_path, INPUTS[:1], layer=other)[0]
    assert (result["tried"]["settings"], result["tried"]["halves"]) == (f"layer {other}", None)
    assert run(Occlusion, tiny_model, tmp_path, INPUTS[:1], window=3)[0]["tried"]["halves"] is None


def test_an_occlusion_map_is_drawn_to_its_furthest_value(tiny_model, tmp_path):
    for one in run(Occlusion, tiny_model, tmp_path, INPUTS[:1])[0]["maps"]:
        assert one["limit"] == np.abs(one["map"]).max()
