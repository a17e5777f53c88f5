"""Deletion and insertion: what the score does while a picture is hidden, or shown, in the order of a map.

Sources: Petsiuk, Das & Saenko 2018, "RISE", section 4.1 (deletion and insertion). Deletion is Quantus' `PixelFlipping`
(Bach et al. 2015; Hedstroem et al. 2023, "Quantus"): pixels from the highest value on, values with their sign, a fixed
fill, the trapezoidal rule. Two things are said otherwise here: a curve begins with the whole picture, and its area is
over the share of pixels, 0..1, so that it is a mean score whatever the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray, IntArray, Model, parts

FloatCurves = NDArray[np.float64]


@dataclass(frozen=True)
class HidingCurves:
    """Scores of one class for K orders of the pixels, with 0, 1, ..., all steps taken.

    Attributes:
        deletion: float (K, steps + 1), the first pixels of the order hidden.
        insertion: float (K, steps + 1), all but the first ones hidden.
    """

    deletion: FloatCurves
    insertion: FloatCurves


def strongest_first(values: FloatArray, rng: np.random.Generator) -> IntArray:
    """Each pixel's place in the order from the highest value on: int (height, width), 0 being the first.

    Pixels of equal value come in a random order: a row-by-row one would be a shape of its own.
    """
    order = np.lexsort((rng.random(values.size), -values.ravel()))
    places = np.empty(values.size, np.int64)
    places[order] = np.arange(values.size)
    return places.reshape(values.shape)


def moved(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The same map in another place: mirrored or not, then shifted by any number of rows and columns, going round.

    This is the random map to compare with. Its values and how coarse and smooth they are stay, only where they lie is
    chance. Single random pixels would be another thing: a network minds a thousand grey dots more than one grey patch.
    """
    flipped = values[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    return np.roll(flipped, rng.integers(values.shape), axis=(0, 1))


def hiding_curves(
    model: Model,
    x: FloatArray,
    cls: int,
    fill: FloatArray,
    orders: IntArray,
    steps: int,
    step: Callable[[float], None] = lambda _share: None,
) -> HidingCurves:
    """The score of one class as pixels are hidden or shown in some orders, an equal number of them at each step.

    Costs 2 + 2 * K * (steps - 1) model calls: the whole picture and the fill are the ends of all curves.

    Args:
        x: float32 (height, width, channels), one image.
        cls: the class; its score is the model's own output, not the logit.
        fill: float32 (height, width, channels), what hides.
        orders: int (K, height, width), each pixel's place, as `strongest_first` gives it.
        step: told how much is done, 0..1.
    """
    counts = np.rint(np.linspace(0, x.shape[0] * x.shape[1], steps + 1)).astype(np.int64)
    whole, hidden = model.predict(np.stack([x, fill]))[:, cls]
    curves = np.empty((2, len(orders), steps + 1))
    curves[0, :, 0] = curves[1, :, -1] = whole
    curves[0, :, -1] = curves[1, :, 0] = hidden
    items = [index for index in np.ndindex(curves.shape) if 0 < index[2] < steps]
    for part in parts(len(items), model.batch):
        pictures = []
        for insertion, order, taken in items[part]:
            first = (orders[order] < counts[taken])[..., None]
            pictures.append(np.where(first, x, fill) if insertion else np.where(first, fill, x))
        curves[tuple(np.transpose(items[part]))] = model.predict(np.stack(pictures))[:, cls]
        step(part.stop / len(items))
    return HidingCurves(*curves)


def area(curves: FloatCurves) -> NDArray[np.float64]:
    """The area under curves (..., steps + 1) over the share of pixels, 0..1, by the trapezoidal rule: (...)."""
    return (curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2  # type: ignore[no-any-return]
