"""Segments as compiled functions: once on patches and once on whole maps, for any number of windows of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from picasso.models.incremental.gathering import Places
from picasso.models.incremental.layout import Layout, Segment
from picasso.models.incremental.steps import Local, Mean, Step
from picasso.models.keras_compiled import InTurn

Tensor = Any


def compiled(
    layout: Layout, segment: Segment, kept: dict[int, Tensor], *, patched: bool, to_patches: bool
) -> Callable[..., list[Tensor]]:
    """A segment as one function of the entering values, the kept ones, and what `Places` takes; gives the leaving ones.

    Args:
        kept: the kept values of any image.
        patched: the entering values that have a span are patches.
        to_patches: the computed ones are, too; else they are whole maps.
    """
    numbers = sorted(_needed(layout, segment, patched, to_patches))

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
    function = InTurn(function.get_concrete_function())  # found once: every call would spend half a millisecond on it
    return lambda entering, all_kept, starts, sizes: function(
        entering, [all_kept[number] for number in numbers], starts, sizes
    )


def _needed(layout: Layout, segment: Segment, patched: bool, to_patches: bool) -> set[int]:
    """The kept values that a segment reads: those beside patches, and those that no window changes."""
    patches = {number for number in segment.entering if patched and number in layout.span_of}
    changing = {*segment.entering, *(step.output for step in segment.steps)}
    if to_patches:
        patches |= {step.output for step in segment.steps if step.output in layout.span_of}
    used = {number for step in segment.steps for number in step.inputs if number in patches or number not in changing}
    means = {step.output for step in segment.steps if isinstance(step, Mean) and step.inputs[0] in patches}
    return used | means


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
        regions = []
        for number in step.inputs:
            value, at = self.values.get(number), self.spans.get(number)
            if at == span and step.cellwise:
                regions.append(value)
            elif value is None and self.kept[number].shape[1:3] == (1, 1):
                regions.append(self.kept[number])  # one value for all cells
            else:
                regions.append(self.places.region(self.kept[number], value, at, span, step))
        return step.local(regions, lambda: self.places.inside(span, step))

    def _mean(self, step: Mean, patches: Tensor, span: int) -> Tensor:
        kept = self.kept[step.inputs[0]]
        before = self.places.kept(kept, span)
        return step.changed(self.kept[step.output], before, patches, kept.shape[1] * kept.shape[2])

    def _whole(self, number: int) -> Tensor:
        """The whole value, for each window."""
        value = self.values.get(number)
        if value is None:
            kept = self.kept[number]
            return tf.tile(kept, [self.places.windows, *[1] * (len(kept.shape) - 1)])
        return self.places.whole(self.kept[number], value, self.spans[number]) if number in self.spans else value
