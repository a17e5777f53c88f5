"""Classes that are asked for by name or number, instead of the best."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from picasso.errors import InvalidSetting
from picasso.visualizations.base import Input
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.classes import named_classes, number_of
from picasso.visualizations.discovery import discover
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks
from picasso.visualizations.saliency import Saliency
from picasso.visualizations.trust import Trust

discover()  # fills in what the classes need
LABELS = ("crane", "espresso", "cup", "coffee mug", "crane", "tiger cat", "Egyptian cat", "3")
PIXELS = np.random.default_rng(2).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
INPUTS = [Input(f"{index}.png", Image.fromarray(pixels)) for index, pixels in enumerate(PIXELS)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("espresso", 1),
        (" ESPRESSO ", 1),
        ("2", 2),
        ("#2", 2),
        ("3", 7),  # it is called so
        ("#3", 3),
        ("mug", 3),
        ("cat tiger", 5),
        ("cup", 2),
    ],
)
def test_a_class_is_found(text: str, number: int) -> None:
    assert number_of(text, LABELS) == number


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crane", r"'crane' may be any of 2 classes: crane \(0\), crane \(4\)\."),
        ("CAT", r"tiger cat \(5\), Egyptian cat \(6\)"),
        ("expresso", r"has no class 'expresso'\. The nearest is espresso\."),
        ("#8", r"has no class '#8'\. They are numbered #0 to #7\."),
        ("#", "has no class"),
        ("#02", "has no class"),
        ("9" * 5000, "has no class"),
        ("#" + "9" * 5000, "has no class"),
        ("", "has no class"),
    ],
)
def test_a_class_that_is_not_one(text: str, says: str) -> None:
    with pytest.raises(InvalidSetting, match=says) as caught:
        number_of(text, LABELS)
    assert caught.value.field == "named"
    assert len(caught.value.message) < 300


def test_several_each_once_and_not_too_many() -> None:
    assert named_classes(" cup; #1;espresso ;; CUP", LABELS) == [2, 1]
    with pytest.raises(InvalidSetting, match="At most 10"):
        named_classes(";".join(f"#{number}" for number in range(11)), LABELS)


@pytest.mark.parametrize(
    ("visualization", "values"),
    [
        (Occlusion, {"window": 6, "stride": 6}),
        (Saliency, {}),
        (Saliency, {"method": "SmoothGrad", "samples": 4}),
        (ClassActivation, {"method": "Grad-CAM"}),
        (ClassActivation, {"method": "Score-CAM"}),
        (RandomMasks, {"masks": 16, "cells": 3}),
    ],
)
def test_their_maps_are_those_they_have_among_all(tiny_model, tmp_path, visualization, values) -> None:
    def run(**more):
        settings = visualization.parse_settings({**values, **more}, tiny_model.info)
        assert visualization.model_calls(settings, tiny_model.info) > 0
        return visualization(tiny_model).make_visualization(INPUTS, tmp_path, settings)

    for result, whole in zip(run(named="dog; ant"), run(classes=4), strict=True):
        assert [one["label"] for one in result["maps"]] == ["dog", "ant"]
        assert [one["label"] for one in result["predictions"]] == [one["label"] for one in whole["maps"]]
        assert "predictions" not in whole
        among = {one["index"]: one for one in whole["maps"]}
        for one in result["maps"]:
            assert one["score"] == pytest.approx(among[one["index"]]["score"])
            np.testing.assert_allclose(one["map"], among[one["index"]]["map"], atol=1e-5)


def test_trust_checks_the_class_that_is_named(tiny_model, tmp_path) -> None:
    settings = Trust.parse_settings({"methods": "gradient", "named": "bee", "steps": 10, "maps": 1}, tiny_model.info)
    results = Trust(tiny_model).make_visualization(INPUTS[:1], tmp_path, settings)
    assert [one["label"] for one in results[0]["classes"]] == ["bee"]


@pytest.mark.parametrize("visualization", [Occlusion, Saliency, ClassActivation, RandomMasks, Trust])
def test_a_class_that_the_model_has_not_is_refused_before_a_call(tiny_model, visualization) -> None:
    with pytest.raises(InvalidSetting, match="no class 'elk'") as caught:
        visualization.parse_settings({"named": "ant; elk"}, tiny_model.info)
    assert caught.value.field == "named"
