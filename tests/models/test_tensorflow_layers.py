"""The layers of TensorFlow graphs: which are found, under which names, and that they give what their tensors do."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow_zoo import (
    CLASSES,
    direct_gradients,
    frozen,
    noise,
    open_tensorflow,
    save_checkpoint,
    save_frozen,
    tensor,
    tf1,
    v1,
)

from picasso.errors import NotSupported
from picasso.models import tensorflow
from picasso.models.anatomy import Kernel
from picasso.models.examination import describe

pytestmark = pytest.mark.slow  # many small models

SHAPE = (8, 10, 3)


def weights(*shape, seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(0, 0.3, shape).astype(np.float32))


def classify(maps):
    pooled = tf.reduce_mean(maps, [1, 2])
    tf.nn.softmax(pooled @ weights(pooled.shape[-1], CLASSES), name="scores")


def image(shape=SHAPE):
    return v1.placeholder(tf.float32, [None, *shape], name="image")


def conv(x, count, name, size=3, activation=None, **options):
    """As Keras 2 and slim write it: everything of a layer in its scope."""
    with v1.name_scope(name):
        options = {"strides": 1, "padding": "SAME", "name": "Conv2D"} | options
        maps = tf.nn.bias_add(tf.nn.conv2d(x, weights(size, size, x.shape[-1], count), **options), weights(count))
        return maps if activation is None else activation(maps)


def plain():
    y = conv(image(), 4, "one", activation=lambda y: tf.nn.relu(y, name="Relu"))
    y = conv(y, 5, "two", strides=2)
    classify(tf.nn.relu(y * 2, name="last"))


def residual():
    x = conv(image(), 4, "stem", activation=tf.nn.relu6)
    y = conv(conv(x, 4, "block/a", activation=tf.nn.relu), 4, "block/b")
    y = tf.nn.relu(tf.add(x, y, name="block/add"), name="block/out")
    y = tf.concat([y, conv(y, 3, "branch", activation=tf.nn.elu)], 3, name="joined/concat")
    y = v1.nn.fused_batch_norm(y, weights(7), weights(7), weights(7), weights(7) ** 2, is_training=False, name="norm")[
        0
    ]
    classify(tf.nn.max_pool2d(y, 2, 2, "SAME", name="pool"))


def activations():
    x = conv(image(), 4, "silu", activation=lambda y: y * tf.sigmoid(y))
    x = conv(x, 4, "gelu", activation=tf.nn.gelu)
    x = conv(x, 4, "hard_swish", activation=lambda y: y * tf.nn.relu6(y + 3))
    y = conv(x, 4, "shared")
    y = tf.nn.relu(y, name="relu") + tf.nn.conv2d(y, weights(1, 1, 4, 4), 1, "SAME", name="other")
    classify(tf.multiply(y, tf.sigmoid(tf.reduce_mean(y, [1, 2], keepdims=True)), name="squeezed"))


def kinds_of_convolution():
    x = tf.nn.separable_conv2d(image(), weights(3, 3, 3, 2), weights(1, 1, 6, 4), [1, 1, 1, 1], "SAME", name="sep")
    x = tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 1), [1, 2, 2, 1], "SAME", name="deep/depthwise")
    x = tf.space_to_batch(x, [2, 2], [[2, 2], [2, 3]])  # dilated, as TensorFlow 1 wrote it
    x = tf.nn.conv2d(x, weights(3, 3, 4, 5), 1, "VALID", name="dilated/Conv2D")
    x = tf.nn.relu(tf.nn.bias_add(tf.batch_to_space(x, [2, 2], [[0, 0], [0, 1]]), weights(5)), name="dilated/Relu")
    shape = tf.stack([tf.shape(x)[0], 8, 10, 6])
    x = tf.nn.conv2d_transpose(x, weights(3, 3, 6, 5), shape, 2, name="up/conv2d_transpose")
    classify(tf.identity(tf.nn.elu(x, name="up/Elu")))


def scopes_repeated():
    x = conv(conv(image(), 4, "part", activation=tf.nn.relu), 4, "part")
    with v1.name_scope("whole"):
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 4, 4), 1, "SAME", name="Conv2D") * weights(4), name="Relu")
    classify(x)


CONV, DEEP, UP = "Conv2D", "DepthwiseConv2D", "Conv2DTranspose"
# what builds it, and its layers: path, kind, shape, and the tensor that the graph has for it
NETWORKS = {
    plain: [
        ("one", CONV, (8, 10, 4), "one/Relu"),
        ("two", CONV, (4, 5, 5), "two/BiasAdd"),
        ("last", "Relu", (4, 5, 5), "last"),
    ],
    residual: [
        ("stem", CONV, (8, 10, 4), "stem/Relu6"),
        ("block/a", CONV, (8, 10, 4), "block/a/Relu"),
        ("block/b", CONV, (8, 10, 4), "block/b/BiasAdd"),
        ("block", "Add", (8, 10, 4), "block/add"),
        ("block/out", "Relu", (8, 10, 4), "block/out"),
        ("branch", CONV, (8, 10, 3), "branch/Elu"),
        ("joined", "Concatenate", (8, 10, 7), "joined/concat"),
        ("norm", "BatchNormalization", (8, 10, 7), "norm"),
        ("pool", "MaxPooling2D", (4, 5, 7), "pool"),
    ],
    activations: [
        ("silu", CONV, (8, 10, 4), "silu/mul"),
        ("gelu", CONV, (8, 10, 4), "gelu/Gelu/mul_2"),
        ("hard_swish", CONV, (8, 10, 4), "hard_swish/mul"),
        ("shared", CONV, (8, 10, 4), "shared/BiasAdd"),
        ("relu", "Relu", (8, 10, 4), "relu"),
        ("other", CONV, (8, 10, 4), "other"),
        ("add", "Add", (8, 10, 4), "add"),
        ("Sigmoid", "Sigmoid", (1, 1, 4), "Sigmoid"),
        ("squeezed", "Multiply", (8, 10, 4), "squeezed"),
    ],
    kinds_of_convolution: [
        ("sep/depthwise", DEEP, (8, 10, 6), "sep/depthwise"),
        ("sep", CONV, (8, 10, 4), "sep"),
        ("deep", DEEP, (4, 5, 4), "deep/depthwise"),
        ("dilated", CONV, (4, 5, 5), "dilated/Relu"),
        ("up", UP, (8, 10, 6), "up/Elu"),
    ],
    scopes_repeated: [
        ("part", CONV, (8, 10, 4), "part/Relu"),
        ("part_1", CONV, (8, 10, 4), "part_1/BiasAdd"),
        ("whole", CONV, (8, 10, 4), "whole/Conv2D"),
        ("whole/Relu", "Relu", (8, 10, 4), "whole/Relu"),
    ],
}


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_layers_of_a_graph(tmp_path, build):
    """Against the graph's own tensors, and gradients between them made by TensorFlow."""
    x, classes = noise(3, shape=SHAPE), [2, 0, 3]
    expected = {}

    def save(session):
        save_frozen(tmp_path / "frozen.pb")(session)
        logits = tensor(session, "scores").op.inputs[0]
        for path, _, _, name in NETWORKS[build]:
            maps = tensor(session, name)
            gradient = tf.gradients(tf.gather(logits, classes, batch_dims=1), maps)[0]
            expected[path] = [session.run(one, {"image:0": x}) for one in (maps, gradient)]  # see Network._open_session

    tf1(build, save)
    model = open_tensorflow(tmp_path / "frozen.pb")
    found = [(layer.path, layer.kind, layer.shape) for layer in model.info.layers]
    assert found == [(path, kind, shape) for path, kind, shape, _ in NETWORKS[build]]
    assert {layer.path for layer in model.info.layers if layer.convolution} == {
        path for path, kind, _, _ in NETWORKS[build] if kind in (CONV, DEEP, UP)
    }
    for path, (maps, gradient) in expected.items():
        np.testing.assert_allclose(model.activations(x, path), maps, rtol=1e-5, atol=1e-5)
        activations, gradients = model.layer_gradients(x, classes, path)
        np.testing.assert_allclose(activations, maps, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradients, gradient, atol=1e-6)


