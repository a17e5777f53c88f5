"""What a Keras model computes, with plain Keras: nested models one after the other, gradients by a tape around all.

Nothing here is Picasso's: it is what the adapter is compared with.
"""

from __future__ import annotations

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from picasso.attribution.saliency import saliency
from picasso.visualizations.base import Input
from picasso.visualizations.discovery import discover
from picasso.visualizations.saliency import Saliency

discover()  # fills in what the class needs


def noise(shape, count=2):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def calls(network, name):
    """The calls of a layer in one network, in the order in which Keras runs them."""
    graph = getattr(network, "_functional", network)
    depths = sorted(graph._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in graph._nodes_by_depth[depth] if node.operation.name == name]


def reach(network, given, path):
    """The layer of a path, and what it gives: what enters each nested model is computed first."""
    first, _, rest = path.partition("/")
    name, _, count = first.partition("#")
    node = calls(network, name)[int(count or 1) - 1]
    wanted = node.input_tensors[0] if rest else node.outputs[0]
    value = keras.Model(network.inputs, wanted)(keras.tree.flatten(given), training=False)
    return reach(node.operation, value, rest) if rest else (node.operation, value)


@contextmanager
def replaced(operation, call):
    operation.call = call
    try:
        yield
    finally:
        del vars(operation)["call"]


@contextmanager
def without_activation(network, output=0):
    """While this lasts, the network gives its logits."""
    last = network.outputs[output]._keras_history.operation
    while isinstance(last, keras.Model):
        last = last.outputs[0]._keras_history.operation
    activation = getattr(last, "activation", None)
    if activation is None:
        with replaced(last, lambda x, *_, **__: x):
            yield
        return
    last.activation = keras.activations.linear
    try:
        yield
    finally:
        last.activation = activation


def gradient(function, x, chosen):
    """The gradient of each image's chosen score with respect to it."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores = tf.gather(tf.cast(function(x), tf.float32), chosen, batch_dims=1)
    return tape.gradient(scores, x).numpy()


def layer_gradient(layer, call, shape, function, x, chosen):
    """The gradient with respect to zeros that are added to what a layer gives in its `call`-th call."""
    original, count, zeros = layer.call, iter(range(99)), tf.zeros((len(x), *shape))

    def more(*args, **kwargs):
        result = original(*args, **kwargs)
        return result + tf.cast(zeros, result.dtype) if next(count) == call else result

    with tf.GradientTape() as tape, replaced(layer, more):
        tape.watch(zeros)
        scores = tf.gather(tf.cast(function(tf.constant(x)), tf.float32), chosen, batch_dims=1)
    return tape.gradient(scores, zeros).numpy()


def check(model, network, folder, given=lambda x: x, output=0, tolerance=1e-5):
    """All that the adapter computes.

    Args:
        model: opened by the adapter.
        network: the Keras model it was saved from, or one that must compute the same.
        folder: where a visualization may write.
        given: makes of images what `network` takes.
        output: which of its outputs is explained.
    """

    def function(x):
        return keras.tree.flatten(network(given(tf.convert_to_tensor(x)), training=False))[output]

    def same(found, expected):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=1e-3 if tolerance > 1e-5 else 1e-5)

    info, x = model.info, noise(model.info.input_shape)
    chosen = [info.classes - 1, 0]
    same(model.predict(x), function(x))
    same(model.gradients(x, chosen, logits=False), gradient(function, x, chosen))
    for found, expected in zip(
        model.scored_gradients(x, chosen, logits=False), (function(x), gradient(function, x, chosen)), strict=True
    ):
        same(found, expected)
    corners, fill = np.array([(0, 0), (2, 3), (-1, 5)]), np.full(info.input_shape, 0.5, np.float32)
    hidden = np.repeat(x[:1], 3, axis=0)
    for copy, (top, left) in zip(hidden, corners, strict=True):
        copy[max(0, top) : top + 3, left : left + 2] = 0.5
    same(model.occlude(x[:1], corners, (3, 2), fill), function(hidden))
    seen = {}
    for layer in info.layers:
        operation, expected = reach(network, given(tf.constant(x)), layer.path)
        same(model.activations(x, layer.path), expected)
        assert layer.shape == tuple(expected.shape)[1:]
        call = seen[id(operation)] = seen.get(id(operation), -1) + 1
        if layer.convolution:
            activations, gradients = model.layer_gradients(x, chosen, layer.path, logits=False)
            same(activations, expected)
            same(gradients, layer_gradient(operation, call, layer.shape, function, x, chosen))
    if "logits" in info.capabilities:
        with without_activation(network, output):
            same(model.predict(x, logits=True), function(x))
            same(model.gradients(x, chosen), gradient(function, x, chosen))
            look(model, function, folder, same)
    else:
        look(model, function, folder, same)


def look(model, function, folder, same):
    """The saliency visualization's maps of one picture, for its best classes."""
    height, width, channels = model.info.input_shape
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    picture = keras.utils.array_to_img(values[..., :1] if channels == 1 else values, scale=False)
    settings = Saliency.parse_settings({"classes": 2} if model.info.classes > 1 else {}, model.info)
    (result,) = Saliency(model).make_visualization([Input("a.png", picture)], folder, settings)
    x = model.preprocess([picture]).x
    assert result["maps"]
    for one in result["maps"]:
        same(one["map"], saliency(gradient(function, x, [one["index"]]))[0])
