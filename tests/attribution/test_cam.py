"""Class activation maps by hand."""

import numpy as np
import pytest
from fakes import Layered, noise

from picasso.attribution.cam import class_activation, grad_cam, grad_cam_plus_plus, layer_cam
from picasso.attribution.targets import Targets

# One image, one row of two places, two channels.
A = np.float32([[[[1, 2], [3, -4]]]])
G = np.float32([[[[2, 1], [-1, 2]]]])


def test_grad_cam_by_hand():
    """Mean gradients: 0.5 and 1.5. Places: 0.5 + 3 = 3.5, and 1.5 - 6 = -4.5, which is cut off."""
    np.testing.assert_allclose(grad_cam(A, G), [[[3.5, 0]]])


def test_layer_cam_by_hand():
    """Place 1: 2 * 1 + 1 * 2 = 4. Place 2: 0 * 3 + 2 * -4 = -8, cut off."""
    np.testing.assert_allclose(layer_cam(A, G), [[[4, 0]]])


def test_grad_cam_plus_plus_by_hand():
    """Channel 0: sum(A) = 4, a = 4 / (8 + 4 * 8) = .1 at place 1, where relu(G) = 2: w = .2.

    Channel 1: sum(A) = -2, a = 1 / (2 - 2) is zero by definition at place 1; 4 / (8 - 2 * 8) = -.5 at place 2: w = -1.
    Places: .2 * 1 - 1 * 2 = -1.8, cut off, and .2 * 3 + 1 * 4 = 4.6.
    """
    np.testing.assert_allclose(grad_cam_plus_plus(A, G), [[[0, 4.6]]], rtol=1e-6)


def test_grad_cam_plus_plus_of_one_place():
    """w = g / (2 + a * g): 2 / (2 + 3 * 2) = .25, times 3."""
    np.testing.assert_allclose(grad_cam_plus_plus(np.float32([[[[3]]]]), np.float32([[[[2]]]])), [[[0.75]]])


@pytest.mark.parametrize("combine", [grad_cam, grad_cam_plus_plus, layer_cam])
def test_no_gradient_gives_an_empty_map(combine):
    result = combine(A, np.zeros_like(G))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[[0, 0]]])


@pytest.mark.parametrize("seconds", [0.0, 0.4, 1.8])
@pytest.mark.parametrize("logits", [False, True])
def test_maps_are_those_of_the_layer_and_class(logits, seconds):
    """dS_c / dA = v_c + q_c * A, twice that for the logit."""
    v, q = noise(3, 2, 3, 4), noise(3, seed=1)
    x = noise(2, 4, 6, 4, seed=2)
    targets = Targets(x, np.array([1, 0, 1]), np.array([0, 2, 2]), logits)
    maps = class_activation(Layered(v, q, seconds), targets, "half", grad_cam)
    for found, image, cls in zip(maps, targets.images, targets.classes, strict=True):
        a = x[image, ::2, ::2]
        weights = (1 + logits) * (v[cls] + q[cls] * a).mean(axis=(0, 1))
        np.testing.assert_allclose(found, np.maximum(a @ weights, 0), atol=1e-5)
