"""Gradients by hand: of models whose slopes are known, and how channels become one map."""

import numpy as np
import pytest
from fakes import Power, noise

from picasso.attribution.saliency import gradient, gradient_times_input, guided_backpropagation, saliency, total
from picasso.attribution.targets import Targets

WEIGHTS = noise(3, 4, 5, 2)
IMAGES = noise(2, 4, 5, 2, seed=1)
TARGETS = Targets(IMAGES, np.array([0, 0, 1]), np.array([2, 0, 1]), logits=False)


def test_the_gradient_of_a_linear_model_is_its_weights():
    np.testing.assert_array_equal(gradient(Power(WEIGHTS), TARGETS), WEIGHTS[[2, 0, 1]])


def test_the_gradient_of_a_quadratic_model_is_weights_times_input():
    expected = WEIGHTS[[2, 0, 1]] * IMAGES[[0, 0, 1]]
    np.testing.assert_allclose(gradient(Power(WEIGHTS, 2), TARGETS), expected, rtol=1e-6)


def test_the_logit_is_explained_where_it_is_asked_for():
    targets = Targets(IMAGES, TARGETS.images, TARGETS.classes, logits=True)
    np.testing.assert_array_equal(gradient(Power(WEIGHTS), targets), 2 * WEIGHTS[[2, 0, 1]])


def test_gradient_times_input_of_a_linear_model_adds_up_to_its_score():
    model = Power(WEIGHTS)
    values = gradient_times_input(model, TARGETS)
    np.testing.assert_allclose(values, WEIGHTS[[2, 0, 1]] * IMAGES[[0, 0, 1]], rtol=1e-6)
    scores = model.predict(IMAGES)[[0, 0, 1], [2, 0, 1]]
    np.testing.assert_allclose(total(values).sum(axis=(1, 2)), scores, rtol=1e-5)


def test_guided_backpropagation_is_what_the_model_gives():
    targets = Targets(IMAGES, TARGETS.images, TARGETS.classes, logits=True)
    expected = 2 * np.maximum(WEIGHTS[[2, 0, 1]], 0)
    np.testing.assert_array_equal(guided_backpropagation(Power(WEIGHTS), targets), expected)


@pytest.mark.parametrize("seconds", [0.0, 0.2, 1.8])
def test_classes_and_images_share_batches(seconds):
    model = Power(WEIGHTS, seconds=seconds)
    count = 40
    targets = Targets(IMAGES, np.arange(count) % 2, np.arange(count) % 3, logits=False)
    gradient(model, targets)
    assert len(model.sizes) == -(-count // max(1, model.batch // 2))


def test_saliency_by_hand():
    gradients = np.float32([[[[1, -3, 2], [0, 0, 0]], [[-0.5, 0.25, 0.1], [4, 4, -4]]]])
    result = saliency(gradients)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32([[[3, 0], [0.5, 4]]]))


def test_one_channel_gives_absolute_values():
    gradients = np.float32([[[[-2], [1]]], [[[0], [-7]]]])
    np.testing.assert_array_equal(saliency(gradients), np.float32([[[2, 1]], [[0, 7]]]))


def test_the_total_keeps_the_sign():
    values = np.float32([[[[1, -3, 1], [0.5, 0.5, 0]]]])
    result = total(values)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32([[[-1, 1]]]))


def test_the_gradients_stay_as_they_are():
    gradients = np.float32([[[[-1, 0.5]]]])
    saliency(gradients)
    np.testing.assert_array_equal(gradients, np.float32([[[[-1, 0.5]]]]))
