"""The Keras adapter: `.keras`, `.h5` and `.hdf5` files, on the TensorFlow backend. For worker processes only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from picasso.config import Config
from picasso.errors import ModelError, NotSupported
from picasso.models.base import Model
from picasso.models.examination import decoder, describe, examine, preprocessor
from picasso.models.preprocessing import FloatArray


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
        examined = examine(self, shape, logits=self._outputs == 2, sigmoid=_ends_in_sigmoid(self.network))
        self.info = describe(
            config,
            path,
            framework="keras",
            shape=shape,
            classes=classes,
            examined=examined,
            parameters=int(self.network.count_params()),
            versions=(("keras", keras.__version__), ("tensorflow", tf.__version__)),
        )
        self.preprocessor = preprocessor(config, shape)
        self.own_decode = decoder(config)

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


def _ends_in_sigmoid(network: Any) -> bool:
    return getattr(network.layers[-1], "activation", None) is keras.activations.sigmoid


def _load(path: Path, allow_unsafe: bool) -> Any:
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
