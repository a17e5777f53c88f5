"""Which windows go together, and how far they stay patches: known before anything is computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.models.incremental.geometry import IntArray
from picasso.models.incremental.layout import Layout
from picasso.models.incremental.steps import Local, Step

WHOLE = 0.85  # of a map: from there on taking regions costs more than the cells that they save
BATCH = 64  # windows at most: more of them save no time
BANDS = 4  # into how many the windows are divided at most
MEMORY = 2**27  # bytes of a batch's activations: 128 MB
FLOAT = 4  # bytes
CALL = 5e7  # multiply-adds that take as long as calling a segment, about 0.5 ms
READ = 64  # those that take as long as reading a weight, which each batch does once


@dataclass(frozen=True)
class Batch:
    """Windows that are computed together.

    Attributes:
        windows: which ones, as numbers in the order they were asked for.
        starts, sizes: of their patches: int32 (spans, 2, windows) and (spans, 2).
        segments: how many of the network's segments work on patches; the others work on whole maps.
    """

    windows: IntArray
    starts: NDArray[np.int32]
    sizes: NDArray[np.int32]
    segments: int


@dataclass(frozen=True)
class Changes:
    """Which cells of each span change for each window: [low, high) along rows and columns.

    Attributes:
        low, high: int (spans, 2, windows).
        cells: how many rows and columns there are: int (spans, 2).
    """

    low: IntArray
    high: IntArray
    cells: IntArray

    def patches(self, windows: IntArray) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Where patches of one size for each span begin that hold the changes of some windows, and that size.

        They lie inside the map: at its borders they are moved inward.

        Returns:
            int32 (spans, 2, windows) and (spans, 2).
        """
        low, high = self.low[:, :, windows], self.high[:, :, windows]
        sizes = np.maximum(1, (high - low).max(axis=2))
        starts = np.clip(low, 0, (self.cells - sizes)[:, :, None])
        return starts.astype(np.int32), sizes.astype(np.int32)

    def shares(self) -> NDArray[np.float64]:
        """How large a share of the rows and of the columns each window changes, summed over all spans (2, windows)."""
        shares: NDArray[np.float64] = (np.maximum(self.high - self.low, 0) / self.cells[:, :, None]).sum(axis=0)
        return shares


class Costs:
    """What each segment costs for one window: `patches` (segments, spans) for each cell of a patch, the rest fixed.

    Attributes:
        always: for the steps that work on whole maps also between patches (segments,).
        whole: where all steps work on whole maps (segments,).
    """

    def __init__(self, layout: Layout) -> None:
        count = len(layout.segments)
        self.patches = np.zeros((count, len(layout.spans)))
        self.always, self.whole = np.zeros(count), np.zeros(count)

    def add(self, segment: int, span: int | None, each: float, all_cells: float) -> None:
        """Adds a step: `each` for one cell of its output, `all_cells` for a whole one."""
        self.whole[segment] += all_cells
        if span is None:
            self.always[segment] += all_cells
        else:
            self.patches[segment, span] += each

    def of(self, batch: Batch) -> NDArray[np.float64]:
        """What each segment costs for one window of a batch (segments,)."""
        patched = self.patches @ batch.sizes.prod(axis=1) + self.always
        costs: NDArray[np.float64] = np.where(np.arange(len(patched)) < batch.segments, patched, self.whole)
        return costs


