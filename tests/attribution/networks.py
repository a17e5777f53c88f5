"""A tiny real network, and what TensorFlow says of it directly."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from picasso.config import Config
from picasso.models.opening import open_model

SHAPE = (12, 16, 3)
LAYERS = ("early", "late")


@functools.cache
def network():
    """Two convolutions with a branch, a bend that is not piecewise linear, and a softmax over four classes."""
    keras.utils.set_random_seed(11)
    image = keras.Input(SHAPE)
    early = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="early")(image)
    pooled = keras.layers.MaxPooling2D(2)(early)
    late = keras.layers.Conv2D(6, 3, padding="same", activation="swish", name="late")(pooled)
    both = keras.layers.Concatenate()([late, pooled])
    features = keras.layers.GlobalAveragePooling2D()(both)
    strong = keras.initializers.RandomNormal(stddev=3)
    scores = keras.layers.Dense(4, name="logits", kernel_initializer=strong)(features)
    return keras.Model(image, keras.layers.Softmax()(scores))


@functools.cache
def model():
    """The same, opened by Picasso."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        network().save(path)
        return open_model(Config(MODEL_PATH=path, DATA_DIR=Path(folder)))


def images(count=2):
    return np.random.default_rng(4).uniform(-1, 1, (count, *SHAPE)).astype(np.float32)


def logits(x):
    return keras.Model(network().input, network().get_layer("logits").output)(x).numpy()


def gradient(x, cls):
    """dS / dx of one image (height, width, channels), S a class's logit."""
    x = tf.constant(x[None])
    body = keras.Model(network().input, network().get_layer("logits").output)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = body(x)[0, cls]
    return tape.gradient(score, x)[0].numpy()


def layer(x, cls, name):
    """A layer's activations of one image, and dS / dA."""
    inner = keras.Model(network().input, [network().get_layer(name).output, network().get_layer("logits").output])
    with tf.GradientTape() as tape:
        activations, scores = inner(tf.constant(x[None]))
        score = scores[0, cls]
    return activations[0].numpy(), tape.gradient(score, activations)[0].numpy()
