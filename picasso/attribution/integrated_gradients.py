"""Integrated gradients: a change of score, divided among the values of the input.

Source: Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks", section 3; completeness is
proposition 1, and section 5 advises to take more points until it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray, IntArray, Model, Step, Targets, nothing, parts

FIRST_INTERVALS = 8


@dataclass(frozen=True)
class Integrated:
    """What integrating gave for P targets.

    Attributes:
        values: float32 (P, height, width, channels), signed: units of score.
        change: float (P,), S(x) - S(baseline), which `values` would sum to if the integral were exact.
        gap: float (P,), how far their sum is from it.
        points: int (P,), on how many points of the way gradients were taken.
    """

    values: FloatArray
    change: FloatArray
    gap: NDArray[np.float64]
    points: IntArray


def intervals(most: int) -> list[int]:
    """Into how many intervals the way is divided, one refinement after another: 8, 16, ... and never above `most`."""
    counts = [min(FIRST_INTERVALS, most)]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts


def integrated_gradients(
    model: Model,
    targets: Targets,
    baselines: FloatArray,
    *,
    tolerance: float,
    most: int,
    step: Step = nothing,
) -> Integrated:
    """(x - b) * (integral over a from 0 to 1 of dS/dx at b + a * (x - b)).

    The trapezoidal rule, whose intervals are halved, so that every earlier point counts again, until a target's gap is
    at most `tolerance` of its change, or the next halving would make more than `most` intervals.

    Args:
        baselines: float32 (N, height, width, channels), what each image is compared with.
        step: told of the values so far.
    """
    change = targets.scores(model, targets.x) - targets.scores(model, baselines)
    difference = (targets.x - baselines)[targets.images]
    sums = np.zeros(difference.shape)  # of gradients, those at the two ends by half
    values = np.zeros(difference.shape, np.float32)
    points, gap = np.zeros(len(targets), np.int64), np.abs(change).astype(np.float64)
    rows = np.arange(len(targets))
    levels = intervals(most)
    before = 0
    for count in levels:
        places = np.array([place for place in range(count + 1) if not before or place % 2]) / count
        halves = np.where((places == 0) | (places == 1), 0.5, 1.0)
        for part in parts(len(rows) * len(places), model.batch):
            which, here = np.divmod(np.arange(part.start, part.stop), len(places))
            x = baselines[targets.images[rows[which]]] + places[here, None, None, None] * difference[rows[which]]
            gradients = targets.gradients(model, x.astype(np.float32), rows[which])
            for row, weight, one in zip(rows[which], halves[here], gradients, strict=True):
                sums[row] += weight * one
            done = before + (count - before) * part.stop / (len(rows) * len(places))
            step(done / levels[-1], values)
        values[rows] = sums[rows] / count * difference[rows]
        points[rows] = count + 1
        gap[rows] = np.abs(values[rows].sum(axis=(1, 2, 3), dtype=np.float64) - change[rows])
        step(count / levels[-1], values)
        rows, before = rows[gap[rows] > tolerance * np.abs(change[rows])], count
        if not len(rows):
            break
    return Integrated(values, change, gap, points)
