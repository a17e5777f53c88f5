"""Cells that nothing uses are not computed: what comes before a stride that passes over them gets that stride instead.

ResNet50's stages begin with 1 x 1 convolutions of stride 2, which use one cell in four of the block before them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from picasso.models.incremental.geometry import Axis
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.steps import Convolution, Local, Pool, Step, untouched


@dataclass(eq=False)
class Thin(Local):
    """Every so many rows and columns of a map."""

    def on_whole(self, inputs: list[Any]) -> Any:
        rows, columns = self.axes
        return inputs[0][:, :: rows.stride, :: columns.stride]


def thin(graph: Graph) -> Graph:
    """The same network with strides as early as they can be."""
    numbers = itertools.count(1 + max([graph.image, *graph.constants, *(step.output for step in graph.steps)]))
    steps = [part for step in graph.steps for part in _parted(step, numbers)]
    while True:
        steps = _merged(steps)
        moved = _moved(steps, graph, numbers)
        if moved is None:
            return replace(graph, steps=steps)
        steps = moved


def _parted(step: Step, numbers: Iterator[int]) -> list[Step]:
    """A 1 x 1 convolution or pool with a stride: the stride, and the convolution of every cell that is left."""
    if not isinstance(step, Convolution | Pool) or step.cellwise:
        return [step]
    if any(axis.kernel > 1 or axis.before or axis.after for axis in step.axes):
        return [step]
    rows, columns = (Axis(axis.cells) for axis in step.axes)
    if isinstance(step, Pool):
        return [_thin(step.path, step.inputs[0], step.axes, step.shape[2], step.output, step.after)]
    first = _thin(step.path, step.inputs[0], step.axes, step.kernel.shape[2], next(numbers))
    return [first, replace(step, inputs=[first.output], axes=(rows, columns))]


def _thin(
    path: str, number: int, axes: tuple[Axis, Axis], channels: int, output: int, after: list[Any] | None = None
) -> Thin:
    shape = (axes[0].cells, axes[1].cells, channels)
    return Thin(path, [number], output, shape, untouched, axes=axes, after=after or [])


def _merged(steps: list[Step]) -> list[Step]:
    """Equal strides over one value are one."""
    first: dict[Any, int] = {}
    instead: dict[int, int] = {}
    kept = []
    for step in steps:
        step = replace(step, inputs=[instead.get(number, number) for number in step.inputs])
        if isinstance(step, Thin) and not step.after:
            same = first.setdefault((step.inputs[0], step.axes), step.output)
            if same != step.output:
                instead[step.output] = same
                continue
        kept.append(step)
    return kept


def _moved(steps: list[Step], graph: Graph, numbers: Iterator[int]) -> list[Step] | None:
    """The steps with one stride moved to before what it follows; None where none can be."""
    made = {step.output: step for step in steps}
    uses = Counter([number for step in steps for number in step.inputs] + graph.outputs)
    for step in steps:
        before = made.get(step.inputs[0])
        if not isinstance(step, Thin) or before is None or uses[before.output] > 1:
            continue
        if isinstance(before, Convolution):
            earlier = _strided(before, step, numbers)
        elif isinstance(before, Local) and before.cellwise:
            earlier = _thinned(before, step, graph, made, numbers)
        else:
            continue
        if earlier:
            return [part for other in steps if other is not step for part in (earlier if other is before else [other])]
    return None


def _strided(before: Convolution, step: Thin, numbers: Iterator[int]) -> list[Step]:
    """The convolution with the stride after it as its own."""
    rows, columns = (
        replace(axis, stride=axis.stride * later.stride) for axis, later in zip(before.axes, step.axes, strict=True)
    )
    if max(rows.dilation, columns.dilation) > 1 or (before.depthwise and rows.stride != columns.stride):
        return []  # TensorFlow has none of these
    after = [*before.after, *step.after]
    return _parted(replace(before, axes=(rows, columns), output=step.output, shape=step.shape, after=after), numbers)


def _thinned(before: Local, step: Thin, graph: Graph, made: dict[int, Step], numbers: Iterator[int]) -> list[Step]:
    """What computes each cell for itself, of thinned inputs."""
    thins, inputs = [], []
    for number in before.inputs:
        shape = made[number].shape if number in made else graph.given[number]
        if shape[:2] == (1, 1):  # one value for all cells
            inputs.append(number)
            continue
        thins.append(_thin(step.path, number, step.axes, shape[2], next(numbers)))
        inputs.append(thins[-1].output)
    rows, columns = (Axis(axis.cells) for axis in step.axes)
    after = [*before.after, *step.after]
    return [
        *thins,
        replace(before, inputs=inputs, axes=(rows, columns), output=step.output, shape=step.shape, after=after),
    ]
