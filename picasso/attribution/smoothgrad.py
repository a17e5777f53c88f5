"""SmoothGrad: the gradient's mean over noisy copies of the image.

Source: Smilkov, Thorat, Kim, Viegas & Wattenberg 2017, "SmoothGrad: removing noise by adding noise".
"""

from __future__ import annotations

import numpy as np

from picasso.attribution.targets import FloatArray, Model, Step, Targets, nothing, parts


def smoothgrad(
    model: Model, targets: Targets, *, samples: int, noise: float, seed: int, step: Step = nothing
) -> FloatArray:
    """1/n * (sum over n samples of dS/dx at x + e), e normal with standard deviation `noise` * (max(x) - min(x)).

    Every image and class meets the same noise, whatever is computed with it, so that its map depends on the seed alone.

    Args:
        samples: how many noisy copies of each image.
        noise: standard deviation, as a share of the range of the image's values.
        step: told of the means so far.

    Returns:
        float32 (P, height, width, channels), signed: units of score per unit of input.
    """
    spread = noise * (targets.x.max(axis=(1, 2, 3)) - targets.x.min(axis=(1, 2, 3)))
    sums = np.zeros((len(targets), *targets.x.shape[1:]))
    counts = np.zeros((len(targets), 1, 1, 1))
    items = np.arange(samples * len(targets))
    for part in parts(len(items), model.batch):
        numbers, rows = np.divmod(items[part], len(targets))
        images = targets.images[rows]
        normal = {n: np.random.default_rng((seed, int(n))).normal(size=targets.x.shape[1:]) for n in np.unique(numbers)}
        noisy = [targets.x[i] + spread[i] * normal[n] for n, i in zip(numbers, images, strict=True)]
        gradients = targets.gradients(model, np.stack(noisy).astype(np.float32), rows)
        for row, one in zip(rows, gradients, strict=True):
            sums[row] += one
            counts[row] += 1
        step(part.stop / len(items), (sums / np.maximum(counts, 1)).astype(np.float32))
    return (sums / samples).astype(np.float32)
