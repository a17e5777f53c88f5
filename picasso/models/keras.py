"""The Keras adapter: `.keras`, `.h5` and `.hdf5` files, on the TensorFlow backend. For worker processes only."""

from __future__ import annotations

import os
import time
import zipfile
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
from picasso.models.preprocessing import FloatArray, OwnFunction, ReadyMade

LOGIT_TOLERANCE = 1e-5  # how far softmax(logits) may be from the model's own output before logits are refused
TIMED_IMAGES = 8


class KerasModel(Model):
    """A Keras model with one image input and one output of class scores.

    Raises:
        ModelError: the file cannot be opened; the sentence says why and what to do.
        NotSupported: the model has several inputs or outputs, or an undefined input size.
    """

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.network = _load(path, config.MODEL_ALLOW_UNSAFE)
        shape, classes = _shapes(self.network)
        self._compile(self.network, before_softmax(self.network), shape)
        warnings: list[str] = []
        kind, capabilities = self._examine(shape, warnings)
        self.info = ModelInfo(
            name=config.MODEL_NAME or path.stem,
            framework="keras",
            file=path.name,
            modified=path.stat().st_mtime,
            fingerprint=fingerprint(path),
            functions=functions_fingerprint(config),
            input_shape=shape,
            labels=tuple(load_labels(config.MODEL_LABELS, classes)),
            score_kind=kind,
            capabilities=capabilities,
            parameters=int(self.network.count_params()),
            warnings=tuple(warnings),
            versions=(("keras", keras.__version__), ("tensorflow", tf.__version__), ("numpy", np.__version__)),
            seconds_per_image=self._time(shape),
        )
        self.preprocessor = _preprocessor(config, shape)
        if config.MODEL_DECODE is not None:
            self.own_decode = (import_function(config.MODEL_DECODE, "MODEL_DECODE"), config.MODEL_DECODE)

    def _compile(self, network: Any, logit_network: Any, shape: tuple[int, int, int]) -> None:
        # One trace serves scores and logits and every batch size; autograph off traces several times faster.
        images = tf.TensorSpec((None, *shape), tf.float32)
        indices = tf.TensorSpec((None,), tf.int64)

        def forward(x: Any) -> Any:
            scores = network(x, training=False) if both is None else both(x, training=False)
            return [tf.cast(output, tf.float32) for output in tf.nest.flatten(scores)]

        def backward(output: int) -> Any:
            def gradient(x: Any, classes: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    chosen = tf.gather(forward(x)[output], classes, batch_dims=1)
                return tape.gradient(chosen, x)

            return tf.function(gradient, [images, indices], autograph=False)

        both = (
            None if logit_network is None else keras.Model(network.inputs, [*network.outputs, *logit_network.outputs])
        )
        self._outputs = 1 if both is None else 2
        self._forward = tf.function(forward, [images], autograph=False)
        self._backward = [backward(output) for output in range(self._outputs)]

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


def before_softmax(network: Any) -> Any | None:
    """A model with the weights of `network` that gives the values before its final softmax; None without one."""
    last = network.layers[-1]
    try:
        if isinstance(last, keras.layers.Softmax) or (
            isinstance(last, keras.layers.Activation) and last.activation is keras.activations.softmax
        ):
            return keras.Model(network.inputs, last.input)
        if getattr(last, "activation", None) is keras.activations.softmax:
            linear = type(last).from_config(last.get_config() | {"activation": "linear", "name": f"{last.name}_logits"})
            logits = keras.Model(network.inputs, linear(last.input))
            linear.set_weights(last.get_weights())
            return logits
    except (AttributeError, ValueError):  # a layer used several times, or outside a graph, has no single input
        return None
    return None


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))  # max first: exp overflows float32 above 88
    return exponents / exponents.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def _are_probabilities(network: Any, scores: NDArray[np.float32]) -> bool:
    within = bool((scores >= 0).all() and (scores <= 1).all())
    if getattr(network.layers[-1], "activation", None) is keras.activations.sigmoid:
        return within
    return within and bool(np.allclose(scores.sum(axis=-1), 1, atol=1e-3))


def _load(path: Path, allow_unsafe: bool) -> Any:
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"{path.name} is damaged or cut off: a .keras file is a zip archive, and this is none.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_unsafe)
    except Exception as error:
        text = str(error)
        if "enable_unsafe_deserialization" in text:
            raise ModelError(
                f"{path.name} contains Python code (a Lambda layer). If you trust the file, write "
                "MODEL_ALLOW_UNSAFE = True in the config."
            ) from error
        first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
        raise ModelError(
            f"Keras {keras.__version__} cannot open {path.name}: {first} Check that it is a whole model saved with "
            "model.save(...), not only weights, and not damaged."
        ) from error


def _shapes(network: Any) -> tuple[tuple[int, int, int], int]:
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        raise NotSupported("The model has no defined input: build it, or save it after calling it once.")
    if len(inputs) != 1 or len(outputs) != 1:
        raise NotSupported(f"The model has {len(inputs)} inputs and {len(outputs)} outputs; Picasso needs one of each.")
    shape, output = tuple(inputs[0].shape)[1:], tuple(outputs[0].shape)
    if len(shape) != 3 or None in shape:
        raise NotSupported(f"The model's input is {shape}; Picasso needs a defined (height, width, channels).")
    if len(output) != 2 or output[1] is None:
        raise NotSupported(f"The model's output is {output}; Picasso explains one score per class, (images, classes).")
    return shape, int(output[1])


def _preprocessor(config: Config, shape: tuple[int, int, int]) -> ReadyMade | OwnFunction:
    if isinstance(config.MODEL_PREPROCESS, str):
        name = config.MODEL_PREPROCESS
        return OwnFunction(import_function(name, "MODEL_PREPROCESS"), name, shape)
    try:
        return ReadyMade(config.MODEL_PREPROCESS, shape)
    except ValueError as error:
        raise ConfigError(f"MODEL_PREPROCESS does not fit the model: {error}", field="MODEL_PREPROCESS") from error
