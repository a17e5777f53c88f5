"""Models of plain NumPy behind the real interface, whose gradients are known by hand."""

from __future__ import annotations

import numpy as np

from picasso.models.base import Model
from picasso.models.info import Layer, ModelInfo

ABILITIES = frozenset({"predict", "gradients", "guided", "logits", "activations"})


class Fake(Model):
    """Scores of images (height, width, channels). `sizes` are the batches that came; logits are twice the scores.

    Args:
        seconds: that one image takes, by its info: 1 / `seconds` images make a batch.
    """

    def __init__(self, shape, classes, layers=(), seconds=0.0):
        super().__init__()
        labels = tuple(f"class {index}" for index in range(classes))
        self.info = ModelInfo(
            "fake", "numpy", "", 0, "", "", shape, labels, "raw score", ABILITIES, 0, seconds_per_image=seconds,
            layers=layers,
        )  # fmt: skip
        self.sizes = []

    @property
    def gradient_batch(self):
        return max(1, self.batch // 2)

    def _scores(self, x, logits):
        self.sizes.append(len(x))
        assert len(x) <= self.batch
        return ((1 + logits) * self.score(x)).astype(np.float32)

    def _gradients(self, x, classes, logits):
        self.sizes.append(len(x))
        assert len(x) <= self.gradient_batch
        return ((1 + logits) * self.slope(x, classes)).astype(np.float32)

    def _guided_gradients(self, x, classes, signs, logits):
        """As from a last ReLU that hands back nothing negative."""
        slope = signs[:, None, None, None] * self._gradients(x, classes, logits)
        return np.maximum(slope, 0)


class Power(Fake):
    """S_c = sum(w_c * x^power) / power, so that dS_c / dx = w_c * x^(power - 1). `weights` (classes, H, W, C)."""

    def __init__(self, weights, power=1, seconds=0.0):
        super().__init__(weights.shape[1:], len(weights), seconds=seconds)
        self.weights, self.power = weights, power

    def score(self, x):
        return np.einsum("nhwc,khwc->nk", x.astype(float) ** self.power, self.weights) / self.power

    def slope(self, x, classes):
        return self.weights[classes] * x.astype(float) ** (self.power - 1)


class Layered(Fake):
    """Layer "half" has every second row and column of the image: A. S_c = sum(v_c * A) + sum(A^2) / 2 * q_c.

    So dS_c / dA = v_c + q_c * A. `v` (classes, H / 2, W / 2, C), `q` (classes,).
    """

    def __init__(self, v, q, seconds=0.0):
        height, width, channels = v.shape[1:]
        layer = Layer("half", "Fake", (height, width, channels), True)
        super().__init__((2 * height, 2 * width, channels), len(v), (layer,), seconds)
        self.v, self.q = v, q

    def score(self, x):
        a = x[:, ::2, ::2].astype(float)
        return np.einsum("nhwc,khwc->nk", a, self.v) + 0.5 * (a**2).sum(axis=(1, 2, 3))[:, None] * self.q

    def _activations(self, x, layer):
        assert layer == "half"
        self.sizes.append(len(x))
        return x[:, ::2, ::2].copy()

    def _layer_gradients(self, x, classes, layer, logits):
        a = self._activations(x, layer)
        return a, ((1 + logits) * (self.v[classes] + self.q[classes][:, None, None, None] * a)).astype(np.float32)


def noise(*shape, seed=0):
    """Normal numbers, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
