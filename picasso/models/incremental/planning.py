"""Which windows go together, and how far they stay patches: known before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.models.incremental.geometry import Changes, IntArray, union
from picasso.models.incremental.layout import Layout

WHOLE = 0.85  # of a map: from there on a whole one costs less than taking regions of it
BATCH = 64  # windows at most
BANDS = 4  # into how many the windows are divided at most


@dataclass(frozen=True)
class Batch:
    """Windows that are computed together.

    Attributes:
        windows: which ones, as numbers in the order they were asked for.
        starts, sizes: of their patches: int32 (spans, 2, windows) and (spans, 2).
        segments: how many of the network's segments work on patches.
    """

    windows: IntArray
    starts: NDArray[np.int32]
    sizes: NDArray[np.int32]
    segments: int


class Planner:
    """Plans for one network."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.whole_work = np.array([sum(step.whole_work for step in part.steps) for part in layout.segments])
        cells = np.array([math.prod(span.cells) for span in layout.spans])
        # patch_work[segment, span]: multiply-adds for one cell of a span's patch
        self.patch_work = np.zeros((len(layout.segments), len(layout.spans)))
        self.other_work = np.zeros(len(layout.segments))
        self.uses = np.zeros((len(layout.segments), len(layout.spans)), bool)
        for number, part in enumerate(layout.segments):
            for step in part.steps:
                span = layout.span_of.get(step.output)
                if span is None:
                    self.other_work[number] += step.whole_work
                else:
                    self.patch_work[number, span] += step.work
                    self.uses[number, span] = True
        self.cells = cells

    def changes(self, corners: IntArray, window: tuple[int, int]) -> list[tuple[Changes, Changes]]:
        """Which rows and columns of each span change, for every window."""
        found: list[tuple[Changes, Changes]] = []
        for span in self.layout.spans:
            if span.sources:
                both = (union([found[source][n] for source in span.sources]).through(span.axes[n]) for n in (0, 1))
                rows, columns = both
            else:
                rows, columns = (
                    Changes(np.clip(corners[:, n], 0, size), np.clip(corners[:, n] + window[n], 0, size), size)
                    for n, size in enumerate(span.cells)
                )
            found.append((rows, columns))
        return found

    def batches(self, corners: IntArray, window: tuple[int, int], size: int = BATCH) -> list[Batch]:
        """All windows, in batches of at most `size`.

        The patches of a batch are as large as the largest one of its windows, and those at the image's border are
        smaller than the others: of several ways to sort the windows, the one that leaves the least work is taken.
        """
        changes = self.changes(corners, window)
        plans = ([self._batch(part, changes) for part in parts] for parts in _partitions(changes, size))
        return min(plans, key=lambda plan: sum(self.work(batch) * len(batch.windows) for batch in plan))

    def _batch(self, windows: IntArray, changes: Sequence[tuple[Changes, Changes]]) -> Batch:
        placed = [[axis.patches(windows) for axis in pair] for pair in changes]
        starts = np.array([[start for start, _ in pair] for pair in placed], np.int32)
        sizes = np.array([[size for _, size in pair] for pair in placed], np.int32)
        covered = sizes.prod(axis=1) > WHOLE * self.cells
        too_large = (self.uses & covered).any(axis=1)
        segments = int(np.argmax(too_large)) if too_large.any() else len(too_large)
        return Batch(windows, starts, sizes, segments)

    def work(self, batch: Batch) -> float:
        """Multiply-adds for one window of a batch."""
        patches = self.patch_work[: batch.segments] @ batch.sizes.prod(axis=1)
        whole = self.whole_work[batch.segments :].sum() + self.other_work[: batch.segments].sum()
        return float(patches.sum() + whole)


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
        yield [
            part for band in divided for part in _divided(band[np.argsort(shares[1][band], kind="stable")], size)
        ]


def _divided(windows: IntArray, size: int) -> list[IntArray]:
    return np.array_split(windows, math.ceil(len(windows) / size))
