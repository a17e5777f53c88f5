"""RISE: the score of the image seen through random masks, and where they let the image through.

Source: Petsiuk, Das & Saenko 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models", section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.resizing import interpolation
from picasso.attribution.targets import FloatArray, Model, Step, unwatched

ROUND = 32  # masks after which precision is looked at; not the model's batch: results do not depend on its speed
FEWEST = 4 * ROUND  # with fewer, a standard error may be far too small: where a high score is rare, none had one yet


@dataclass(frozen=True)
class RandomMasks:
    """What random masks showed of one image, for P classes.

    Attributes:
        maps: float32 (P, height, width), signed: the mean score when a pixel is visible, minus `mean`.
        errors: float32 (P, height, width), the standard error of each value. Its square is right on average from about
            16 masks on; an interval from few masks takes Student's t with masks - 1 degrees of freedom.
        mean: float (P,), the mean score over all masks.
        masks: how many were used.
    """

    maps: FloatArray
    errors: FloatArray
    mean: NDArray[np.float64]
    masks: int

    @property
    def few(self) -> bool:
        """Whether the masks are too few to know how precise the maps are."""
        return self.masks < FEWEST

    @property
    def precision(self) -> NDArray[np.float64]:
        """(P,): the mean standard error, as a share of the range of the map; small is precise."""
        span = np.ptp(self.maps, axis=(1, 2)).astype(np.float64)
        error = self.errors.mean(axis=(1, 2), dtype=np.float64)
        share: NDArray[np.float64] = np.divide(error, span, out=np.zeros_like(span), where=span > 0)
        return share


def random_masks(
    model: Model,
    x: FloatArray,
    classes: list[int],
    fill: FloatArray,
    *,
    logits: bool,
    most: int,
    cells: int,
    visible: float,
    precision: float,
    seed: int,
    step: Step = unwatched,
) -> RandomMasks:
    """cov(S, M) / p for each pixel: S the score of x * M + fill * (1 - M), M the mask's value there, p its mean.

    The paper's map is mean(S * M) / p (equation 6), which is the same plus the mean of S, but for chance: how often a
    pixel happened to be visible counts there, and not here, so that fewer masks give the same precision.

    All classes come from the same calls of the model. It ends once the mean standard error is at most `precision` of
    every map's range, or after `most` masks.

    Args:
        x: float32 (height, width, channels), one image.
        classes: those to be explained.
        fill: float32 (height, width, channels), what shows where a mask is 0.
        cells: of a mask's grid, along each side.
        visible: p, the chance of a cell to be visible.
        step: told of the maps so far.
    """
    sums = _Sums(visible)
    count = 0
    result = None
    for masks in _rounds(x.shape[:2], most, cells, visible, seed):
        scores = model.predict(fill + masks[..., None] * (x - fill), logits=logits)[:, classes]
        sums.add(scores.T.astype(np.float64), masks)
        count += len(masks)
        result = sums.result(count)
        precise = not result.few and (result.precision <= precision).all()
        if step(1.0 if precise else count / most, result.maps) or precise:
            break
    if result is None:
        raise ValueError(f"most must be at least 1, got {most}")
    return result


def make_masks(
    numbers: NDArray[np.float64], shape: tuple[int, int], cells: tuple[int, int], visible: float
) -> FloatArray:
    """Masks (n, height, width), 0..1, whose mean over chance is `visible` at every pixel (section 3.2).

    A small grid of cells, each 1 with the chance `visible` and else 0, is stretched, bilinear, to one cell more than
    the image has, and the image is a part of that at a random offset of less than a cell.

    Args:
        numbers: float (n, cells[0] * cells[1] + 2), uniform in 0..1: what chance decides.
        cells: (rows, columns) of the grid.
    """
    grids = (numbers[:, 2:] < visible).reshape(-1, *cells)
    sides = []
    for size, along, chance in zip(shape, cells, numbers[:, :2].T, strict=True):
        cell = -(-size // along)
        places = (chance * cell).astype(int)[:, None] + np.arange(size)
        sides.append(interpolation(along, (along + 1) * cell)[places].astype(np.float32))  # (n, size, along)
    return sides[0] @ grids.astype(np.float32) @ sides[1].transpose(0, 2, 1)  # type: ignore[no-any-return]


def _rounds(shape: tuple[int, ...], most: int, cells: int, visible: float, seed: int) -> Iterator[FloatArray]:
    """Masks (at most 32, height, width) at a time, `most` in all."""
    height, width = shape
    grid = (min(cells, height), min(cells, width))
    rng = np.random.default_rng(seed)
    for start in range(0, most, ROUND):
        numbers = rng.random((min(ROUND, most - start), grid[0] * grid[1] + 2))
        yield make_masks(numbers, (height, width), grid, visible)


class _Sums:
    """Running sums over masks, with D = M - p: what means and standard errors are made of."""

    def __init__(self, visible: float) -> None:
        self.visible = visible
        self.scores: NDArray[np.float64] | float = 0.0  # S
        self.first: NDArray[np.float64] | float = 0.0  # D and S * D
        self.second: NDArray[np.float64] | float = 0.0  # D^2, S * D^2 and S^2 * D^2

    def add(self, scores: NDArray[np.float64], masks: FloatArray) -> None:
        """Scores (P, n) of masks (n, height, width)."""
        d = masks - self.visible
        ones = np.ones((1, scores.shape[1]))
        self.scores += scores.sum(axis=1)
        self.first += np.tensordot(np.concatenate([ones, scores]), d, 1)
        self.second += np.tensordot(np.concatenate([ones, scores, scores**2]), d**2, 1)

    def result(self, count: int) -> RandomMasks:
        """Mean and standard error of V = (S - mean(S)) * D / p after `count` masks."""
        mean = np.asarray(self.scores) / count
        first, second = np.asarray(self.first) / count, np.asarray(self.second) / count
        classes, m = len(mean), mean[:, None, None]
        maps = (first[1:] - m * first[0]) / self.visible
        squares = second[1 + classes :] - 2 * m * second[1 : 1 + classes] + m**2 * second[0]
        variance = np.maximum(squares / self.visible**2 - maps**2, 0)
        errors = np.sqrt(variance / max(1, count - 1))
        return RandomMasks(maps.astype(np.float32), errors.astype(np.float32), mean, count)
