"""A layer's channels, in the order of their strength."""

from __future__ import annotations

import numpy as np

from picasso.attribution.targets import FloatArray, IntArray


def strength(activations: FloatArray) -> FloatArray:
    """Each channel's mean absolute value: float32 (..., height, width, channels) to (..., channels)."""
    return np.abs(activations).mean(axis=(-3, -2))  # type: ignore[no-any-return]


def strongest(activations: FloatArray, count: int) -> IntArray:
    """The numbers of the `count` strongest channels of one image (height, width, channels), strongest first."""
    return np.argsort(-strength(activations), kind="stable")[:count]
