"""Two things in one picture, the real model: does a map lie on the thing whose class it explains?

A cup of espresso is the left half, a camera on a tripod the right one. What each method's page says of this is measured
here; a method that fails says so there.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from picasso.attribution.saliency import gradient, guided_backpropagation
from picasso.attribution.targets import Targets
from picasso.config import load_config
from picasso.models.opening import open_model
from picasso.visualizations import class_activation, saliency
from picasso.visualizations.base import Input
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.discovery import discover
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks
from picasso.visualizations.saliency import Saliency

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SIDE = 448
LABELS = ["espresso", "tripod"]
AS_SAID = 0.02  # how far a measured share may be from the one on the page
discover()  # fills in what the classes need

CHOICES = [
    *((Saliency, {"method": name}) for name in saliency.METHODS),
    *((ClassActivation, {"method": name}) for name in class_activation.METHODS),
    (Occlusion, {}),
    (RandomMasks, {}),
]
TRIED = [
    (visualization, choice | trial.settings)
    for visualization, choice in CHOICES
    for trial in visualization.method(visualization.parse_settings(choice)).tried
]


def half(name):
    """The middle of a picture, as high as the whole and half as wide as that."""
    picture = Image.open(Path(find_spec("skimage").submodule_search_locations[0]) / "data" / name).convert("RGB")
    width = round(picture.width * SIDE / picture.height)
    left = (width - SIDE // 2) // 2
    return picture.resize((width, SIDE)).crop((left, 0, left + SIDE // 2, SIDE))


@pytest.fixture(scope="module")
def model():
    return open_model(load_config(ROOT / "config.py", environ={}))


@pytest.fixture(scope="module")
def two_things():
    picture = Image.new("RGB", (SIDE, SIDE))
    picture.paste(half("coffee.png"), (0, 0))
    picture.paste(half("camera.png"), (SIDE // 2, 0))
    return [Input("two.png", picture)]


def shares(visualization, model, inputs, folder, **values):
    """Of the positive values of the espresso and the tripod map, the share in the right half; and the result."""
    settings = visualization.parse_settings({"classes": 2} | values, model.info)
    (result,) = visualization(model).make_visualization(inputs, folder, settings)
    assert [one["label"] for one in result["maps"]] == LABELS
    left = []
    for one in result["maps"]:
        positive = np.maximum(one["map"], 0, dtype=float)
        left.append(positive[:, : positive.shape[1] // 2].sum() / positive.sum())
    return (left[0], 1 - left[1]), result


def named(value):
    """An id for a class or its settings."""
    return value.__name__ if isinstance(value, type) else " ".join(value.values()) or "default"


@pytest.mark.parametrize(("visualization", "values"), TRIED, ids=named)
def test_what_the_page_says_is_so(model, two_things, tmp_path, visualization, values):
    found, result = shares(visualization, model, two_things, tmp_path, **values)
    said = result["tried"]["halves"]
    assert found == pytest.approx(said, abs=AS_SAID)
    assert (min(found) < 0.5) == (min(said) < 0.5)  # the page says whether it fails


def agreement(one, other):
    """Spearman's rank correlation of two maps."""
    ranks = [np.argsort(np.argsort(values, axis=None)) for values in (one, other)]
    return np.corrcoef(ranks)[0, 1]


@pytest.mark.parametrize(
    ("method", "of_classes", "of_weights"), [("gradient", 0.35, 0.42), ("guided backpropagation", 0.93, 0.96)]
)
def test_guided_backpropagation_misleads_as_its_page_says(model, two_things, tmp_path, method, of_classes, of_weights):
    """It agrees between classes, and with the map of a model whose upper layers are shuffled; the gradient does not."""
    _, result = shares(Saliency, model, two_things, tmp_path, method=method)
    espresso, tripod = (one["map"] for one in result["maps"])
    targets = Targets(
        model.preprocess([two_things[0].data]).x, np.array([0]), np.array([result["maps"][0]["index"]]), True
    )
    compute = {"gradient": gradient, "guided backpropagation": guided_backpropagation}[method]
    with model.shuffled(20, 0):
        shuffled = saliency.saliency(compute(model, targets))[0]
    assert agreement(espresso, tripod) == pytest.approx(of_classes, abs=AS_SAID)
    assert agreement(espresso, shuffled) == pytest.approx(of_weights, abs=AS_SAID)


def test_integrated_gradients_add_up(model, two_things, tmp_path):
    _, result = shares(Saliency, model, two_things, tmp_path, method="integrated gradients")
    for one in result["maps"]:
        assert one["within"]
        assert one["map"].sum(dtype=float) == pytest.approx(one["change"], abs=one["gap"] + 1e-4)
