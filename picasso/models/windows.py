"""What occlusion asks of a model: one image, and the windows that hide a part of it, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Windows over one image.

    Attributes:
        x: float32 (1, height, width, channels), preprocessed.
        corners: int (windows, 2), each window's top and left; a window may overhang the border.
        size: (height, width) of a window, in pixels of the model's input.
        fill: float32 (height, width, channels), what hides: its part under the window replaces the image's.

    Raises:
        ValueError: the shapes are others.
    """

    x: FloatArray
    corners: IntArray
    size: tuple[int, int]
    fill: FloatArray

    def __post_init__(self) -> None:
        x, fill, corners = np.asarray(self.x, np.float32), np.asarray(self.fill, np.float32), np.asarray(self.corners)
        if x.ndim != 4 or len(x) != 1 or fill.shape != x.shape[1:]:
            raise ValueError(
                f"Windows need one image (1, H, W, C) and a fill (H, W, C), got {x.shape} and {fill.shape}."
            )
        if corners.ndim != 2 or corners.shape[1] != 2 or corners.dtype.kind not in "iu":
            raise ValueError(f"Corners are int (windows, 2), got {corners.dtype} {corners.shape}.")
        for name, value in (("x", x), ("fill", fill), ("corners", corners)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.corners)

    def changing(self) -> NDArray[np.bool_]:
        """Which of them change the image (windows,): elsewhere it looks like the fill already."""
        changed = np.pad((self.x[0] != self.fill).any(axis=-1).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        top, left = np.clip(self.corners, 0, self.x.shape[1:3]).T
        bottom, right = np.clip(self.corners + self.size, 0, self.x.shape[1:3]).T
        count = changed[bottom, right] - changed[top, right] - changed[bottom, left] + changed[top, left]
        return count > 0  # type: ignore[no-any-return]

    def some(self, numbers: IntArray) -> Windows:
        """Those of them that have these numbers."""
        return replace(self, corners=self.corners[numbers])

    def hidden(self) -> FloatArray:
        """Copies of the image, each with its window hidden: (windows, height, width, channels)."""
        return self.patches(np.zeros_like(self.corners), (self.x.shape[1], self.x.shape[2]))

    def patches(self, starts: IntArray, size: tuple[int, int]) -> FloatArray:
        """What patches of these copies show: (windows, rows, columns, channels).

        Args:
            starts: int (windows, 2), their first rows and columns; they lie inside the image.
            size: how many rows and columns they have.
        """
        patches = np.empty((len(self), *size, self.x.shape[3]), self.x.dtype)
        low = np.clip(self.corners - starts, 0, size)
        high = np.clip(self.corners - starts + self.size, 0, size)
        for patch, (row, column), (top, left), (bottom, right) in zip(patches, starts, low, high, strict=True):
            place = slice(row, row + size[0]), slice(column, column + size[1])
            patch[:] = self.x[0][place]
            patch[top:bottom, left:right] = self.fill[place][top:bottom, left:right]
        return patches
