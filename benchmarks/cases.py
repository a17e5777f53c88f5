"""What is computed: the same for every library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STRIDE = 16  # between windows
SAMPLES = 16  # noisy copies for SmoothGrad
NOISE = 0.15  # their standard deviation
POINTS = 25  # of the way of integrated gradients
CHANNELS = 64  # for Score-CAM
MASKS = 96  # for RISE
CELLS = 7  # of a mask, along each side


@dataclass(frozen=True)
class Case:
    """One image (1, height, width, channels), the class that is explained, the layer of CAMs, the window's side."""

    x: NDArray[np.float32]
    target: int
    layer: str
    window: int = 32


class Job(NamedTuple):
    """Something to be timed: `run` gives a map, or evaluates so many positions of it."""

    run: Callable[[], Any]
    positions: int = 1


Method = Callable[[Any, Case], Job]
"""Makes a job of an opened network: what a person does once is done here, the rest whenever it is run."""
