"""Which windows go together, and how far they stay patches: known before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.models.incremental.geometry import Changes, IntArray, union
from picasso.models.incremental.layout import Layout
from picasso.models.incremental.steps import Local, Step

WHOLE = 0.85  # of a map: from there on taking regions costs more than the cells that they save
BATCH = 64  # windows at most: more of them save no time
BANDS = 4  # into how many the windows are divided at most
MEMORY = 2**28  # bytes of a batch's activations: 256 MB
FLOAT = 4  # bytes


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
        self._cells = np.array([math.prod(span.cells) for span in layout.spans])

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
        plans = ([self._batch(part, changes) for part in parts] for parts in _partitions(changes, size))
        return min(plans, key=self.total)

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

    def _changes(self, corners: IntArray, window: tuple[int, int]) -> list[tuple[Changes, Changes]]:
        """Which rows and columns of each span change, for every window."""
        found: list[tuple[Changes, Changes]] = []
        for span in self.layout.spans:
            both = []
            for n in (0, 1):
                if span.sources:
                    both.append(union([found[source][n] for source in span.sources]).through(span.axes[n]))
                    continue
                size = span.cells[n]
                low, high = np.clip(corners[:, n], 0, size), np.clip(corners[:, n] + window[n], 0, size)
                both.append(Changes(low, high, size))
            found.append((both[0], both[1]))
        return found

    def _batch(self, windows: IntArray, changes: Sequence[tuple[Changes, Changes]]) -> Batch:
        placed = [[axis.patches(windows) for axis in pair] for pair in changes]
        starts = np.array([[start for start, _ in pair] for pair in placed], np.int32)
        sizes = np.array([[size for _, size in pair] for pair in placed], np.int32)
        covered = sizes.prod(axis=1) > WHOLE * self._cells
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


def _partitions(changes: Sequence[tuple[Changes, Changes]], size: int) -> Iterator[list[IntArray]]:
    """Ways to divide windows into parts of at most `size`: as they come, and by how much they change.

    They are sorted by the share of rows that change, over all spans, divided into bands of equal numbers, and within a
    band sorted by the share of columns.
    """
    shares = [sum(np.maximum(pair[n].high - pair[n].low, 0) / pair[n].cells for pair in changes) for n in (0, 1)]
    count = len(shares[0])
    yield _divided(np.arange(count), size)
    for bands in range(1, min(BANDS, math.ceil(count / size)) + 1):
        divided = np.array_split(np.argsort(shares[0], kind="stable"), bands)
        yield [part for band in divided for part in _divided(band[np.argsort(shares[1][band], kind="stable")], size)]


def _divided(windows: IntArray, size: int) -> list[IntArray]:
    return np.array_split(windows, math.ceil(len(windows) / size))
