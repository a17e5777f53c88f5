"""Saliency: the largest absolute value over channels."""

import numpy as np

from picasso.attribution.saliency import saliency


def test_by_hand():
    gradients = np.float32([[[[1, -3, 2], [0, 0, 0]], [[-0.5, 0.25, 0.1], [4, 4, -4]]]])
    result = saliency(gradients)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32([[[3, 0], [0.5, 4]]]))


def test_one_channel_gives_absolute_values():
    gradients = np.float32([[[[-2], [1]]], [[[0], [-7]]]])
    np.testing.assert_array_equal(saliency(gradients), np.float32([[[2, 1]], [[0, 7]]]))


def test_the_gradients_stay_as_they_are():
    gradients = np.float32([[[[-1, 0.5]]]])
    saliency(gradients)
    np.testing.assert_array_equal(gradients, np.float32([[[[-1, 0.5]]]]))
