"""What can be said of a network before any window is known: what changes with the image, where, and in which segments.

A span is a place that patches of several values share. Segments are runs of steps that are compiled together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from picasso.errors import NotSupported
from picasso.models.incremental.geometry import Axis
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.steps import Local, Step

SEGMENT = 0.015  # of the network's multiply-adds, at least: each call of a compiled function costs about 0.5 ms


@dataclass(frozen=True)
class Span:
    """Where a value changes: where those of `sources` do, seen through `axes`."""

    axes: tuple[Axis, Axis]
    sources: tuple[int, ...]

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.axes[0].cells, self.axes[1].cells


@dataclass(frozen=True)
class Segment:
    """Steps that are compiled together.

    Attributes:
        steps: in order.
        entering: the numbers of the changing values from earlier segments that are used here or later.
        leaving: those that are used later.
    """

    steps: list[Step]
    entering: list[int]
    leaving: list[int]


@dataclass(frozen=True)
class Layout:
    """A graph prepared for windows.

    Attributes:
        spans: the first is the image's.
        span_of: the span of each value that stays a patch as long as its map is large enough.
        segments: in order.
        kept: the numbers of the values of the un-occluded image that are used again, and of its outputs.
    """

    graph: Graph
    spans: list[Span]
    span_of: dict[int, int]
    segments: list[Segment]
    kept: set[int]


def lay_out(graph: Graph) -> Layout:
    """The layout of a graph.

    Raises:
        NotSupported: the outputs do not depend on the image.
    """
    spans = [Span((Axis(graph.shape[0]), Axis(graph.shape[1])), ())]
    span_of = {graph.image: 0}
    changing = {graph.image}
    steps = []
    for step in graph.steps:
        dirty = [number for number in step.inputs if number in changing]
        if not dirty:
            continue
        changing.add(step.output)
        steps.append(step)
        sources = tuple(sorted({span_of[number] for number in dirty if number in span_of}))
        if not isinstance(step, Local) or any(number not in span_of for number in dirty):
            continue
        if any(spans[source].cells != tuple(axis.size for axis in step.axes) for source in sources):
            continue
        if step.cellwise and len(sources) == 1:
            span_of[step.output] = sources[0]
        else:
            span_of[step.output] = len(spans)
            spans.append(Span(step.axes, sources))
    if not steps:
        raise NotSupported("The scores do not depend on the image.")
    kept = {number for step in steps for number in step.inputs} | set(graph.outputs)
    kept |= {step.output for step in steps}
    return Layout(graph, spans, span_of, _segments(graph, steps, changing), kept)


def _segments(graph: Graph, steps: Sequence[Step], changing: set[int]) -> list[Segment]:
    """Cut where one value alone is used later, so that little passes between segments."""
    last = {number: index for index, step in enumerate(steps) for number in step.inputs}
    last |= dict.fromkeys(graph.outputs, len(steps))
    segments, entering = [], [graph.image]
    begin, live, work = 0, {graph.image}, 0.0
    for index, step in enumerate(steps):
        live = {number for number in live | {step.output} if last.get(number, -1) > index and number in changing}
        work += step.whole_work
        if index + 1 == len(steps) or (len(live) == 1 and work >= SEGMENT * graph.work):
            leaving = sorted(live)
            segments.append(Segment(list(steps[begin : index + 1]), entering, leaving))
            begin, entering, work = index + 1, leaving, 0.0
    return segments
