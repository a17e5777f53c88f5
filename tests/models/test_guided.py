"""Guided backpropagation, against a ReLU whose backward pass is written out here; and where it is refused."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_zoo as zoo
from keras import layers
from keras_directly import gradient, noise

from picasso.config import Config
from picasso.errors import NotSupported
from picasso.models.keras_flat import flatten
from picasso.models.keras_guided import relus
from picasso.models.opening import open_model

SHAPE = (6, 8, 3)
CLASSES = [2, 0]


def relu(cap=np.inf):
    """min(max(x, 0), cap), with the rule of Springenberg et al. backward."""

    @tf.custom_gradient
    def function(x):
        def backward(upstream):
            return tf.where((x > 0) & (x < cap) & (upstream > 0), upstream, 0.0)

        return tf.clip_by_value(x, 0.0, cap), backward

    return function


def open_keras(folder, network, **config):
    path = folder / "network.keras"
    network.save(path)
    return open_model(Config(MODEL_PATH=path, DATA_DIR=folder, **config))


def same(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_by_hand(tmp_path):
    """x = (1, 2). Hidden: h = relu(x1 - x2, x1 + x2, 2 x2) = (0, 3, 4). Logits: 5 h1 + 2 h2 - 3 h3, -h2 + h3."""
    hidden = layers.Dense(3, activation="relu", use_bias=False)
    network = keras.Sequential([keras.Input((1, 2, 1)), layers.Flatten(), hidden, layers.Dense(2, use_bias=False)])
    network.set_weights([np.array([[1, 1, 0], [-1, 1, 2]]), np.array([[5, 0], [2, -1], [-3, 1]])])
    model = open_keras(tmp_path, network)
    x = np.float32([1, 2]).reshape(1, 1, 2, 1)
    assert "guided" in model.info.capabilities
    plain = [model.gradients(x, [c], logits=False).ravel().tolist() for c in (0, 1)]
    guided = [model.guided_gradients(x, [c], logits=False).ravel().tolist() for c in (0, 1)]
    assert plain == [[2, 2 - 6], [-1, -1 + 2]]
    assert guided == [[2, 2], [0, 2]]


def forms(make):
    """A network with every way to write a ReLU, nested, with a shared layer and a branch. `make(cap)` makes a ReLU."""
    plain, capped = make(None), make(6)
    keras.utils.set_random_seed(4)
    strong = keras.initializers.RandomNormal(stddev=0.25)

    def conv(**options):
        return layers.Conv2D(4, 3, padding="same", kernel_initializer=strong, **options)

    inner = keras.Input((*SHAPE[:2], 4))
    shared = conv(activation=plain)
    low = layers.Activation(capped)(layers.BatchNormalization()(shared(inner)))
    body = keras.Model(inner, layers.Add()([shared(low), inner]), name="body")
    image = keras.Input(SHAPE)
    maps = body(conv(activation=plain)(image))
    maps = keras.ops.relu(conv()(maps)) if make is named else layers.Activation(plain)(conv()(maps))
    maps = keras.ops.relu6(conv()(maps)) if make is named else layers.Activation(capped)(conv()(maps))
    maps = layers.ReLU()(conv()(maps)) if make is named else layers.Activation(plain)(conv()(maps))
    maps = layers.ReLU(max_value=3)(conv()(maps)) if make is named else layers.Activation(make(3))(conv()(maps))
    maps = layers.MaxPooling2D(2)(layers.Dropout(0.5)(maps))
    features = layers.Dense(5, activation=plain, kernel_initializer=strong)(layers.Flatten()(maps))
    return image, layers.Dense(3, kernel_initializer=strong)(features)


def named(cap):
    return "relu6" if cap else "relu"


def independent(cap):
    return relu(cap or np.inf)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model with a softmax, and what its logits are by the independent ReLU."""
    image, logits = forms(named)
    network = keras.Model(image, layers.Softmax()(logits))
    reference = keras.Model(*forms(independent))
    reference.set_weights(network.get_weights())
    return open_keras(tmp_path_factory.mktemp("guided"), network), reference


@pytest.mark.slow
def test_every_way_to_write_a_relu(pair):
    model, reference = pair
    x = noise(SHAPE)
    np.testing.assert_allclose(model.predict(x, logits=True), reference(x), atol=1e-4)
    expected = gradient(lambda x: reference(x, training=False), x, CLASSES)
    same(model.guided_gradients(x, CLASSES), expected)
    assert np.abs(model.gradients(x, CLASSES) - expected).max() > 0.1 * np.abs(expected).max()


