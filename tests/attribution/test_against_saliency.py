"""The same numbers as PAIR's `saliency` package, where it has the method."""

import networks
import numpy as np
import pytest
import saliency.core as pair

from picasso.attribution import cam
from picasso.attribution.integrated_gradients import integrated_gradients
from picasso.attribution.occlusion import occlusion
from picasso.attribution.saliency import gradient
from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets

pytestmark = pytest.mark.slow
X = networks.images(1)
CLASS = 2
TARGETS = Targets(X, np.array([0]), np.array([CLASS]), logits=True)


def call(x, call_model_args=None, expected_keys=None):
    """What the package asks of a network; the argument is a layer's name, where one is looked at."""
    layer = call_model_args
    layers = [networks.layer(one, CLASS, layer) for one in x] if layer else []
    return {
        pair.INPUT_OUTPUT_GRADIENTS: np.stack([networks.gradient(one.astype(np.float32), CLASS) for one in x]),
        pair.OUTPUT_LAYER_VALUES: networks.logits(x)[:, CLASS],
        pair.CONVOLUTION_LAYER_VALUES: np.stack([a for a, _ in layers]) if layer else None,
        pair.CONVOLUTION_OUTPUT_GRADIENTS: np.stack([g for _, g in layers]) if layer else None,
    }


@pytest.fixture(scope="module")
def model():
    return networks.model()


def test_gradient(model):
    expected = pair.GradientSaliency().GetMask(X[0], call)
    np.testing.assert_allclose(gradient(model, TARGETS)[0], expected, atol=1e-5)


def test_smoothgrad(model, monkeypatch):
    """With the same noise, which the package takes from NumPy's one generator."""
    normals = iter([np.random.default_rng((0, n)).standard_normal(X[0].shape, np.float32) for n in range(5)])
    monkeypatch.setattr(np.random, "normal", lambda _mean, deviation, _shape: deviation * next(normals))
    expected = pair.GradientSaliency().GetSmoothedMask(X[0], call, stdev_spread=0.1, nsamples=5, magnitude=False)
    found = smoothgrad(model, TARGETS, samples=5, noise=0.1, seed=0)
    np.testing.assert_allclose(found.gradients[0], expected, atol=1e-5)


def test_integrated_gradients(model):
    """The package takes the mean over 17 points; the trapezoidal rule has 16 intervals and counts the ends by half."""
    baseline = np.full_like(X, 0.3)
    mean = pair.IntegratedGradients().GetMask(X[0], call, x_baseline=baseline[0], x_steps=17)
    ends = (networks.gradient(X[0], CLASS) + networks.gradient(baseline[0], CLASS)) / 2 * (X - baseline)[0]
    found = integrated_gradients(model, TARGETS, baseline, tolerance=0, most=17)
    np.testing.assert_allclose(found.maps[0], ((17 * mean - ends) / 16).sum(axis=-1), atol=1e-5)


def test_occlusion(model):
    """The package moves its window by one pixel, up to the border, and adds what Picasso takes the mean of."""
    expected = pair.Occlusion().GetMask(X[0], call, size=5, value=0)[..., 0]
    rows, columns = (np.convolve(np.ones(size - 4), np.ones(5)) for size in networks.SHAPE[:2])  # windows over each
    found = occlusion(model, TARGETS, np.zeros_like(X), (5, 5), 1)[0]
    assert np.ptp(found) > 0.01
    np.testing.assert_allclose(found, expected / np.outer(rows, columns), atol=1e-5)


@pytest.mark.parametrize("layer", networks.LAYERS)
def test_grad_cam(model, layer):
    expected = pair.GradCam().GetMask(X[0], call, layer, should_resize=False, three_dims=False)
    assert expected.max() > 0
    found = cam.class_activation(model, TARGETS, layer, cam.grad_cam)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, expected.max()))
