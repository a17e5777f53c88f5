"""The Keras adapter, on the TensorFlow backend: scores, logits and gradients. For worker processes only.

Files are opened by `keras_files`; what of a model is explained is found by `keras_graph`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from picasso.config import Config, import_function
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.base import Model, ModelInfo, ScoreKind
from picasso.models.decoding import load_labels
from picasso.models.files import fingerprint, functions_fingerprint
from picasso.models.keras_files import load_network, model_files
from picasso.models.keras_graph import View, final_activation, view, with_logits
from picasso.models.preprocessing import FloatArray, OwnFunction, ReadyMade

LOGIT_TOLERANCE = 1e-5  # how far softmax(logits) may be from the model's own output before logits are refused
SAME_SCORES = 1e-5  # how far the explained function may be from the model itself, relative to its largest score
TIMED_IMAGES = 8


class KerasModel(Model):
    """A Keras model: one image input and one output of class scores of it.

    Raises:
        ModelError: the file cannot be opened; the sentence says why and what to do.
        NotSupported: the model takes no image, or gives no class scores.
    """

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        file, weights = model_files(config, path)
        whole = load_network(config, path)
        found = view(whole, config)
        self.network, shape, classes = found.network, found.shape, found.classes
        warnings = list(found.warnings)
        self._compile(found)
        self._prove(found)
        kind, capabilities = self._examine(shape, warnings)
        self.info = ModelInfo(
            name=config.MODEL_NAME or path.stem,
            framework="keras",
            file=file.name,
            modified=file.stat().st_mtime,
            fingerprint=fingerprint(file, *([weights] if weights else [])),
            functions=functions_fingerprint(config),
            input_shape=shape,
            labels=tuple(load_labels(config.MODEL_LABELS, classes)),
            score_kind=kind,
            capabilities=capabilities,
            parameters=int(whole.count_params()),
            warnings=tuple(warnings),
            versions=(("keras", keras.__version__), ("tensorflow", tf.__version__), ("numpy", np.__version__)),
            seconds_per_image=self._time(shape),
        )
        self.preprocessor = _preprocessor(config, shape)
        if config.MODEL_DECODE is not None:
            self.own_decode = (import_function(config.MODEL_DECODE, "MODEL_DECODE"), config.MODEL_DECODE)

    def _compile(self, found: View) -> None:
        # One trace serves scores and logits and every batch size; autograph off traces several times faster.
        images = tf.TensorSpec((None, *found.shape), tf.float32)
        indices = tf.TensorSpec((None,), tf.int64)
        both = with_logits(found.network)
        network = found.network if both is None else both

        def forward(x: Any) -> Any:
            scores = network(found.feed(x), training=False)
            return [tf.cast(output, tf.float32) for output in tf.nest.flatten(scores)]

        def backward(output: int) -> Any:
            def gradient(x: Any, classes: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    chosen = tf.gather(forward(x)[output], classes, batch_dims=1)
                return tape.gradient(chosen, x)

            return tf.function(gradient, [images, indices], autograph=False)

        self._outputs = 1 if both is None else 2
        self._forward = tf.function(forward, [images], autograph=False)
        self._backward = [backward(output) for output in range(self._outputs)]

    def _prove(self, found: View) -> None:
        """Proves with one random input that what is explained gives the scores of the model itself.

        Raises:
            ModelError: it does not, or TensorFlow cannot run the model.
        """
        x = np.random.default_rng(1).normal(size=(1, *found.shape)).astype(np.float32)
        try:
            own = tf.cast(found.network(found.feed(tf.constant(x)), training=False), tf.float32).numpy()
            scores = self._scores(x, logits=False)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise NotSupported(
                f"TensorFlow cannot run the model on a picture of {found.shape}: {reason.strip()[:300]} Check "
                "MODEL_INPUT_SIZE and MODEL_OTHER_INPUTS."
            ) from error
        difference = float(np.abs(own - scores).max())
        if not difference <= SAME_SCORES * max(1.0, float(np.abs(own).max())) and np.isfinite(own).all():
            raise ModelError(
                "What Picasso would explain gives other scores than the model itself (they differ by "
                f"{difference:.1e}). Please report this with the model's architecture: model.to_json()."
            )

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]:
        return self._forward(tf.constant(x, tf.float32))[int(logits)].numpy()  # type: ignore[no-any-return]

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        gradient = self._backward[int(logits)](tf.constant(x, tf.float32), tf.constant(classes, tf.int64))
        if gradient is None:
            raise NotSupported(f"{self.info.name}: its scores cannot be differentiated with respect to its input.")
        return gradient.numpy()  # type: ignore[no-any-return]

    def _examine(self, shape: tuple[int, int, int], warnings: list[str]) -> tuple[ScoreKind, frozenset[str]]:
        """Proves with one random input what the scores are, and that the logits found belong to them."""
        x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
        scores = self._scores(x, logits=False)
        capabilities = {"predict", "gradients"}
        if self._outputs == 2:
            difference = float(np.abs(softmax(self._scores(x, logits=True)) - scores).max())
            if difference <= LOGIT_TOLERANCE:
                capabilities.add("logits")
            else:
                warnings.append(
                    f"The values before the softmax do not give the model's scores (they differ by {difference:.1e}); "
                    "gradients are those of the probability."
                )
        if _are_probabilities(self.network, scores):
            return "probability", frozenset(capabilities)
        warnings.append("The scores are not probabilities: they are shown as raw scores.")
        return "raw score", frozenset(capabilities)

    def _time(self, shape: tuple[int, int, int]) -> float:
        x = np.zeros((TIMED_IMAGES, *shape), np.float32)
        times = []
        for _ in range(3):  # the first call of a size prepares buffers; the quickest is the least disturbed
            start = time.perf_counter()
            self._scores(x, logits=False)
            times.append(time.perf_counter() - start)
        return min(times) / TIMED_IMAGES


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))  # max first: exp overflows float32 above 88
    return exponents / exponents.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def _are_probabilities(network: Any, scores: NDArray[np.float32]) -> bool:
    within = bool((scores >= 0).all() and (scores <= 1).all())
    if final_activation(network) is keras.activations.sigmoid:
        return within
    return within and bool(np.allclose(scores.sum(axis=-1), 1, atol=1e-3))


def _preprocessor(config: Config, shape: tuple[int, int, int]) -> ReadyMade | OwnFunction:
    if isinstance(config.MODEL_PREPROCESS, str):
        name = config.MODEL_PREPROCESS
        return OwnFunction(import_function(name, "MODEL_PREPROCESS"), name, shape)
    try:
        return ReadyMade(config.MODEL_PREPROCESS, shape)
    except ValueError as error:
        raise ConfigError(f"MODEL_PREPROCESS does not fit the model: {error}", field="MODEL_PREPROCESS") from error