def test_with_the_softmax_it_is_refused(tiny_model):
    """Where the score is explained, the softmax is an activation, too."""
    assert "guided" in tiny_model.info.capabilities
    with pytest.raises(NotSupported, match=r"the activation of dense\w* is another one: softmax"):
        tiny_model.guided_gradients(noise(tiny_model.info.input_shape), CLASSES, logits=False)


@pytest.mark.slow
def test_both_sides_of_a_sigmoid(tmp_path):
    """Of -z the rule does not give the negative of what it gives of z."""
    image, logits = forms(named)
    network = keras.Model(image, layers.Dense(1, activation="sigmoid")(logits))
    body = keras.Model(*forms(independent))
    body.set_weights(network.get_weights()[:-2])
    *_, kernel, bias = network.get_weights()
    model = open_keras(tmp_path, network, MODEL_LABELS=["no", "yes"])
    x = noise(SHAPE, 3)

    def both(x):
        z = body(x) @ kernel + bias
        return tf.concat([-z, z], 1)

    same(model.guided_gradients(x, [0, 1, 0]), gradient(both, x, [0, 1, 0]))
    assert np.abs(model.guided_gradients(x, [0, 0, 0]) + model.guided_gradients(x, [1, 1, 1])).max() > 0.01


@pytest.mark.slow
def test_without_relus_it_is_the_gradient(tmp_path):
    image = keras.Input(SHAPE)
    pooled = layers.MaxPooling2D(2)(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    model = open_keras(tmp_path, keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(pooled))))
    x = noise(SHAPE)
    np.testing.assert_array_equal(model.guided_gradients(x, CLASSES), model.gradients(x, CLASSES))


@keras.saving.register_keras_serializable("picasso_tests")
class Hidden(layers.Layer):
    """A ReLU inside a layer."""

    def call(self, inputs):
        return keras.ops.relu(inputs)


@keras.saving.register_keras_serializable("picasso_tests")
class OwnConvolution(layers.Conv2D):
    """One that may do anything."""


def gate(x):
    return layers.Multiply()([x, layers.ReLU(6)(x)])


REFUSED = {
    "silu": (lambda: layers.Conv2D(3, 3, activation="silu", name="blame"), "the activation of blame .*: silu"),
    "Activation": (lambda: layers.Activation("gelu", name="blame"), "the activation of blame .*: gelu"),
    "LeakyReLU": (lambda: layers.LeakyReLU(name="blame"), "the activation of blame .*: LeakyReLU"),
    "slope": (lambda: layers.ReLU(negative_slope=0.1, name="blame"), "the activation of blame .*: ReLU with a slope"),
    "threshold": (lambda: layers.ReLU(threshold=0.1, name="blame"), "the activation of blame .*: ReLU with a slope"),
    "PReLU": (lambda: layers.PReLU(name="blame"), "the activation of blame .*: PReLU"),
    "keras.ops": (lambda: keras.ops.sigmoid, "the activation of sigmoid.* .*: Sigmoid"),
    "gate": (lambda: gate, "the activation of multiply.* .*: product of two branches"),
    "attention": (lambda: lambda x: layers.MultiHeadAttention(1, 2, name="blame")(x, x), "activations blame .Multi"),
    "own": (lambda: Hidden(name="blame"), "cannot see which activations blame .Hidden."),
    "subclass": (lambda: OwnConvolution(3, 3, name="blame"), "cannot see which activations blame .OwnConvolution."),
    "nested": (
        lambda: keras.Sequential([keras.Input(SHAPE), layers.ELU(name="blame")], name="body"),
        "the activation of body/blame .*: ELU",
    ),
}


