"""What hiding windows costs on a layer graph: timed once, so that pages can say it before a run."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from picasso.models.incremental.geometry import IntArray
from picasso.models.incremental.occluder import SECONDS_PER_BATCH, STREAMS, TIMED, Occluder
from picasso.models.incremental.planning import BATCH
from picasso.models.info import OcclusionCost, usual_window

FloatArray = NDArray[np.float32]
SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 4, 1 / 2, 3 / 4)  # sides that are looked at, of the shorter side of the image
ALONG = 13  # positions along each side, as the usual windows have, moved by half
FEW = 16  # windows, with which a run begins


def seconds_per_window(occluder: Occluder, x: FloatArray) -> float:
    """Seconds that hiding one of the usual windows takes; from then on plans know their seconds.

    It times full batches, as many as there are streams: fewer windows take longer each.

    Args:
        occluder: calibrated with some windows, so that batches are short.
        x: float32 (1, height, width, channels), any image.
    """
    shape = (x.shape[1], x.shape[2])
    window = (usual_window(shape), usual_window(shape))
    grid = _grid(shape, window)
    each = occluder.plan(grid, window).seconds / len(grid)
    batch = max(1, int(SECONDS_PER_BATCH / max(each, SECONDS_PER_BATCH / BATCH)))
    return occluder.calibrate(x, _some(grid, STREAMS * batch), window)[1]


def occlusion_costs(occluder: Occluder, x: FloatArray) -> tuple[OcclusionCost, ...]:
    """What one window costs, for some sides, the smallest first; arguments as above, after it."""
    shape = (x.shape[1], x.shape[2])
    usual, begin = usual_window(shape), _beginning(occluder, x)
    sides = sorted({max(1, round(min(shape) * share)) for share in SHARES} | {usual, max(shape)})
    return tuple(_cost(occluder, shape, side, begin) for side in sides)


def _beginning(occluder: Occluder, x: FloatArray) -> float:
    """Seconds that an image takes beside its windows: it is run as it is, and the first windows are few."""
    shape = (x.shape[1], x.shape[2])
    window = (usual_window(shape), usual_window(shape))
    few, times = _some(_grid(shape, window), FEW), []
    for number in range(TIMED):
        image = x + np.float32(number)  # another one each time
        start = time.perf_counter()
        occluder.occlude(image, few, window, np.zeros_like(x[0]))
        times.append(time.perf_counter() - start)
    return max(0.0, min(times) - occluder.plan(few, window).seconds)


def _cost(occluder: Occluder, shape: tuple[int, int], side: int, begin: float) -> OcclusionCost:
    window = (min(side, shape[0]), min(side, shape[1]))
    plan = occluder.plan(_grid(shape, window), window)
    return OcclusionCost(side, plan.seconds / plan.positions, plan.share, plan.whole_from, begin)


def _grid(shape: tuple[int, int], window: tuple[int, int]) -> IntArray:
    """Corners (positions, 2) of windows that are spread evenly over the image."""
    rows, columns = (
        np.unique(np.linspace(0, size - side, ALONG).astype(np.int64)) for size, side in zip(shape, window, strict=True)
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _some(corners: IntArray, count: int) -> IntArray:
    """So many of them at most, spread evenly."""
    return corners[np.unique(np.linspace(0, len(corners) - 1, count).astype(np.int64))]
