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
