"""Occlusion: how much a class score drops when one window of the image is hidden.

Source: Zeiler & Fergus 2013, "Visualizing and Understanding Convolutional Networks", section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray, IntArray, Model, Step, Targets, unwatched
from picasso.models.windows import Windows


def starts(size: int, window: int, stride: int) -> IntArray:
    """Where windows begin along one axis, so that every pixel is covered and none overhangs.

    They are `stride` apart, at most a window; the last one is moved inward to end at the border.

    >>> starts(10, 4, 4)
    array([0, 4, 6])
    """
    if not 1 <= window <= size:
        raise ValueError(f"window must be 1..{size}, got {window}")
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    return np.unique(np.append(np.arange(0, size - window + 1, min(stride, window)), size - window))


def corners(shape: tuple[int, int], window: tuple[int, int], stride: int) -> IntArray:
    """Top-left corners (positions, 2) of all windows on an image of `shape` (height, width), row by row."""
    rows, columns = (starts(size, side, stride) for size, side in zip(shape, window, strict=True))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def sliding(x: FloatArray, window: tuple[int, int], stride: int, fill: FloatArray) -> Windows:
    """Windows of at most the image's size that cover the whole of an image (1, height, width, channels)."""
    shape = x.shape[1], x.shape[2]
    size = min(window[0], shape[0]), min(window[1], shape[1])
    return Windows(x, corners(shape, size, stride), size, fill)


def coarse_to_fine(positions: IntArray, fewest: int = 1) -> list[IntArray]:
    """The numbers of `positions` (n, 2) in levels: every fourth row and column, then every second, then all others.

    A map that is drawn level by level shows the whole image early. A level of less than `fewest` is joined with the
    next one.
    """
    levels = []
    for axis in (0, 1):
        rank = np.unique(positions[:, axis], return_inverse=True)[1].reshape(-1)
        levels.append(np.where(rank % 4 == 0, 0, np.where(rank % 2 == 0, 1, 2)))
    level_of = np.maximum(*levels)
    found = [np.zeros(0, np.int64)]
    for level in np.unique(level_of):
        members = np.flatnonzero(level_of == level)
        found.append(np.concatenate([found.pop(), members]) if len(found[-1]) < fewest else members)
    return found


def average(
    values: NDArray[np.floating], positions: IntArray, window: tuple[int, int], shape: tuple[int, int]
) -> FloatArray:
    """Spreads one value per window over the pixels it covers; where windows overlap, their mean.

    Args:
        values: float (positions,).
        positions: int (positions, 2), top-left corners inside the image.
        window: (height, width).
        shape: (height, width) of the image.

    Returns:
        float32 (height, width); NaN where no window lies.
    """
    total, count = np.zeros((shape[0] + 1, shape[1] + 1)), np.zeros((shape[0] + 1, shape[1] + 1))
    top, left = positions.T
    bottom, right = top + window[0], left + window[1]
    # A window is +v at its top-left and bottom-right, -v at the two other corners; running sums then fill it.
    for rows, columns, sign in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
        np.add.at(total, (rows, columns), sign * values.astype(np.float64))
        np.add.at(count, (rows, columns), sign)
    total, count = (grid.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] for grid in (total, count))
    covered = count > 0.5
    return np.where(covered, total / np.where(covered, count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class Occluded:
    """One image with windows hidden, as far as their scores are known.

    Attributes:
        windows: all of them.
        base: float32 (classes,), the scores that drops are measured from: with nothing hidden.
        known: the numbers of the windows that have scores, in order.
        scores: float32 (windows, classes); rows that are not `known` mean nothing.
    """

    windows: Windows
    base: FloatArray
    known: IntArray
    scores: FloatArray

    def drops(self, numbers: IntArray) -> FloatArray:
        """How much each class's score drops when one of these windows is hidden: (numbers, classes)."""
        return self.base - self.scores[numbers]

    def map(self, cls: int) -> FloatArray:
        """The drop of one class, averaged over the windows that cover each pixel: as `average` gives it."""
        drops = self.base[cls] - self.scores[self.known, cls]
        return average(drops, self.windows.corners[self.known], self.windows.size, self.windows.x.shape[1:3])


def sweep(
    model: Model,
    windows: Windows,
    base: FloatArray,
    *,
    logits: bool,
    preview: bool = False,
    levels: Sequence[IntArray] | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Generator[Occluded]:
    """Hides the windows and gives, batch by batch, what is known by then; at the end all.

    A window under which the image looks like the fill already changes nothing: its scores are the image's own.

    Args:
        base: float32 (classes,), the model's scores (or logits) of the image itself.
        preview: as in `picasso.models.base.Model.occlude`. Drops are then measured from the image with nothing hidden
            in the same precision, and not from `base`.
        levels: the windows' numbers in parts, each of which is finished before the next; all at once unless given.
        enough: asked before each batch, as soon as something is known; once it says so, it does so for good, and the
            last that is given has what was under way then.
    """
    if preview:
        nothing = replace(windows, corners=-np.array([windows.size]))
        ((_, (base,)),) = model.occlude_in_parts(nothing, logits=logits, preview=True)
    changing = windows.changing()
    scores = np.tile(base, (len(windows), 1))
    known = np.flatnonzero(~changing)
    if not changing.any():
        yield Occluded(windows, base, known, scores)

    def no_more() -> bool:
        return len(known) > 0 and enough()

    for numbers in [np.arange(len(windows))] if levels is None else levels:
        level = numbers[changing[numbers]]
        parts = model.occlude_in_parts(windows.some(level), logits=logits, preview=preview, enough=no_more)
        for part, found in parts:
            scores[level[part]] = found
            known = np.sort(np.append(known, level[part]))
            yield Occluded(windows, base, known, scores)


def occlusion(
    model: Model,
    targets: Targets,
    fills: FloatArray,
    window: tuple[int, int],
    stride: int,
    step: Step = unwatched,
) -> FloatArray:
    """How much each target's score drops when a window is hidden, averaged over the windows that cover each pixel.

    Args:
        fills: float32 (N, height, width, channels), what hides each image.
        window: (height, width), cut to the images' size.
        stride: from one window to the next.
        step: told of the maps so far, NaN where no window has lain yet.

    Returns:
        float32 (P, height, width), signed: units of score.
    """
    maps = np.full((len(targets), *targets.shape), np.nan, np.float32)
    bases = model.predict(targets.x, logits=targets.logits)
    for image, (x, fill, base) in enumerate(zip(targets.x, fills, bases, strict=True)):
        windows = sliding(x[None], window, stride, fill)
        with closing(sweep(model, windows, base, logits=targets.logits)) as parts:
            for found in parts:
                for target in np.flatnonzero(targets.images == image):
                    maps[target] = found.map(targets.classes[target])
                if step((image + len(found.known) / len(windows)) / len(bases), maps):
                    return maps
    return maps
