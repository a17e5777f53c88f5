"""Class activation maps: a layer's channels, weighted by what their gradients say of a class.

Each `Combine` takes a layer's activations A and the gradients G = dS/dA, both (P, height, width, channels), and gives
maps (P, height, width) at the layer's resolution. None is negative: what speaks against the class is cut off.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from picasso.attribution.targets import FloatArray, Model, Targets, parts

Combine = Callable[[FloatArray, FloatArray], FloatArray]


def grad_cam(activations: FloatArray, gradients: FloatArray) -> FloatArray:
    """relu(sum over channels of mean(G) * A), the mean taken over all places.

    Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.
    """
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return np.maximum((weights * activations).sum(axis=-1), 0)  # type: ignore[no-any-return]


def grad_cam_plus_plus(activations: FloatArray, gradients: FloatArray) -> FloatArray:
    """relu(sum over channels of w * A) with w = sum over places of a * relu(G), a = G^2 / (2 G^2 + sum(A) * G^3).

    The paper explains exp(S), whose derivatives are those of S times exp(S). That factor is left out: it is the same
    for the whole map and may overflow. Where a's denominator is zero, a is zero.

    Source: Chattopadhyay et al. 2018, "Grad-CAM++: Generalized Gradient-Based Visual Explanations", section 3.
    """
    g = gradients.astype(np.float64)
    denominator = 2 * g**2 + activations.sum(axis=(1, 2), keepdims=True, dtype=np.float64) * g**3
    shares = np.divide(g**2, denominator, out=np.zeros_like(g), where=denominator != 0)
    weights = (shares * np.maximum(g, 0)).sum(axis=(1, 2), keepdims=True)
    return np.maximum((weights * activations).sum(axis=-1), 0).astype(np.float32)  # type: ignore[no-any-return]


def layer_cam(activations: FloatArray, gradients: FloatArray) -> FloatArray:
    """relu(sum over channels of relu(G) * A): every place has weights of its own.

    Source: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    section III.
    """
    return np.maximum((np.maximum(gradients, 0) * activations).sum(axis=-1), 0)  # type: ignore[no-any-return]


def class_activation(model: Model, targets: Targets, layer: str, combine: Combine) -> FloatArray:
    """Each target's map of a layer, float32 (P, height, width) at the layer's resolution.

    Args:
        layer: its path.
        combine: one of the functions above.
    """
    maps: list[FloatArray] = []
    for part in parts(len(targets), model.gradient_batch):
        x, classes = targets.x[targets.images[part]], targets.classes[part].tolist()
        maps.append(combine(*model.layer_gradients(x, classes, layer, logits=targets.logits)))
    return np.concatenate(maps)
