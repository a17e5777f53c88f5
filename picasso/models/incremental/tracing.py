"""Segments as compiled functions: once on patches and once on whole maps, for any number of windows of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from picasso.models.incremental.layout import Layout, Segment
from picasso.models.incremental.steps import Local, Mean, Step

Tensor = Any


@dataclass(frozen=True)
class Cells:
    """Which rows and columns of a map are wanted, for each window: int32 (windows, rows) and (windows, columns)."""

    rows: Tensor
    columns: Tensor

    def inside(self, height: int, width: int) -> Tensor:
        """Float mask (windows, rows, columns, 1): 1 for cells of the map."""
        rows, columns = _within(self.rows, height), _within(self.columns, width)
        both = tf.logical_and(rows[:, :, None], columns[:, None, :])
        return tf.cast(both, tf.float32)[..., None]


def _within(positions: Tensor, size: Any) -> Tensor:
    return tf.logical_and(positions >= 0, positions < size)


class Places:
    """Where the patches of each span lie in one batch of windows; inside a trace.

    Args:
        starts: int32 (spans, 2, windows), their first rows and columns.
        sizes: int32 (spans, 2), how many rows and columns they have.
    """

    def __init__(self, layout: Layout, starts: Tensor, sizes: Tensor) -> None:
        self.spans, self.starts, self.sizes = layout.spans, starts, sizes
        self.windows = tf.shape(starts)[2]

    def needed(self, step: Local, span: int) -> Cells:
        """The cells of the inputs that `step` needs for the patches of `span`."""
        wanted = []
        for number, (axis, apart) in enumerate(zip(step.axes, step.steps, strict=True)):
            first = self.starts[span, number] * axis.stride - axis.before
            count = self.sizes[span, number]
            if apart == 1:
                count = (count - 1) * axis.stride + axis.reach
            wanted.append(first[:, None] + tf.range(count) * apart)
        return Cells(*wanted)

    def cells(self, span: int) -> Cells:
        """The cells of the patches of `span`."""
        rows, columns = (self.starts[span, n][:, None] + tf.range(self.sizes[span, n]) for n in (0, 1))
        return Cells(rows, columns)

    def everything(self, height: int, width: int) -> Cells:
        """All cells of a map."""
        ones = tf.ones((self.windows, 1), tf.int32)
        return Cells(ones * tf.range(height), ones * tf.range(width))

    def region(self, kept: Tensor, patches: Tensor | None, span: int | None, cells: Cells, pad: float) -> Tensor:
        """The wanted cells of a value in one gather: from its patches, from the kept map, or `pad` outside it."""
        _, height, width, channels = kept.shape
        indices = self._indices(height, width, span, cells)
        rows = [tf.reshape(kept, (-1, channels)), tf.fill((1, channels), pad)]
        if patches is not None:
            rows.append(tf.reshape(patches, (-1, channels)))
        return tf.gather(tf.concat(rows, 0), indices)

    def _indices(self, height: int, width: int, span: int | None, cells: Cells) -> Tensor:
        """Where the cells lie in [kept map, one cell of padding, patches]: int32 (windows, rows, columns)."""
        padding = height * width
        rows = tf.where(_within(cells.rows, height), cells.rows * width, padding)
        columns = tf.where(_within(cells.columns, width), cells.columns, padding)
        kept = tf.minimum(rows[:, :, None] + columns[:, None, :], padding)
        if span is None:
            return kept
        (tall, wide), (top, left) = tf.unstack(self.sizes[span]), tf.unstack(self.starts[span])
        down, right = cells.rows - top[:, None], cells.columns - left[:, None]
        below = -(2**30)  # a sum with it is negative: not in the patch
        down = tf.where(_within(down, tall), (down + tall * tf.range(self.windows)[:, None]) * wide, below)
        right = tf.where(_within(right, wide), right + padding + 1, below)
        return tf.maximum(kept, down[:, :, None] + right[:, None, :])


def compiled(
    layout: Layout, segment: Segment, kept: dict[int, Tensor], *, patched: bool, to_patches: bool
) -> Callable[..., list[Tensor]]:
    """A segment as one function of the entering values, the kept ones, and what `Places` takes; gives the leaving ones.

    Args:
        kept: the kept values of any image.
        patched: the entering values that have a span are patches.
        to_patches: the computed ones are, too; else they are whole maps.
    """
    numbers = sorted({number for step in segment.steps for number in (*step.inputs, step.output)})

    def run(entering: list[Tensor], kept: list[Tensor], starts: Tensor, sizes: Tensor) -> list[Tensor]:
        trace = _Trace(layout, Places(layout, starts, sizes), dict(zip(numbers, kept, strict=True)))
        for number, value in zip(segment.entering, entering, strict=True):
            trace.add(number, value, patched)
        for step in segment.steps:
            trace.run(step, to_patches)
        return [trace.values[number] for number in segment.leaving]

    def spec(number: int) -> Any:
        value = kept[number]
        shape = (None, None, None, value.shape[3]) if patched and number in layout.span_of else (None, *value.shape[1:])
        return tf.TensorSpec(shape, value.dtype)

    function = tf.function(
        run,
        [
            [spec(number) for number in segment.entering],
            [tf.TensorSpec(kept[number].shape, kept[number].dtype) for number in numbers],
            tf.TensorSpec((len(layout.spans), 2, None), tf.int32),
            tf.TensorSpec((len(layout.spans), 2), tf.int32),
        ],
        autograph=False,
    )
    return lambda entering, all_kept, starts, sizes: function(  # type: ignore[no-any-return]
        entering, [all_kept[number] for number in numbers], starts, sizes
    )


class _Trace:
    """The values of one segment while it is traced. One that is not there is a kept one: no window changes it."""

    def __init__(self, layout: Layout, places: Places, kept: dict[int, Tensor]) -> None:
        self.layout, self.places, self.kept = layout, places, kept
        self.values: dict[int, Tensor] = {}
        self.spans: dict[int, int] = {}  # of those that are patches

    def add(self, number: int, value: Tensor, patches: bool) -> None:
        self.values[number] = value
        if patches and number in self.layout.span_of:
            self.spans[number] = self.layout.span_of[number]

    def run(self, step: Step, to_patches: bool) -> None:
        number = step.inputs[0]
        if isinstance(step, Local) and to_patches and step.output in self.layout.span_of:
            value = self._local(step, self.layout.span_of[step.output])
        elif isinstance(step, Mean) and to_patches and number in self.spans:
            value = self._mean(step, self.values[number], self.spans[number])
        else:
            value = step.whole([self._whole(number) for number in step.inputs])
        self.add(step.output, value, to_patches)

    def _local(self, step: Local, span: int) -> Tensor:
        cells = self.places.needed(step, span)
        regions = []
        for number in step.inputs:
            at = self.spans.get(number)
            if at == span and step.cellwise:
                regions.append(self.values[number])
            elif number not in self.values and self.kept[number].shape[1:3] == (1, 1):
                regions.append(self.kept[number])
            else:
                regions.append(self.places.region(self.kept[number], self.values.get(number), at, cells, step.pad))
        rows, columns = step.axes
        return step.local(regions, lambda: cells.inside(rows.size, columns.size))

    def _mean(self, step: Mean, patches: Tensor, span: int) -> Tensor:
        kept = self.kept[step.inputs[0]]
        before = self.places.region(kept, None, None, self.places.cells(span), 0.0)
        return step.changed(self.kept[step.output], before, patches, kept.shape[1] * kept.shape[2])

    def _whole(self, number: int) -> Tensor:
        """The whole value, for each window."""
        kept, value = self.kept[number], self.values.get(number)
        if value is None:
            return tf.tile(kept, [self.places.windows, *[1] * (len(kept.shape) - 1)])
        if number not in self.spans:
            return value
        cells = self.places.everything(kept.shape[1], kept.shape[2])
        whole = self.places.region(kept, value, self.spans[number], cells, 0.0)
        return tf.ensure_shape(whole, (None, *kept.shape[1:]))
