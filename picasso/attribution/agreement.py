"""How alike two maps are, and which layers are shuffled to see whether a map follows the model.

Sources: Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim 2018, "Sanity Checks for Saliency Maps", section 3.1
(cascading randomisation, from the scores back to the image). As Quantus' `MPRT` with its defaults: Spearman's rank
correlation of absolute values, top-down, weights permuted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray, IntArray


def ranks(values: FloatArray) -> NDArray[np.float64]:
    """Each value's rank, 1 for the lowest, equal values sharing the mean of theirs: float (size,)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_ranks: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return mean_ranks[places.ravel()]


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Spearman's rank correlation of two maps of one shape, -1..1: Pearson's correlation of their ranks.

    Quantus' `correlation_spearman`, but for a map that is the same everywhere: it is like no other, 0 instead of NaN.
    """
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


Box = tuple[float, float, float, float]
"""Where a map lies on its picture: left, top, right, bottom, in the picture's pixels."""


def on_one_grid(a: FloatArray, a_box: Box | None, b: FloatArray, b_box: Box | None) -> tuple[FloatArray, FloatArray]:
    """Two maps of one picture at the same places: those of the coarser one, where both have values.

    Args:
        a, b: float (height, width), of any two shapes.
        a_box, b_box: None where it is not known; both maps are then taken to show the same part of the picture.

    Returns:
        Two float arrays of one shape; the maps themselves where they have one grid already, else (rows, columns) of
        nearest values. Empty where they show no common part.
    """
    if a_box is None or b_box is None:
        a_box = b_box = (0.0, 0.0, 1.0, 1.0)
    if a.shape == b.shape and a_box == b_box:
        return a, b
    rows, columns = (
        _common_places((a_box[i], a_box[i + 2]), a.shape[axis], (b_box[i], b_box[i + 2]), b.shape[axis])
        for axis, i in ((0, 1), (1, 0))
    )
    return a[np.ix_(rows[0], columns[0])], b[np.ix_(rows[1], columns[1])]


def _common_places(
    a_ends: tuple[float, float], a_size: int, b_ends: tuple[float, float], b_size: int
) -> tuple[IntArray, IntArray]:
    """Along one axis, the indices into both maps of the cell centres of the coarser one that lie in both."""
    low, high = max(a_ends[0], b_ends[0]), min(a_ends[1], b_ends[1])
    cells = [((ends[1] - ends[0]) / size, ends[0]) for ends, size in ((a_ends, a_size), (b_ends, b_size))]
    cell, start = max(cells)
    first = np.ceil((low - start) / cell - 0.5)
    places = start + (np.arange(first, (high - start) / cell - 0.5) + 0.5) * cell
    found = [
        np.clip((places - start) // cell, 0, size - 1).astype(np.int64)
        for (cell, start), size in zip(cells, (a_size, b_size), strict=True)
    ]
    return found[0], found[1]


def agreement(a: FloatArray, b: FloatArray, signed: bool) -> float | None:
    """Spearman's rank correlation of two maps of one shape, at the places where both have a value, -1..1.

    Args:
        signed: whether both have a sign; otherwise their absolute values are compared.

    Returns:
        None where fewer than two places have a value in both.
    """
    both = np.isfinite(a) & np.isfinite(b)
    if np.count_nonzero(both) < 2:
        return None
    one, other = a[both], b[both]
    return spearman(one, other) if signed else spearman(np.abs(one), np.abs(other))


def total_variation(p: FloatArray, q: FloatArray) -> float:
    """How far two distributions over the same classes are apart: half the sum of the absolute differences, 0..1.

    >>> total_variation(np.array([0.5, 0.5, 0]), np.array([0.5, 0, 0.5]))
    0.5
    """
    return float(np.abs(p.astype(np.float64) - q).sum() / 2)


def overlap(a: IntArray, b: IntArray, share: float) -> float:
    """Of the first `share` of the pixels in one order, the share that is among the first in the other too, 0..1.

    Args:
        a, b: int (height, width), each pixel's place, as `strongest_first` gives it. Chance gives `share`.
    """
    first = max(1, round(share * a.size))
    return float(np.count_nonzero((a < first) & (b < first)) / first)


def cascade(layers: int) -> list[int]:
    """How many of `layers` layers are shuffled at each stage: one, a quarter, half, all; fewer stages for few layers.

    >>> cascade(50)
    [1, 13, 25, 50]
    """
    return sorted({1, -(-layers // 4), -(-layers // 2), layers}) if layers else []
