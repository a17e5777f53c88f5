"""The Keras adapter, on the TensorFlow backend: scores, logits and gradients. For worker processes only.

Files are opened by `keras_files`; what of a model is explained is found by `keras_graph`.
"""

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
from picasso.models.anatomy import Anatomy
from picasso.models.base import Model
from picasso.models.examination import decoder, describe, examine, preprocessor
from picasso.models.keras_files import load_network, model_files
from picasso.models.keras_graph import View, final_activation, view, with_logits
from picasso.models.pixels import find_pixels
from picasso.models.preprocessing import FloatArray

SAME_SCORES = 1e-5  # how far the explained function may be from the model itself, relative to its largest score


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
        self.network, shape = found.network, found.shape
        self._compile(found)
        self._prove(found)
        sigmoid = final_activation(found.network) is keras.activations.sigmoid
        anatomy = Anatomy(shape, found.classes, int(whole.count_params()), warnings=found.warnings)
        pixels = find_pixels(config, anatomy)
        self.preprocessor = preprocessor(pixels.preprocess, shape)
        self.own_decode = decoder(config)
        logits = self._outputs == 2
        self.info = describe(
            config,
            path,
            framework="keras",
            anatomy=anatomy,
            pixels=pixels,
            examined=examine(self, shape, self.preprocessor, logits=logits, sigmoid=sigmoid, decode=self.own_decode),
            versions=(("keras", keras.__version__), ("tensorflow", tf.__version__)),
            file=file,
            files=[file, weights] if weights else None,
        )

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