def old_condition():
    """As TensorFlow 1 wrote conditions: the branch that is not taken has no values."""
    training = v1.placeholder(tf.bool, [], name="training")
    x = conv(image(), 4, "before")
    x = tf.cond(training, lambda: conv(x, 4, "then"), lambda: conv(x, 4, "else"))
    classify(conv(x, 4, "after"))


def test_a_branch_that_is_not_taken_is_no_layer(tmp_path):
    v1.disable_control_flow_v2()
    try:
        tf1(lambda: [old_condition(), v1.get_variable("unused", initializer=0.0)], save_checkpoint(tmp_path / "model"))
    finally:
        v1.enable_control_flow_v2()
    model = open_tensorflow(tmp_path, MODEL_OTHER_INPUTS={"training": 0})
    assert [layer.path for layer in model.info.layers] == ["before", "cond/else", "after"]
    assert model.activations(noise(2, shape=SHAPE), "cond/else").shape == (2, 8, 10, 4)


def test_layers_of_a_keras_export(tmp_path):
    """Every convolution of every kind gives what its Keras layer gives."""
    keras.utils.set_random_seed(2)
    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu"),
            layers.SeparableConv2D(5, 3, padding="same", dilation_rate=2, activation="gelu"),
            layers.Conv2DTranspose(4, 3, strides=2, activation="leaky_relu"),
            layers.Conv2D(4, (3, 2), strides=2, use_bias=False, activation="sigmoid"),
            layers.MaxPooling2D(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, "softmax"),
        ]
    )
    network.export(tmp_path / "export", verbose=False)
    model = open_tensorflow(tmp_path / "export")
    x = noise(3, shape=SHAPE) * 100
    found = [layer for layer in model.info.layers if layer.convolution and not layer.path.endswith("/depthwise")]
    convolutions = [layer for layer in network.layers if "Conv" in type(layer).__name__]
    for layer, own in zip(found, convolutions, strict=True):
        at = network.layers.index(own)
        body, head = network.layers[: at + 1], network.layers[at + 1 :]
        maps = through(body, x).numpy()
        np.testing.assert_allclose(model.activations(x, layer.path), maps, atol=1e-5)
        _, gradients = model.layer_gradients(x, [0, 1, 2], layer.path, logits=False)
        expected = direct_gradients(lambda maps, head=head: through(head, maps), maps, [0, 1, 2])
        np.testing.assert_allclose(gradients, expected, atol=1e-6)


