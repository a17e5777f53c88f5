"""Stretching maps: by hand, and against Pillow and TensorFlow."""

import numpy as np
import pytest
from PIL import Image

from picasso.attribution.resizing import interpolation, resize


def test_by_hand():
    np.testing.assert_allclose(interpolation(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(resize(np.float32([[0, 4]]), (1, 4)), [[0, 1, 3, 4]])
    np.testing.assert_allclose(resize(np.float32([[5]]), (2, 3)), [[5, 5, 5], [5, 5, 5]])


@pytest.mark.parametrize("shape", [(7, 7), (3, 5), (1, 4), (6, 1)])
@pytest.mark.parametrize("new", [(14, 21), (224, 224), (9, 8), (7, 11)])
def test_equal_to_pillow_and_tensorflow(shape, new):
    import tensorflow as tf

    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    result = resize(values, new)
    assert result.dtype == np.float32
    pillow = np.asarray(Image.fromarray(values).resize(new[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(result, pillow, atol=1e-5)
    np.testing.assert_allclose(result, tf.image.resize(values[..., None], new)[..., 0], atol=1e-5)


def test_many_at_once():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(resize(maps, (8, 9))[1, 2], resize(maps[1, 2], (8, 9)), atol=1e-6)


def test_the_same_size_changes_nothing():
    maps = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_array_equal(resize(maps, (4, 5)), maps)
