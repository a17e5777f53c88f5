"""A model for tests: small, quick, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picasso.config import Preprocessing
from picasso.models.base import Model
from picasso.models.info import Layer, ModelInfo
from picasso.models.preprocessing import FloatArray, ReadyMade

SIDE, FILTERS = 3, 5
LABELS = ("ant", "bee", "cat", "dog")
OFFSETS = [(row, column) for row in range(SIDE) for column in range(SIDE)]


class TinyModel(Model):
    """Convolution (3 x 3), ReLU, mean over all places, linear layer, softmax; with random weights, always the same.

    It has all that `needs` may name. Its input has 12 rows of 16 pixels: not square, so that mixing them up shows.

    Args:
        channels: of its input, 3 or 1.
        labels: the names of its classes.
    """

    def __init__(self, channels: int = 3, labels: Sequence[str] = LABELS) -> None:
        super().__init__()
        shape = (12, 16, channels)
        noise = np.random.default_rng(7)
        self.weights: dict[str, FloatArray] = {
            "conv": noise.normal(size=(SIDE, SIDE, channels, FILTERS)).astype(np.float32),
            "dense": (8 * noise.normal(size=(FILTERS, len(labels)))).astype(np.float32),  # scores differ visibly
        }
        self.preprocessor = ReadyMade(Preprocessing.model_validate({"scale": (0, 1)}), shape)
        self.info = ModelInfo(
            name="Tiny",
            framework="numpy",
            file="tiny",
            modified=0.0,
            fingerprint="",
            functions="",
            input_shape=shape,
            labels=tuple(labels),
            score_kind="probability",
            capabilities=frozenset({"predict", "gradients", "logits", "activations", "guided"}),
            parameters=sum(weight.size for weight in self.weights.values()),
            versions=(("numpy", np.__version__),),
            seconds_per_image=0.001,
            seconds_per_gradient=0.003,
            layers=(Layer("conv", "Conv2D", (shape[0] - SIDE + 1, shape[1] - SIDE + 1, FILTERS), True),),
        )

    def _scores(self, x: FloatArray, logits: bool) -> FloatArray:
        values = self._activations(x, "conv").mean(axis=(1, 2)) @ self.weights["dense"]
        return values if logits else _softmax(values)

    def _activations(self, x: FloatArray, layer: str) -> FloatArray:
        found = np.zeros((len(x), *self.info.layers[0].shape), np.float32)
        for offset in OFFSETS:
            found += _part(x, offset) @ self.weights["conv"][offset]
        return np.maximum(found, 0)

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        activations, gradients = self._layer_gradients(x, classes, "conv", logits)
        return self._back(x, gradients * (activations > 0))

    def _guided_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], signs: NDArray[np.float32], logits: bool
    ) -> FloatArray:
        activations, gradients = self._layer_gradients(x, classes, "conv", logits)
        return self._back(x, np.maximum(gradients * signs[:, None, None, None], 0) * (activations > 0))

    def _layer_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], layer: str, logits: bool
    ) -> tuple[FloatArray, FloatArray]:
        activations = self._activations(x, layer)
        of_logits = np.eye(self.info.classes, dtype=np.float32)[classes]
        if not logits:
            scores = self._scores(x, False)
            of_logits = scores[np.arange(len(x)), classes][:, None] * (of_logits - scores)
        of_means = of_logits @ self.weights["dense"].T
        places = activations.shape[1] * activations.shape[2]
        return activations, np.broadcast_to(of_means[:, None, None] / places, activations.shape).astype(np.float32)

    def _back(self, x: FloatArray, gradients: FloatArray) -> FloatArray:
        """From gradients with respect to the convolution's output to those with respect to the image."""
        found = np.zeros_like(x)
        for offset in OFFSETS:
            _part(found, offset)[...] += gradients @ self.weights["conv"][offset].T
        return found

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """From the scores back to the image."""
        return ("dense", "conv")

    @contextmanager
    def _shuffle(self, layers: tuple[str, ...], seed: int) -> Iterator[None]:
        learnt = dict(self.weights)
        noise = np.random.default_rng(seed)
        try:
            for layer in layers:
                self.weights[layer] = noise.permutation(learnt[layer].ravel()).reshape(learnt[layer].shape)
            yield
        finally:
            self.weights = learnt


def _part(x: NDArray[Any], offset: tuple[int, int]) -> NDArray[Any]:
    """The part of images (N, height, width, channels) that one weight of the convolution is multiplied with: a view."""
    row, column = offset
    return x[:, row : x.shape[1] - SIDE + 1 + row, column : x.shape[2] - SIDE + 1 + column]


def _softmax(values: FloatArray) -> FloatArray:
    powers: FloatArray = np.exp(values - values.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
