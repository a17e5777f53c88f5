"""The same network in bfloat16, which has 3 digits: quicker where the processor computes with it, and not exact."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from picasso.models.incremental.costs import seconds_per_window
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.steps import Convolution, Local, Step, Widened

FloatArray = NDArray[np.float32]
HALF = "bfloat16"
WORTHWHILE = 1.4  # times as quick as float32, at least: otherwise it is not offered
CALLS = 3  # that are timed; the first one prepares


def rounded(graph: Graph) -> Graph:
    """A folded graph whose maps are computed in bfloat16; what is no map, and every score, stays float32."""
    dtype = HALF if graph.dtype == "float32" else graph.dtype
    return replace(graph, steps=[_rounded(step) for step in graph.steps], dtype=dtype)


def quicker_preview(occluder: Occluder, x: FloatArray) -> Occluder | None:
    """The same network in bfloat16, compiled and calibrated; None where that is not worthwhile.

    Args:
        occluder: calibrated.
        x: one image (1, height, width, channels).
    """
    if not convolves_quicker():
        return None
    preview = Occluder(rounded(occluder.graph))
    preview.work_per_second = occluder.work_per_second  # at least
    seconds_per_window(preview, x)
    return preview if preview.work_per_second >= WORTHWHILE * occluder.work_per_second else None


def convolves_quicker() -> bool:
    """Whether the processor can have a worthwhile preview: asked of one convolution, in a tenth of a second."""
    return _seconds("float32") >= WORTHWHILE * _seconds(HALF)


def _rounded(step: Step) -> Any:
    if isinstance(step, Widened):
        return replace(step, dtype=HALF, widen=_rounded(step.widen), depthwise=_rounded(step.depthwise))
    if isinstance(step, Convolution):
        return replace(step, dtype=HALF, kernel=tf.cast(step.kernel, HALF), bias=tf.cast(step.bias, HALF))
    return replace(step, dtype=HALF) if isinstance(step, Local) else step


def _seconds(dtype: str) -> float:
    """That one convolution takes, the same for both."""
    rng, times = np.random.default_rng(0), []
    x, kernel = (tf.cast(rng.normal(size=shape), dtype) for shape in ((16, 14, 14, 128), (3, 3, 128, 128)))
    for _ in range(CALLS):
        start = time.perf_counter()
        tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0, 0].numpy()
        times.append(time.perf_counter() - start)
    return min(times)
