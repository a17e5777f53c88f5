"""Incremental occlusion gives the numbers of the dense one, for networks drawn at random and for known ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from picasso.errors import NotSupported
from picasso.models.base import Model
from picasso.models.incremental.occluder import Occluder
from picasso.models.keras_flat import flatten

TOLERANCE = 2e-5  # of the largest logit
SHAPE = (19, 14, 3)  # height, width, channels
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADDING = st.sampled_from(["same", "valid"])
CELLWISE = [
    lambda: layers.BatchNormalization(),
    lambda: layers.ReLU(6.0),
    lambda: layers.LeakyReLU(0.2),
    lambda: layers.PReLU(shared_axes=[1, 2]),
    lambda: layers.PReLU(),  # a weight for each cell: not cellwise
    lambda: layers.Activation("tanh"),
    lambda: layers.Activation("softmax"),
    lambda: layers.Dropout(0.5),
    lambda: layers.LayerNormalization(),
    lambda: layers.GroupNormalization(1),  # over the whole map
    lambda: layers.Rescaling(1.5, offset=-0.1),
    lambda: layers.Dense(4, activation="elu"),
    lambda: layers.RandomFlip(),
    lambda: layers.UpSampling2D(2),
]


def dense(network, x, corners, window, fill):
    """The network run once per window, each image made as the dense occlusion makes it."""
    return network(Model._hidden(None, x, corners, window, fill), training=False)


def randomise(network, seed):
    """Weights of both signs everywhere, scales near 1: outputs differ visibly between windows."""
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        if weight.dtype != "float32":
            continue
        if "variance" in weight.name or "gamma" in weight.name:
            values = rng.uniform(0.5, 1.5, weight.shape)
        else:
            values = rng.normal(size=weight.shape) / max(1, np.prod(weight.shape[:-1])) ** 0.5
        weight.assign(values.astype(np.float32))


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def occluder_of(network, shape=SHAPE, outputs=None):
    flat = flatten(network)
    return Occluder(flat, flat.model.inputs[0], outputs or flat.model.outputs, shape, lambda images: [images])


def agrees(network, corners, window, *, shape=SHAPE, seed=0, occluder=None, **options):
    """Asserts that both ways give the same scores, and returns them."""
    x, fill = noise((1, *shape), seed), noise(shape, seed + 1)
    occluder = occluder or occluder_of(network, shape)
    corners = np.asarray(corners)
    scores = occluder.occlude(x, corners, window, fill, **options)
    expected = dense(network, x, corners, window, fill).numpy()
    assert scores.shape == expected.shape
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=TOLERANCE * max(1, np.abs(expected).max()))
    return scores


def convolution(draw):
    """A layer that moves a kernel over the map. Layers draw random weights, which hypothesis' strategies must not."""
    stride = draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2)) if stride == 1 else 1
    kernel, padding = draw(KERNELS), draw(PADDING)
    options = {"strides": stride, "padding": padding}
    kind = draw(
        st.sampled_from(["convolution", "grouped", "depthwise", "separable", "transpose", "max", "average", "zeros", "cut"])
    )
    activation = draw(st.sampled_from([None, "relu", "silu"]))
    wide = {"dilation_rate": dilation, "activation": activation, **options}
    return {
        "convolution": lambda: layers.Conv2D(4, kernel, **wide),
        "grouped": lambda: layers.Conv2D(4, kernel, groups=4, **wide),
        "depthwise": lambda: layers.DepthwiseConv2D(kernel, depth_multiplier=1, **wide),
        "separable": lambda: layers.SeparableConv2D(4, kernel, **wide),
        "transpose": lambda: layers.Conv2DTranspose(4, kernel, **options),
        "max": lambda: layers.MaxPooling2D(kernel, **options),
        "average": lambda: layers.AveragePooling2D(kernel, **options),
        "zeros": lambda: layers.ZeroPadding2D((kernel, (stride, 0))),
        "cut": lambda: layers.Cropping2D(((0, 1), (1, 0))),
    }[kind]()


def _applied(layer, x):
    """The layer's output; the input where the map is too small for it."""
    try:
        y = layer(x)
    except ValueError:
        return x
    return y if min(y.shape[1:3]) > 0 and max(y.shape[1:3]) < 60 else x


def drawn(draw):
    """A network of convolutions, pools and cellwise layers, with branches that are joined again."""
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, draw(KERNELS), padding=draw(PADDING))(image)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["convolution", "cellwise", "branch", "squeeze"]))
        if kind == "convolution":
            x = _applied(convolution(draw), x)
        elif kind == "cellwise":
            x = draw(st.sampled_from(CELLWISE))()(x)
        elif kind == "squeeze":
            factor = layers.Dense(x.shape[-1], activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
            x = layers.Multiply()([x, factor])
        else:
            y = layers.Conv2D(x.shape[-1], draw(KERNELS), padding="same", activation="relu")(x)
            y = layers.BatchNormalization()(y) if draw(st.booleans()) else y
            join = draw(st.sampled_from(["add", "concatenate", "maximum", "operation"]))
            x = {
                "add": lambda x=x, y=y: layers.Add()([x, y]),
                "concatenate": lambda x=x, y=y: layers.Conv2D(4, 1)(layers.Concatenate()([x, y])),
                "maximum": lambda x=x, y=y: layers.Maximum()([y, x]),
                "operation": lambda x=x, y=y: 1.0 - x * y / 2,
            }[join]()
    end = draw(st.sampled_from([layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]))()(x)
    return keras.Model(image, layers.Dense(3)(end))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_networks_drawn_at_random(data):
    keras.backend.clear_session()
    network = drawn(data.draw)
    randomise(network, data.draw(st.integers(0, 99)))
    window = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    overhanging = st.tuples(st.integers(-8, SHAPE[0] + 2), st.integers(-8, SHAPE[1] + 2))
    corners = data.draw(st.lists(overhanging, min_size=1, max_size=7))
    agrees(network, corners, window, most=data.draw(st.integers(1, 7)))
