"""Whether a model's occlusion is computed on its layer graph: only where that is proved to be right, and quicker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from picasso.errors import NotSupported
from picasso.models.incremental.costs import seconds_per_window
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import Graph
from picasso.models.info import usual_window
from picasso.models.windows import Windows

FloatArray = NDArray[np.float32]
SAME_SCORES = 2e-5  # how far scores may be from those of the dense occlusion, relative to the largest
QUICK = 0.002  # seconds for an image: calling the parts of a network takes about as long


def quicker(
    fold: Callable[[], Graph | None],
    dense: Callable[[Windows], FloatArray],
    x: FloatArray,
    seconds_per_image: float,
) -> Occluder | None:
    """An occluder for the graph that `fold` gives, calibrated; None where the dense occlusion is to be used.

    Args:
        fold: gives the folded network, or None; not asked where the network is too quick for it to matter.
        dense: gives the network's last output with windows hidden, from whole images.
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
    windows = _about_the_centre(x)
    scores, _ = occluder.calibrate(x, windows.corners, windows.size)
    expected = dense(windows)
    if not np.abs(scores - expected).max() <= SAME_SCORES * max(1.0, float(np.abs(expected).max())):
        return None
    return occluder if seconds_per_window(occluder, x) < seconds_per_image else None


def _about_the_centre(x: FloatArray) -> Windows:
    """A few windows whose patches are the largest."""
    height, width = x.shape[1:3]
    side = usual_window((height, width))
    rows, columns = (np.array([size // 4, size * 3 // 4 - side]) for size in (height, width))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return Windows(x, corners, (side, side), np.zeros_like(x[0]))
