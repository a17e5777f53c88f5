"""SmoothGrad: the gradient's mean over noisy copies of the image.

Source: Smilkov, Thorat, Kim, Viegas & Wattenberg 2017, "SmoothGrad: removing noise by adding noise".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray, IntArray, Model, Step, Targets, parts, unwatched


@dataclass(frozen=True)
class SmoothGrad:
    """Means of P targets.

    Attributes:
        gradients: float32 (P, height, width, channels), signed: units of score per unit of input.
        samples: int (P,), over how many noisy copies.
    """

    gradients: FloatArray
    samples: IntArray


def smoothgrad(
    model: Model, targets: Targets, *, samples: int, noise: float, seed: int, step: Step = unwatched
) -> SmoothGrad:
    """1/n * (sum over n samples of dS/dx at x + e), e normal with standard deviation `noise` * (max(x) - min(x)).

    Every image and class meets the same noise, whatever is computed with it, so that its map depends on the seed alone.

    Args:
        samples: how many noisy copies of each image.
        noise: standard deviation, as a share of the range of the image's values.
        step: told of the means so far, from when on each target has one.
    """
    spread = np.float32(noise) * (targets.x.max(axis=(1, 2, 3)) - targets.x.min(axis=(1, 2, 3)))
    sums = np.zeros((len(targets), *targets.x.shape[1:]))
    counts = np.zeros(len(targets), np.int64)
    items = np.arange(samples * len(targets))
    for part in parts(len(items), model.gradient_batch):
        numbers, rows = np.divmod(items[part], len(targets))
        images = targets.images[rows]
        normal = _normal(seed, np.unique(numbers).tolist(), targets.x.shape[1:])
        noisy = np.stack([normal[n] for n in numbers]) * spread[images, None, None, None]
        noisy += targets.x[images]
        gradients = targets.gradients(model, noisy, rows)
        for row, one in zip(rows, gradients, strict=True):
            sums[row] += one
            counts[row] += 1
        if counts.all() and step(part.stop / len(items), _means(sums, counts)):
            break
    return SmoothGrad(_means(sums, counts), counts)


def _means(sums: NDArray[np.float64], counts: IntArray) -> FloatArray:
    return (sums / counts[:, None, None, None]).astype(np.float32)


def _normal(seed: int, numbers: list[int], shape: tuple[int, ...]) -> dict[int, FloatArray]:
    """The noise of each of these samples, standard deviation 1; on all cores, as numpy draws without Python's lock."""

    def draw(number: int) -> FloatArray:
        return np.random.default_rng((seed, number)).standard_normal(shape, np.float32)

    with ThreadPoolExecutor() as pool:
        return dict(zip(numbers, pool.map(draw, numbers), strict=True))
