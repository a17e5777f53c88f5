"""Pictures made in memory, to try a model and its preprocess function with."""

from __future__ import annotations

import numpy as np
from PIL import Image


def sample_pictures() -> list[Image.Image]:
    """Five pictures as different as can be, always the same: colours, near black, near white, a ramp, a checkerboard.

    RGB and grey, of several sizes, none square. None has one level only: a function that divides by the range of a
    picture's values is right for all that people look at.
    """
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, 320), (200, 1))
    rows, columns = np.indices((240, 180)) // 30
    arrays = [
        rng.integers(0, 256, (250, 300, 3)),
        rng.integers(0, 16, (300, 200, 3)),
        rng.integers(240, 256, (180, 240)),
        ramp,
        (rows + columns) % 2 * 255,
    ]
    return [Image.fromarray(array.astype(np.uint8)) for array in arrays]