def through(parts, x):
    for part in parts:
        x = part(x, training=False)
    return x


def test_names_of_functions_called_twice_stay_apart(tmp_path):
    """Inlining puts the call's name before each; it is left out only where the rest says which is meant."""

    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE])])
        def part(self, x):
            return tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 3), 1, "SAME", name="convolution"), name="relu")

        @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], name="picture")])
        def scores(self, picture):
            maps = self.part(self.part(picture))
            return {"scores": tf.nn.softmax(tf.reduce_mean(maps, [1, 2]) @ weights(3, CLASSES))}

    module = Twice()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.scores)
    model = open_tensorflow(tmp_path / "m")
    first, second = model.info.layers
    assert first.path != second.path
    x = noise(2, shape=SHAPE)
    np.testing.assert_allclose(model.activations(x, first.path), module.part(x), atol=1e-6)
    np.testing.assert_allclose(model.activations(x, second.path), module.part(module.part(x)), atol=1e-6)


def anatomy(monkeypatch, path, **config):
    """What the adapter read from a graph before describing it."""
    found = []

    def noted(*args, anatomy, **more):
        found.append(anatomy)
        return describe(*args, anatomy=anatomy, **more)

    monkeypatch.setattr(tensorflow, "describe", noted)
    open_tensorflow(path, **config)
    return found[0]


def test_kernels_are_those_of_the_keras_layers(tmp_path, monkeypatch):
    network = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=CLASSES)
    network.export(tmp_path / "export", verbose=False)
    expected = []
    for layer in network.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            height, width, inputs, times = layer.kernel.shape
            expected.append(Kernel("depthwise", height, width, inputs, inputs * times, layer.strides[0]))
        elif isinstance(layer, layers.Conv2D):
            expected.append(Kernel("full", *layer.kernel.shape, layer.strides[0]))
    assert Counter(anatomy(monkeypatch, tmp_path / "export").kernels) == Counter(expected)


def with_convolution(x):
    classify(conv(x, 4, "one"))


def without_convolution(x):
    tf.nn.softmax(tf.reshape(x, [-1, 10 * 12 * 3]) @ weights(360, CLASSES), name="scores")


@pytest.mark.parametrize("rest", [with_convolution, without_convolution])
def test_entrance(tmp_path, monkeypatch, rest):
    """What the first layer with weights is given shows how the graph scales pixel values."""
    edges = [(0, 0), (1, 1), (1, 1), (0, 0)]
    tf1(lambda: rest(tf.pad(image() / 127.5 - 1, edges)), save_frozen(tmp_path / "frozen.pb"))
    x = noise(2, shape=SHAPE) * 100
    given = anatomy(monkeypatch, tmp_path / "frozen.pb").entrance(x)
    np.testing.assert_allclose(given.reshape(2, 10, 12, 3), np.pad(x / 127.5 - 1, edges), atol=1e-5)


def test_an_unknown_layer(tmp_path):
    model = open_tensorflow(frozen(tmp_path).path)
    with pytest.raises(NotSupported, match=r"frozen has no layer 'conv2d' with a map. Near: Conv2D"):
        model.activations(noise(), "conv2d")
