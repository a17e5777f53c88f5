"""Where a hidden window shows in each layer's output: intervals along one axis, for many windows at once.

An interval is [low, high) in cells of a map; one that is empty has low >= high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """How a layer moves its kernel along one axis of its input.

    Attributes:
        size: cells of the input.
        kernel, stride, dilation: of the layer, in cells.
        before, after: cells of padding on either side; negative ones are cut off.
    """

    size: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def reach(self) -> int:
        """How many cells of the input lie between the first and the last one that one cell of the output depends on."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def cells(self) -> int:
        """How many cells the output has."""
        return (self.size + self.before + self.after - self.reach) // self.stride + 1

    def changed(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        """The cells of the output that depend on any of [low, high) of the input."""
        first = -((self.reach - 1 - self.before - low) // self.stride)  # rounded up
        last = (high - 1 + self.before) // self.stride
        first, last = np.maximum(first, 0), np.minimum(last, self.cells - 1)
        nothing = (low >= high) | (first > last)
        return np.where(nothing, self.cells, first), np.where(nothing, 0, last + 1)


def same(size: int, kernel: int, stride: int, dilation: int = 1) -> Axis:
    """The axis of a layer with "same" padding, as TensorFlow divides it: the odd cell comes after."""
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return Axis(size, kernel, stride, dilation, total // 2, total - total // 2)