class Planner:
    """Plans for one network."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._work, self._floats = Costs(layout), Costs(layout)
        for number, segment in enumerate(layout.segments):
            for step in segment.steps:
                span = layout.span_of.get(step.output)
                self._work.add(number, span, step.work, step.whole_work)
                self._floats.add(number, span, *_floats(step))
        self._sizes = np.array([span.cells for span in layout.spans])
        learnt = sum(step.learnt for segment in layout.segments for step in segment.steps)
        self._each = CALL * len(layout.segments) + READ * learnt  # multiply-adds that a batch costs beside its windows

    def batches(self, corners: IntArray, window: tuple[int, int], most: int = BATCH, work: float = 0) -> list[Batch]:
        """All windows, in batches.

        The patches of a batch are as large as the largest one of its windows, and those at the image's border are
        smaller than the others: of several ways to sort the windows, the one that leaves the least work is taken.

        Args:
            corners: int (windows, 2).
            most: windows in a batch; fewer where they need more memory than MEMORY.
            work: multiply-adds for a batch, at most; 0 for any number.
        """
        changes = self._changes(corners, window)
        largest = self._batch(np.arange(len(corners)), changes)
        fitting = MEMORY / FLOAT / max(1.0, self._floats.of(largest).max())
        quick = work / max(1.0, self.work(largest)) if work else most
        size = max(1, int(min(most, fitting, quick)))
        ways = itertools.chain(*(_partitions(changes, part) for part in {size, math.ceil(size / 2)}))
        plans = ([self._batch(part, changes) for part in parts] for parts in ways)
        return min(plans, key=lambda plan: self.total(plan) + self._each * len(plan))

    def work(self, batch: Batch) -> float:
        """Multiply-adds for one window of a batch."""
        return float(self._work.of(batch).sum())

    def total(self, batches: Sequence[Batch]) -> float:
        """Multiply-adds for all windows."""
        return sum(self.work(batch) * len(batch.windows) for batch in batches)

    def bytes(self, batch: Batch) -> float:
        """The activations that a batch holds at a time, at most."""
        return float(self._floats.of(batch).max()) * FLOAT * len(batch.windows)

    def first_whole(self, batches: Sequence[Batch]) -> str:
        """The path of the first step that works on whole maps in any of the batches."""
        patched = min(batch.segments for batch in batches)
        for number, segment in enumerate(self.layout.segments):
            for step in segment.steps:
                if number >= patched or step.output not in self.layout.span_of:
                    return step.path
        return ""

    def _changes(self, corners: IntArray, window: tuple[int, int]) -> Changes:
        """Which rows and columns of each span change, for every window."""
        low, high = np.zeros((2, len(self.layout.spans), 2, len(corners)), np.int64)
        for number, span in enumerate(self.layout.spans):
            sources = list(span.sources)
            for n, axis in enumerate(span.axes):
                if sources:
                    first, last = low[sources, n].min(axis=0), high[sources, n].max(axis=0)
                    low[number, n], high[number, n] = axis.changed(first, last)
                else:  # the image
                    low[number, n] = np.clip(corners[:, n], 0, axis.size)
                    high[number, n] = np.clip(corners[:, n] + window[n], 0, axis.size)
        return Changes(low, high, self._sizes)

    def _batch(self, windows: IntArray, changes: Changes) -> Batch:
        starts, sizes = changes.patches(windows)
        covered = sizes.prod(axis=1) > WHOLE * self._sizes.prod(axis=1)
        too_large = ((self._floats.patches > 0) & covered).any(axis=1)
        segments = int(np.argmax(too_large)) if too_large.any() else len(too_large)
        return Batch(windows, starts, sizes, segments)


def _floats(step: Step) -> tuple[float, float]:
    """How many numbers a step holds for one cell of its output (its regions are counted twice), and for a whole one."""
    cells = math.prod(step.shape[:2]) if len(step.shape) == 3 else 1
    each = math.prod(step.shape) / cells
    if not isinstance(step, Local):
        return each, each * cells
    entering = step.entering * math.prod(axis.stride for axis in step.axes)
    return each + (1 if step.cellwise else 2) * entering, (each + entering) * cells


def _partitions(changes: Changes, size: int) -> Iterator[list[IntArray]]:
    """Ways to divide windows into parts of at most `size`: as they come, and by how much they change.

    They are sorted by the share of rows that change, divided into bands of equal numbers, and within a band sorted by
    the share of columns.
    """
    rows, columns = changes.shares()
    yield _divided(np.arange(len(rows)), size)
    for bands in range(1, min(BANDS, math.ceil(len(rows) / size)) + 1):
        divided = np.array_split(np.argsort(rows, kind="stable"), bands)
        yield [part for band in divided for part in _divided(band[np.argsort(columns[band], kind="stable")], size)]


def _divided(windows: IntArray, size: int) -> list[IntArray]:
    return np.array_split(windows, math.ceil(len(windows) / size))
