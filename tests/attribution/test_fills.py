"""What hides a region: each fill by hand, and what a blur must keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picasso.attribution.fills import BLUR_SHARE, FILLS, blur, make_fill

IMAGE = np.arange(4 * 6 * 3, dtype=np.float32).reshape(4, 6, 3)


def solid(level):
    """Preprocessing that maps 0..255 to 0..1."""
    return np.full(IMAGE.shape, level / 255, np.float32)


@pytest.mark.parametrize(("kind", "value"), [("grey", 128 / 255), ("black", 0), ("white", 1)])
def test_solid_fills_go_through_the_preprocessing(kind, value):
    np.testing.assert_array_equal(make_fill(kind, IMAGE, solid), np.full(IMAGE.shape, value, np.float32))


def test_mean_is_taken_per_channel():
    fill = make_fill("mean", IMAGE, solid)
    # Channel c holds c, c + 3, ..., c + 69: their mean is c + 34.5.
    np.testing.assert_array_equal(fill, np.broadcast_to(np.float32([34.5, 35.5, 36.5]), IMAGE.shape))


def test_blur_follows_the_longer_side():
    np.testing.assert_array_equal(make_fill("blur", IMAGE, solid), blur(IMAGE, 6 * BLUR_SHARE))


@pytest.mark.parametrize("kind", FILLS)
def test_every_fill_is_a_new_float32_array_of_the_same_shape(kind):
    before = IMAGE.copy()
    fill = make_fill(kind, IMAGE, solid)
    assert (fill.shape, fill.dtype) == (IMAGE.shape, np.float32)
    fill += 1  # a view of the image, or one that cannot be written, would show here
    np.testing.assert_array_equal(before, IMAGE)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.floats(0.05, 5), st.floats(-100, 100))
def test_blur_keeps_a_constant(height, width, channels, sigma, value):
    constant = np.full((height, width, channels), value, np.float32)
    np.testing.assert_allclose(blur(constant, sigma), constant, rtol=1e-6, atol=1e-6)


def test_blur_spreads_an_impulse_that_sums_to_one():
    impulse = np.zeros((21, 31, 1), np.float32)
    impulse[10, 15] = 1
    blurred = blur(impulse, 1.5)[..., 0]
    assert blurred.sum() == pytest.approx(1, abs=1e-6)
    assert blurred.argmax() == 10 * 31 + 15
    np.testing.assert_allclose(blurred, blurred[::-1, ::-1], atol=1e-9)
    np.testing.assert_allclose(blurred[10, 10:21], blurred[5:16, 15], atol=1e-9)  # the same in both directions


def test_blur_by_hand():
    """sigma 1: weights exp(-d^2 / 2) for |d| <= 3, divided by their sum."""
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    weights /= weights.sum()
    impulse = np.zeros((1, 9, 1), np.float32)
    impulse[0, 4] = 1
    np.testing.assert_allclose(blur(impulse, 1.0)[0, 1:8, 0], weights, atol=1e-7)


def test_blur_does_not_mix_channels():
    image = np.zeros((5, 5, 3), np.float32)
    image[..., 1] = 7
    np.testing.assert_allclose(blur(image, 2), image, atol=1e-6)
