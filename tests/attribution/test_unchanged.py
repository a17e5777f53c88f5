"""Whatever is computed, and however it ends, the model stays as it was: weights, mode, scores, what is compiled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picasso.attribution import cam
from picasso.attribution.integrated_gradients import integrated_gradients
from picasso.attribution.occlusion import corners
from picasso.attribution.random_masks import random_masks
from picasso.attribution.saliency import gradient, gradient_times_input, guided_backpropagation
from picasso.attribution.score_cam import score_cam
from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets
from picasso.errors import Cancelled

X = np.random.default_rng(3).uniform(0, 1, (2, 12, 16, 3)).astype(np.float32)
FILL = np.zeros_like(X)
TARGETS = Targets(X, np.array([0, 0, 1]), np.array([1, 2, 0]), logits=True)
LAYER = "norm"


def shuffle(model, _targets):
    with model.shuffled(2, seed=0):
        for one in X:
            model.predict(one[None])


METHODS = {
    "gradient": gradient,
    "gradient x input": gradient_times_input,
    "guided backpropagation": guided_backpropagation,
    "SmoothGrad": lambda model, targets: smoothgrad(model, targets, samples=2, noise=0.1, seed=0),
    "integrated gradients": lambda model, targets: integrated_gradients(model, targets, FILL, tolerance=0, most=17),
    "Grad-CAM": lambda model, targets: cam.class_activation(model, targets, LAYER, cam.grad_cam),
    "Score-CAM": lambda model, targets: score_cam(model, targets, LAYER, FILL, channels=2),
    "RISE": lambda model, targets: random_masks(
        model, X[0], [1], FILL[0], logits=True, most=4, cells=4, visible=0.5, precision=0, seed=0
    ),
    "occlusion": lambda model, targets: model.occlude(X[:1], corners(X.shape[1:3], (8, 8), 4), (8, 8), FILL[0]),
    "feature maps": lambda model, targets: model.activations(X, LAYER),
    "shuffled weights": shuffle,
}


@pytest.fixture
def model(tiny_model, monkeypatch):
    """One image at a time, so that every method has several batches."""
    slow = replace(tiny_model.info, seconds_per_image=0.8)
    monkeypatch.setattr(tiny_model, "info", slow)
    monkeypatch.setattr("picasso.models.base.GRADIENTS", (1,))
    return tiny_model


def state(model):
    """All that could change: variables (those of random generators too), modes, scores, compiled functions."""
    network = model.network
    return {
        "variables": {one.path: one.numpy().tobytes() for one in network.variables},
        "trainable": [layer.trainable for layer in network._flatten_layers()],
        "activations": [getattr(layer, "activation", None) for layer in network._flatten_layers()],
        "scores": model.predict(X, logits=True).tobytes(),
        "compiled": set(model._trace._made),
        "checkpoint": model.checkpoint,
    }


def stop_after(allowed, error):
    """A checkpoint that raises once it was passed so often."""
    left = iter(range(allowed))

    def checkpoint():
        if next(left, None) is None:
            raise error

    return checkpoint


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_model_stays_as_it_was(model, method):
    passed, first = [], state(model)
    with model.watched(lambda: passed.append(None)):
        method(model, TARGETS)
    assert len(passed) > 1
    before = state(model)  # with what was compiled for the method
    assert before | {"compiled": first["compiled"]} == first
    method(model, TARGETS)
    assert state(model) == before
    for allowed in {0, len(passed) // 2, len(passed) - 1}:
        for error in (Cancelled("The run was cancelled."), ZeroDivisionError()):
            with pytest.raises(type(error)), model.watched(stop_after(allowed, error)):
                method(model, TARGETS)
            assert state(model) == before


def test_the_network_has_what_could_change(tiny_model):
    kinds = {type(layer).__name__ for layer in tiny_model.network.layers}
    assert {"BatchNormalization", "Dropout"} <= kinds
    assert any("seed" in variable.path for variable in tiny_model.network.variables)
