"""Channels-first graphs, which TensorFlow cannot run on every CPU, against the same network built channels-last."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_zoo import CLASSES, direct_gradients, noise, open_tensorflow, save_checkpoint, save_frozen, tf1, v1

from picasso.attribution.saliency import saliency

pytestmark = pytest.mark.slow  # many small models

SHAPE = (9, 11, 3)
FIRST = "NCHW"
LAST = "NHWC"


def weights(*shape):
    return np.random.default_rng(shape).normal(0, 0.4, shape).astype(np.float32)


def per_axis(layout, height, width):
    return [1, 1, height, width] if layout == FIRST else [1, height, width, 1]


def padded(layout, *sides):
    return [[0, 0], [0, 0], *sides] if layout == FIRST else [[0, 0], *sides, [0, 0]]


def network(x, layout):
    """Every operation that depends on the layout, with strides, paddings and dilations that differ by axis.

    Returns: each layer's maps by its path, and the logits.
    """
    channels, spatial = (1, [2, 3]) if layout == FIRST else (3, [1, 2])
    format = {"data_format": layout}
    found = {}
    x = tf.nn.conv2d(x, weights(3, 2, 3, 4), per_axis(layout, 1, 2), padded(layout, [2, 1], [0, 3]), name="a", **format)
    found["a"] = x = tf.nn.relu(tf.nn.bias_add(x, weights(4), **format))
    options = {"is_training": False, "data_format": layout, "name": "norm"}
    found["norm"] = x = v1.nn.fused_batch_norm(x, *(weights(4) ** 2 for _ in range(4)), **options)[0]
    found["b"] = x = tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 2), [1, 1, 1, 1], "SAME", layout, name="b/depthwise")
    dilations = per_axis(layout, 2, 1)
    found["c"] = y = tf.nn.conv2d(x, weights(2, 3, 8, 8), 1, "SAME", dilations=dilations, name="c", **format)
    found["sum"] = x = tf.add(tf.tanh(x), y, name="sum")
    window, step = per_axis(layout, 3, 2), per_axis(layout, 2, 1)
    found["max"] = x = tf.nn.max_pool2d(x, window, step, "VALID", layout, name="max")
    found["average"] = y = tf.nn.avg_pool2d(x, window, 1, "SAME", layout, name="average")
    found["joined"] = x = tf.concat([x, y], channels, name="joined")
    size = [tf.shape(x)[0], 5, 8, 11] if layout == FIRST else [tf.shape(x)[0], 8, 11, 5]
    strides = per_axis(layout, 2, 2)
    x = tf.nn.conv2d_transpose(x, weights(3, 3, 5, 16), tf.stack(size), strides, "SAME", layout, name="up")
    found["up"] = x
    return found, tf.reduce_mean(x, spatial) @ weights(5, CLASSES)


def direct(x):
    return network(tf.constant(x), LAST)


def frozen(folder, build, shape=(None, 3, 9, 11)):
    def graph():
        tf.nn.softmax(build(v1.placeholder(tf.float32, shape, name="image")), name="scores")

    tf1(graph, save_frozen(folder / "frozen.pb"))
    return open_tensorflow(folder / "frozen.pb")


def frozen_first(folder):
    return frozen(folder, lambda x: network(x, FIRST)[1])


def frozen_one_image(folder):
    return frozen(folder, lambda x: network(x, FIRST)[1], (1, 3, 9, 11))


def frozen_turned_inside(folder):
    """It takes channels-last images and turns them itself."""
    return frozen(folder, lambda x: network(tf.transpose(x, [0, 3, 1, 2]), FIRST)[1], (None, *SHAPE))


def frozen_last_inside(folder):
    """As converters from other frameworks write it: a channels-first input, turned at once."""
    return frozen(folder, lambda x: network(tf.transpose(x, [0, 2, 3, 1]), LAST)[1])


def checkpoint(folder):
    def graph():
        x = v1.placeholder(tf.float32, (None, 3, None, None), name="image")
        offset = v1.get_variable("offset", initializer=np.zeros((1, 3, 1, 1), np.float32))
        tf.nn.softmax(network(x + offset, FIRST)[1], name="scores")

    tf1(graph, save_checkpoint(folder / "model"))
    return open_tensorflow(folder, MODEL_INPUT_SIZE=SHAPE[:2])


def module(folder):
    spec = tf.TensorSpec([None, 3, 9, 11], name="picture")
    function = tf.function(lambda picture: {"scores": tf.nn.softmax(network(picture, FIRST)[1])}, [spec])
    tf.saved_model.save(tf.Module(), str(folder / "m"), signatures=function.get_concrete_function())
    return open_tensorflow(folder / "m")


@pytest.mark.parametrize(
    "make", [frozen_first, frozen_one_image, frozen_turned_inside, frozen_last_inside, checkpoint, module]
)
def test_channels_first(tmp_path, make):
    model = make(tmp_path)
    model.warm_up()
    assert model.info.input_shape == SHAPE
    assert model.info.capabilities == {"predict", "gradients", "logits", "activations"}
    x, classes = noise(3, shape=SHAPE), [2, 0, 3]
    layers, logits = direct(x)
    np.testing.assert_allclose(model.predict(x), tf.nn.softmax(logits), atol=1e-5)
    np.testing.assert_allclose(model.predict(x, logits=True), logits, rtol=1e-5, atol=1e-5)
    expected = direct_gradients(lambda x: network(x, LAST)[1], x, classes)
    gradients = model.gradients(x, classes)
    np.testing.assert_allclose(gradients, expected, atol=1e-5)
    np.testing.assert_allclose(saliency(gradients), np.abs(expected).max(-1), atol=1e-5)
    hidden = x[:1].copy()
    hidden[:, 2:5, 3:7] = 0.5
    fill = np.full(SHAPE, 0.5, np.float32)
    scores = model.occlude(x[:1], np.array([[2, 3]]), (3, 4), fill)
    np.testing.assert_allclose(scores, tf.nn.softmax(direct(hidden)[1]), atol=1e-5)
    shapes = {layer.path: layer.shape for layer in model.info.layers}
    assert shapes == {path: maps.shape[1:] for path, maps in layers.items()} | {"Tanh": layers["b"].shape[1:]}
    assert [layer.path for layer in model.info.layers if layer.convolution] == ["a", "b", "c", "up"]
    with tf.GradientTape() as tape:
        x_ = tf.constant(x)
        tape.watch(x_)
        layers, logits = network(x_, LAST)
        chosen = tf.gather(logits, classes, batch_dims=1)
    gradients = tape.gradient(chosen, layers)
    for path, maps in layers.items():
        found = model.layer_gradients(x, classes, path)
        np.testing.assert_allclose(model.activations(x, path), maps, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[0], maps, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1], gradients[path], rtol=1e-5, atol=1e-5)
