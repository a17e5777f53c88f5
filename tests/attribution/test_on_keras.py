"""Every method on a real network, through the adapter, against the formula written out with TensorFlow: within 1e-5."""

import networks
import numpy as np
import pytest
import tensorflow as tf

from picasso.attribution import cam
from picasso.attribution.integrated_gradients import integrated_gradients
from picasso.attribution.random_masks import make_masks, random_masks
from picasso.attribution.saliency import gradient, gradient_times_input
from picasso.attribution.score_cam import score_cam
from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets

X = networks.images()
PAIRS = [(0, 3), (0, 1), (1, 2)]
IMAGES, CLASSES = np.array(PAIRS).T


@pytest.fixture(scope="module")
def model():
    return networks.model()


@pytest.fixture(scope="module")
def targets():
    return Targets(X, IMAGES, CLASSES, logits=True)


def assert_close(found, expected):
    """Within 1e-5 of the largest value, or of 1."""
    expected = np.stack(expected)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0)


def test_gradient(model, targets):
    assert_close(gradient(model, targets), [networks.gradient(X[i], c) for i, c in PAIRS])


def test_gradient_times_input(model, targets):
    assert_close(gradient_times_input(model, targets), [X[i] * networks.gradient(X[i], c) for i, c in PAIRS])


def test_smoothgrad(model, targets):
    found = smoothgrad(model, targets, samples=6, noise=0.2, seed=5).gradients
    for one, (i, c) in zip(found, PAIRS, strict=True):
        sigma = 0.2 * (X[i].max() - X[i].min())
        noisy = [X[i] + sigma * np.random.default_rng((5, n)).standard_normal(X[i].shape, np.float32) for n in range(6)]
        assert_close(one, np.mean([networks.gradient(x.astype(np.float32), c) for x in noisy], axis=0))


@pytest.mark.slow
def test_integrated_gradients(model, targets):
    baselines = np.full_like(X, 0.1)
    found = integrated_gradients(model, targets, baselines, tolerance=0, most=17)  # the first refinement halves all
    for one, change, (i, c) in zip(found.maps, found.change, PAIRS, strict=True):
        way = [baselines[i] + share * (X[i] - baselines[i]) for share in np.linspace(0, 1, 17)]
        slopes = np.stack([networks.gradient(x.astype(np.float32), c) for x in way])
        assert_close(one, ((slopes[:-1] + slopes[1:]).mean(axis=0) / 2 * (X[i] - baselines[i])).sum(axis=-1))
        expected = networks.logits(X[i : i + 1])[0, c] - networks.logits(baselines[i : i + 1])[0, c]
        assert change == pytest.approx(expected, abs=1e-5)


def test_integrated_gradients_add_up_once_there_are_enough_points(model, targets):
    found = integrated_gradients(model, targets, np.zeros_like(X), tolerance=0.001, most=513)
    assert (found.gap <= 0.001 * np.abs(found.change)).all()
    np.testing.assert_allclose(found.maps.sum(axis=(1, 2)), found.change, rtol=0.002)


@pytest.mark.parametrize("layer", networks.LAYERS)
def test_cams(model, targets, layer):
    for combine in (cam.grad_cam, cam.grad_cam_plus_plus, cam.layer_cam):
        found = cam.class_activation(model, targets, layer, combine)
        expected = []
        for i, c in PAIRS:
            a, g = networks.layer(X[i], c, layer)
            if combine is cam.grad_cam:
                weights = g.mean(axis=(0, 1))
            elif combine is cam.layer_cam:
                weights = np.maximum(g, 0)
            else:
                bottom = 2 * g**2 + a.sum(axis=(0, 1)) * g**3
                shares = np.where(bottom != 0, g**2 / np.where(bottom != 0, bottom, 1), 0)
                weights = (shares * np.maximum(g, 0)).sum(axis=(0, 1))
            expected.append(np.maximum((weights * a).sum(axis=-1), 0))
        assert_close(found, expected)


@pytest.mark.parametrize("layer", networks.LAYERS)
def test_score_cam(model, targets, layer):
    fill = np.full_like(X, 0.2)
    found = score_cam(model, targets, layer, fill, channels=4)
    expected = []
    for i, c in PAIRS:
        a = networks.layer(X[i], c, layer)[0]
        order = np.argsort(-np.abs(a).mean(axis=(0, 1)))[:4]
        masks = tf.image.resize(a[..., order], networks.SHAPE[:2]).numpy()
        masks = (masks - masks.min(axis=(0, 1))) / np.ptp(masks, axis=(0, 1))
        seen = np.stack([X[i] * masks[..., k, None] + fill[i] * (1 - masks[..., k, None]) for k in range(4)])
        weights = tf.nn.softmax(networks.logits(seen)[:, c]).numpy()
        expected.append(np.maximum((weights * a[..., order]).sum(axis=-1), 0))
    assert_close(found.maps, expected)


def test_random_masks(model):
    fill = np.zeros_like(X[0])
    found = random_masks(model, X[0], [3, 1], fill, logits=False, most=96, cells=4, visible=0.5, precision=0, seed=9)
    masks = make_masks(np.random.default_rng(9).random((96, 18)), networks.SHAPE[:2], (4, 4), 0.5)
    scores = networks.network()(X[0] * masks[..., None]).numpy().astype(float)[:, [3, 1]]
    deviations = scores - scores.mean(axis=0)
    assert_close(found.maps, np.einsum("nk,nhw->khw", deviations, (masks - 0.5) / 0.5) / 96)