@pytest.mark.parametrize(("layer", "sentence"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_where_an_activation_is_no_relu(layer, sentence):
    """The layer is named, nothing has to be run for that; a ReLU before it does not help."""
    image = keras.Input(SHAPE)
    maps = layer()(layers.ReLU()(image))
    flat = flatten(keras.Model(image, layers.Dense(3)(layers.Flatten()(maps))))
    tensors, reason = relus(flat, flat.model.inputs[0], flat.model.outputs[0])
    assert tensors == []
    assert re.search(sentence, reason), reason


@pytest.mark.slow
def test_the_adapter_refuses(tmp_path):
    image = keras.Input(SHAPE)
    maps = layers.Conv2D(3, 3, activation="silu", name="blame")(image)
    model = open_keras(tmp_path, keras.Model(image, layers.Dense(3)(layers.Flatten()(maps))))
    assert "guided" not in model.info.capabilities
    with pytest.raises(NotSupported, match=r"^network: Guided backpropagation .* the activation of blame"):
        model.guided_gradients(noise(SHAPE), CLASSES, logits=False)


# TensorFlow
def graph(plain, capped):
    """The logits of a network of two kinds of ReLU, one of them read twice."""

    def logits(x):
        maps = plain(tf.compat.v1.nn.dropout(tf.nn.conv2d(x, zoo.FILTER, 1, "SAME"), rate=tf.constant(0.0)))
        maps = maps + capped(tf.nn.conv2d(3 * maps, zoo.FILTER[::-1], 1, "SAME"))
        return tf.nn.bias_add(tf.matmul(plain(tf.reshape(maps, [-1, zoo.PIXELS])), zoo.KERNEL), zoo.BIAS)

    return logits


def save_graph(folder, activation=tf.nn.relu):
    def build():
        tf.nn.softmax(graph(activation, tf.nn.relu6)(zoo.image()), name="scores")

    zoo.tf1(build, zoo.save_frozen(folder / "frozen.pb"))
    return zoo.open_tensorflow(folder / "frozen.pb")


@pytest.mark.slow
def test_graphs(tmp_path):
    model, x, classes = save_graph(tmp_path), zoo.noise(5), [3, 0, 1, 1, 2]
    assert "guided" in model.info.capabilities
    expected = gradient(graph(relu(), relu(6)), x, classes)
    same(model.guided_gradients(x, classes), expected)
    plain = gradient(graph(tf.nn.relu, tf.nn.relu6), x, classes)
    same(model.gradients(x, classes), plain)
    assert np.abs(plain - expected).max() > 0.01
    with model.shuffled(1, 0):  # the copy shares the constants
        assert np.abs(model.guided_gradients(x, classes) - expected).max() > 0.01
    same(model.guided_gradients(x, classes), expected)
    operations = len(model._network._graph.get_operations())
    same(model.guided_gradients(x[:2], classes[:2]), expected[:2])
    assert len(model._network._graph.get_operations()) == operations
    with pytest.raises(NotSupported, match="the activation of scores is another one: Softmax"):
        model.guided_gradients(x, classes, logits=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "blamed"),
    [
        *((tf.nn.elu, "Elu"), (tf.nn.leaky_relu, "LeakyRelu"), (tf.nn.silu, "Sigmoid")),
        *((lambda x: x * x, "product of two"), (lambda x: tf.where(x > 0, x, 0), "Greater")),
    ],
)
def test_graphs_with_other_activations(tmp_path, activation, blamed):
    model = save_graph(tmp_path, activation)
    assert "guided" not in model.info.capabilities
    with pytest.raises(NotSupported, match=rf"(is another one: |cannot see which .*){blamed}"):
        model.guided_gradients(zoo.noise(1), [0])


@pytest.mark.slow
def test_graphs_with_functions_inside(tmp_path, monkeypatch):
    """A condition may hide anything."""
    monkeypatch.setattr(zoo, "features", lambda x: tf.nn.relu(tf.nn.conv2d(x, zoo.FILTER, 1, "SAME")))
    case = zoo.module_of_many(tmp_path)
    model = zoo.open_tensorflow(case.path, **case.config)
    with pytest.raises(NotSupported, match=r"cannot see which activations .*cond"):
        model.guided_gradients(zoo.noise(1), [0])


@pytest.mark.slow
def test_an_export_of_a_keras_network(tmp_path):
    """The same numbers as the network itself; a cap other than 6 is written as two operations, and is refused."""
    image = keras.Input(SHAPE)
    maps = layers.ReLU(6)(layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image)))
    network = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(maps)))
    keras.Model(image, layers.ReLU(3)(network(image))).export(tmp_path / "capped", verbose=False)
    network.export(tmp_path / "export", verbose=False)
    model, x = zoo.open_tensorflow(tmp_path / "export"), noise(SHAPE)
    same(model.guided_gradients(x, CLASSES), open_keras(tmp_path, network).guided_gradients(x, CLASSES))
    assert "guided" not in zoo.open_tensorflow(tmp_path / "capped").info.capabilities
