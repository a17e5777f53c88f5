"""The values that pictures are given to a model in: from 0..255 there and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.config import Preprocessing

Numbers = float | tuple[float, ...]
LEVELS = 255.0

# ImageNet's mean and standard deviation of red, green, blue: in 0..1 as PyTorch's models take them, and the mean in
# 0..255 as Caffe's do. The numbers are those of keras.applications (imagenet_utils.preprocess_input).
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Range:
    """`(x - subtract) / divide` on pixels 0..255, then the channels in reverse order where the model takes BGR."""

    subtract: Numbers
    divide: Numbers
    reverse: bool = False

    @classmethod
    def of(cls, spec: Preprocessing) -> Range:
        """The range that `spec` names; 0..255 where it names none."""
        if spec.scale is None:
            return cls(0.0 if spec.subtract is None else spec.subtract, 1.0 if spec.divide is None else spec.divide)
        if spec.scale == "caffe":
            return cls(CAFFE_MEAN, 1.0, reverse=True)
        if spec.scale in ("imagenet", "torch"):
            return cls(tuple(LEVELS * x for x in TORCH_MEAN), tuple(LEVELS * x for x in TORCH_DEVIATION))
        low, high = (-1.0, 1.0) if isinstance(spec.scale, str) else spec.scale
        step = LEVELS / (high - low)
        return cls(-low * step, step)

    def enter(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels 0..255 (..., height, width, channels) as the model takes them."""
        x = (pixels - np.asarray(self.subtract, np.float32)) / np.asarray(self.divide, np.float32)
        return np.ascontiguousarray(x[..., ::-1] if self.reverse else x, np.float32)

    def leave(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pixels 0..255 that were given to the model as `x`."""
        x = x[..., ::-1] if self.reverse else x
        pixels = x * np.asarray(self.divide, np.float32) + np.asarray(self.subtract, np.float32)
        return pixels.astype(np.float32, copy=False)


def describe_range(spec: Preprocessing) -> str:
    """The range in a few words: "0..1", "caffe: BGR, ImageNet mean subtracted"."""
    if spec.scale == "caffe":
        return "caffe: BGR, ImageNet mean subtracted"
    if spec.scale in ("imagenet", "torch"):
        return f"{spec.scale}: 0..1, then ImageNet mean and deviation"
    whole = Range.of(spec)
    ends = [((level - np.asarray(whole.subtract)) / np.asarray(whole.divide)) for level in (0.0, LEVELS)]
    if any(end.ndim for end in ends):
        return f"(x - {_listed(whole.subtract)}) / {_listed(whole.divide)}"
    return f"{ends[0]:g}..{ends[1]:g}"


def _listed(values: Numbers) -> str:
    return f"{values:g}" if isinstance(values, float) else "[" + ", ".join(f"{value:g}" for value in values) + "]"
