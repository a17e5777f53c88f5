"""Maps of a layer brought to the size of the model's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray


def interpolation(size: int, new: int) -> NDArray[np.float64]:
    """The matrix (new, size) that stretches `size` values over `new` ones, bilinear.

    A value stands for an equal share of the length and lies in the middle of it: new value i lies at
    (i + 1/2) * size / new - 1/2. What lies beyond the first or last middle has the first or last value.

    >>> interpolation(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    places = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
    return weights


def resize(maps: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Stretches maps (..., height, width) to `shape`, bilinear; float32 (..., *shape)."""
    rows, columns = (interpolation(*sizes) for sizes in zip(maps.shape[-2:], shape, strict=True))
    return (rows @ maps @ columns.T).astype(np.float32)
