"""Score-CAM: a layer's channels, weighted by the score of the image seen through each of them. It needs no gradients.

Source: Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.feature_maps import strongest
from picasso.attribution.resizing import resize
from picasso.attribution.targets import FloatArray, IntArray, Model, Step, Targets, parts, unwatched


@dataclass(frozen=True)
class ScoreCam:
    """Maps of P targets.

    Attributes:
        maps: float32 (P, height, width) at the layer's resolution, not negative.
        used: int (N,), how many of the layer's channels were weighed, for each image.
        wanted: int (N,), how many were to be weighed; more than `used` where `step` had enough.
        channels: how many the layer has.
    """

    maps: FloatArray
    used: IntArray
    wanted: IntArray
    channels: int


def score_cam(
    model: Model, targets: Targets, layer: str, fill: FloatArray, *, channels: int, step: Step = unwatched
) -> ScoreCam:
    """relu(sum over channels k of w_k * A_k), w = softmax over k of S(x * M_k + fill * (1 - M_k)).

    M_k is channel A_k stretched to the input's size and to 0..1. A channel with the same value everywhere has no M_k
    and is left out. The paper subtracts the score of an empty image from S, which the softmax does not see. The first n
    channels give the very map that `channels` = n gives.

    Args:
        layer: its path.
        fill: float32 (N, height, width, channels), what shows where M_k is 0.
        channels: how many to weigh at most, the strongest first.
        step: told of the maps so far, zero where an image has not begun.
    """
    activations = model.activations(targets.x, layer)
    maps = np.zeros((len(targets), *activations.shape[1:3]), np.float32)
    used, wanted = np.zeros((2, len(targets.x)), np.int64)
    for image, whole in enumerate(activations):
        uneven = whole[..., np.ptp(whole, axis=(0, 1)) > 0]
        kept = np.moveaxis(uneven[..., strongest(uneven, channels)], -1, 0)
        wanted[image] = len(kept)
        rows = np.flatnonzero(targets.images == image)
        scores = np.zeros((len(kept), len(rows)))
        for part in parts(len(kept), model.batch):
            x = _through(kept[part], targets.x[image], fill[image])
            scores[part] = model.predict(x, logits=targets.logits)[:, targets.classes[rows]]
            used[image] = part.stop
            weights = _softmax(scores[: part.stop])
            maps[rows] = np.maximum(np.tensordot(weights.T, kept[: part.stop], 1), 0)
            if step((image + part.stop / len(kept)) / len(activations), maps.copy()):
                return ScoreCam(maps, used, wanted, activations.shape[-1])
    return ScoreCam(maps, used, wanted, activations.shape[-1])


def _through(channels: FloatArray, x: FloatArray, fill: FloatArray) -> FloatArray:
    """The image seen through each channel (n, h, w): float32 (n, height, width, channels)."""
    masks = resize(channels, (x.shape[0], x.shape[1]))
    low, high = masks.min(axis=(1, 2), keepdims=True), masks.max(axis=(1, 2), keepdims=True)
    masks = ((masks - low) / np.where(high > low, high - low, 1))[..., None]
    return fill + masks * (x - fill)  # type: ignore[no-any-return]


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis."""
    exponents = np.exp(scores - scores.max(axis=0))
    return exponents / exponents.sum(axis=0)  # type: ignore[no-any-return]
