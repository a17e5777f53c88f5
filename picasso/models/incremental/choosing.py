"""Whether a model's occlusion is computed on its layer graph: only where that is proved to be right, and quicker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from picasso.errors import NotSupported
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import Graph
from picasso.models.info import usual_window

FloatArray = NDArray[np.float32]
SAME_SCORES = 2e-5  # how far scores may be from those of the dense occlusion, relative to the largest
QUICK = 0.002  # seconds for an image: calling the parts of a network takes about as long
WINDOWS = 16  # that are timed, about the centre: their patches are the largest
PROVED = 4  # of them that are computed both ways


def quicker(
    fold: Callable[[], Graph | None],
    dense: Callable[[FloatArray, NDArray[np.int64], tuple[int, int], FloatArray], NDArray[np.float32]],
    x: FloatArray,
    seconds_per_image: float,
) -> Occluder | None:
    """An occluder for the graph that `fold` gives, calibrated; None where the dense occlusion is to be used.

    Args:
        fold: gives the folded network, or None; not asked where the network is too quick for it to matter.
        dense: `Model.occlude` of the base class, giving the network's last output.
        x: one image (1, height, width, channels).
        seconds_per_image: that the dense occlusion takes.
    """
    if seconds_per_image < QUICK:
        return None
    graph = fold()
    if graph is None:
        return None
    try:
        occluder = Occluder(graph)
    except NotSupported:
        return None
    height, width = x.shape[1:3]
    side = usual_window((height, width))
    rows, columns = (np.linspace(size // 4, size * 3 // 4 - side, 4).astype(np.int64) for size in (height, width))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)[:WINDOWS]
    scores, seconds = occluder.calibrate(x, corners, (side, side))
    if seconds > seconds_per_image:
        return None
    few = np.arange(0, WINDOWS, WINDOWS // PROVED)
    expected = dense(x, corners[few], (side, side), np.zeros_like(x[0]))
    difference = np.abs(scores[few] - expected).max()
    return occluder if difference <= SAME_SCORES * max(1.0, float(np.abs(expected).max())) else None
