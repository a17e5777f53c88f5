"""The regions that layers need, each in one gather from [kept map, one cell of padding, patches]."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from picasso.models.incremental.geometry import Axis
from picasso.models.incremental.layout import Layout
from picasso.models.incremental.steps import Local

Tensor = Any
NUMBERS = 5  # that say which cells along one axis a step needs
OUTSIDE = -(2**30)  # a sum with it is negative: not in a patch


class Places:
    """Where the patches of each span lie in one batch of windows; inside a trace.

    Args:
        starts: int32 (spans, 2, windows), their first rows and columns.
        sizes: int32 (spans, 2), how many rows and columns they have.
    """

    def __init__(self, layout: Layout, starts: Tensor, sizes: Tensor) -> None:
        self.layout, self.starts, self.sizes = layout, starts, sizes

    @property
    def windows(self) -> Tensor:
        """How many windows the batch has."""
        return tf.shape(self.starts)[2]

    def region(self, kept: Tensor, patches: Tensor | None, at: int | None, span: int, step: Local) -> Tensor:
        """What `step` needs of a value for the patches of `span`: (windows, rows, columns, channels).

        Args:
            kept: the value of the un-occluded image (1, height, width, channels).
            patches: what changes of it, with the span `at`; None where no window changes it.
        """
        return self._gathered(kept, patches, at, span, _needed(step), step.pad)

    def kept(self, kept: Tensor, span: int) -> Tensor:
        """The cells of the un-occluded image that the patches of `span` take the place of."""
        same = [_along(Axis(size), 1) for size in kept.shape[1:3]]
        return self._gathered(kept, None, None, span, same, 0.0)

    def whole(self, kept: Tensor, patches: Tensor, at: int) -> Tensor:
        """The whole maps, with patches in them."""
        everything = [(0, 0, 0, size, 1) for size in kept.shape[1:3]]
        maps = self._gathered(kept, patches, at, 0, everything, 0.0)
        return tf.ensure_shape(maps, (None, *kept.shape[1:]))

    def inside(self, span: int, step: Local) -> Tensor:
        """Mask (windows, rows, columns, 1) of a region: 1 for cells of the map, 0 for those outside."""
        sizes = [axis.size for axis in step.axes]
        return _inside(self.starts, self.sizes, _numbers(span, -1, sizes, _needed(step)))

    def _gathered(
        self, kept: Tensor, patches: Tensor | None, at: int | None, span: int, needed: list[Any], pad: float
    ) -> Tensor:
        channels = kept.shape[3]
        rows = [tf.reshape(kept, (-1, channels)), tf.fill((1, channels), tf.cast(pad, kept.dtype))]
        if patches is None or at is None:
            indices = _in_kept(self.starts, self.sizes, _numbers(span, -1, kept.shape[1:3], needed))
        else:
            indices = _in_both(self.starts, self.sizes, _numbers(span, at, kept.shape[1:3], needed))
            rows.append(tf.reshape(patches, (-1, channels)))
        return tf.gather(tf.concat(rows, 0), indices)


def _needed(step: Local) -> list[tuple[int, ...]]:
    return [_along(axis, apart) for axis, apart in zip(step.axes, step.steps, strict=True)]


def _along(axis: Axis, apart: int) -> tuple[int, ...]:
    """The cells that a layer needs for n cells from `start` on, as NUMBERS.

    They begin at `start` times the first number minus the second; they are (n - 1) times the third plus the fourth, and
    the fifth lies between two of them.
    """
    return axis.stride, axis.before, axis.stride if apart == 1 else 1, axis.reach, apart


def _numbers(span: int, at: int, size: Any, needed: list[Any]) -> Tensor:
    return tf.constant([span, at, *size, *needed[0], *needed[1]], tf.int32)


# These are traced once for all layers: a network has dozens of regions, and each index takes thirty operations.
_SIGNATURE = [
    tf.TensorSpec((None, 2, None), tf.int32),
    tf.TensorSpec((None, 2), tf.int32),
    tf.TensorSpec((4 + 2 * NUMBERS,), tf.int32),
]


def _cells(starts: Tensor, sizes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The wanted rows and columns: int32 (windows, rows) and (windows, columns)."""
    span, wanted = numbers[0], []
    for axis in (0, 1):
        stride, before, spacing, reach, apart = tf.unstack(numbers[4 + axis * NUMBERS :][:NUMBERS])
        first = starts[span, axis] * stride - before
        wanted.append(first[:, None] + tf.range((sizes[span, axis] - 1) * spacing + reach) * apart)
    return wanted[0], wanted[1]


def _within(positions: Tensor, size: Tensor) -> Tensor:
    return tf.logical_and(positions >= 0, positions < size)


def _kept_indices(rows: Tensor, columns: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Cells of the kept map; that of the padding for those outside."""
    padding = height * width
    rows = tf.where(_within(rows, height), rows * width, padding)
    columns = tf.where(_within(columns, width), columns, padding)
    return tf.minimum(rows[:, :, None] + columns[:, None, :], padding)


def _inside_(starts: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    rows, columns = _cells(starts, sizes, numbers)
    both = tf.logical_and(_within(rows, numbers[2])[:, :, None], _within(columns, numbers[3])[:, None, :])
    return tf.cast(both, tf.float32)[..., None]


def _in_kept_(starts: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    return _kept_indices(*_cells(starts, sizes, numbers), numbers[2], numbers[3])


def _in_both_(starts: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    rows, columns = _cells(starts, sizes, numbers)
    height, width = numbers[2], numbers[3]
    tall, wide = sizes[numbers[1], 0], sizes[numbers[1], 1]
    down = rows - starts[numbers[1], 0][:, None]
    right = columns - starts[numbers[1], 1][:, None]
    window = tf.range(tf.shape(starts)[2])[:, None]
    down = tf.where(_within(down, tall), (down + tall * window) * wide, OUTSIDE)
    right = tf.where(_within(right, wide), right + height * width + 1, OUTSIDE)
    return tf.maximum(_kept_indices(rows, columns, height, width), down[:, :, None] + right[:, None, :])


_inside = tf.function(_inside_, _SIGNATURE, autograph=False)
_in_kept = tf.function(_in_kept_, _SIGNATURE, autograph=False)
_in_both = tf.function(_in_both_, _SIGNATURE, autograph=False)
