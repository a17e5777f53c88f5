"""What hides a region: grey, black, white, the image's mean, a blur of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from picasso.attribution.targets import FloatArray

Fill = Literal["grey", "black", "white", "mean", "blur"]
FILLS: tuple[Fill, ...] = get_args(Fill)
LEVELS = {"grey": 128, "black": 0, "white": 255}  # 0..255, before preprocessing
BLUR_SHARE = 1 / 16  # standard deviation of the blur, as a share of the image's longer side


def make_fill(kind: Fill, x: FloatArray, solid: Callable[[int], FloatArray]) -> FloatArray:
    """The picture whose parts replace what is hidden.

    Args:
        kind: which one.
        x: the preprocessed image, float32 (height, width, channels).
        solid: gives the preprocessed input (height, width, channels) of a picture that is one grey level, 0..255.

    Returns:
        float32 (height, width, channels), in the units of `x`.
    """
    if kind == "mean":
        return np.broadcast_to(x.mean(axis=(0, 1), dtype=np.float64).astype(np.float32), x.shape).copy()
    if kind == "blur":
        return blur(x, max(x.shape[:2]) * BLUR_SHARE)
    return solid(LEVELS[kind])


def blur(x: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of (height, width, channels) with standard deviation `sigma` pixels; borders repeat outward."""
    radius = max(1, round(3 * sigma))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = x.astype(np.float64)
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(blurred, padding, mode="edge")
        size = x.shape[axis]
        blurred = sum(w * padded.take(range(i, i + size), axis=axis) for i, w in enumerate(kernel))
    return blurred.astype(np.float32)
