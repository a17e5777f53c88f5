"""What hiding windows of any size costs on a layer graph: found once, so that pages can say it before a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picasso.models.incremental.geometry import IntArray
from picasso.models.incremental.occluder import SECONDS_PER_BATCH, STREAMS, Occluder
from picasso.models.incremental.planning import BATCH
from picasso.models.info import OcclusionCost, usual_window

FloatArray = NDArray[np.float32]
SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 4, 1 / 2, 3 / 4)  # sides that are looked at, of the shorter side of the image
ALONG = 13  # positions along each side, as the usual windows have, moved by half


def occlusion_costs(occluder: Occluder, x: FloatArray) -> tuple[OcclusionCost, ...]:
    """What one window costs, for some sides, the smallest first.

    It times full batches of the usual windows, as many as there are streams; `quicker` took few windows, and few take
    longer each.

    Args:
        occluder: calibrated.
        x: float32 (1, height, width, channels), any image.
    """
    shape = (x.shape[1], x.shape[2])
    usual = usual_window(shape)
    sides = sorted({max(1, round(min(shape) * share)) for share in SHARES} | {usual, max(shape)})
    grid = _grid(shape, (usual, usual))
    each = occluder.plan(grid, (usual, usual)).seconds / len(grid)
    batch = max(1, int(SECONDS_PER_BATCH / max(each, SECONDS_PER_BATCH / BATCH)))
    count = min(len(grid), STREAMS * batch)
    occluder.calibrate(x, grid[np.linspace(0, len(grid) - 1, count).astype(np.int64)], (usual, usual))
    return tuple(_cost(occluder, shape, side) for side in sides)


def _cost(occluder: Occluder, shape: tuple[int, int], side: int) -> OcclusionCost:
    window = (min(side, shape[0]), min(side, shape[1]))
    plan = occluder.plan(_grid(shape, window), window)
    return OcclusionCost(side, plan.seconds / plan.positions, plan.share, plan.whole_from)


def _grid(shape: tuple[int, int], window: tuple[int, int]) -> IntArray:
    """Corners (positions, 2) of windows that are spread evenly over the image."""
    rows, columns = (
        np.unique(np.linspace(0, size - side, ALONG).astype(np.int64)) for size, side in zip(shape, window, strict=True)
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
