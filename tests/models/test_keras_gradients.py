"""Gradients that are not TensorFlow's own, against TensorFlow's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras_directly import gradient, layer_gradient, noise

from picasso.config import Config
from picasso.models.keras_compiled import Copies, cut_out
from picasso.models.opening import open_model

v1 = tf.compat.v1
SHAPE = (5, 6, 3)
NORMALIZATIONS = {
    "of channels": {},
    "by a positive axis": {"axis": 3},
    "of rows": {"axis": 1},
    "without a scale": {"scale": False},
    "without a shift": {"center": False},
    "of neither": {"scale": False, "center": False},
    "frozen": {"trainable": False},
    "with a large epsilon": {"epsilon": 0.5},
    "in half precision": {"dtype": "mixed_bfloat16"},
}
QUICK = ("of channels", "of rows")


def opened(network, folder):
    """With statistics and weights as if it had learnt."""
    rng = np.random.default_rng(5)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.3, 3, weight.shape) for weight in layer.get_weights()])
    network.save(folder / "network.keras")
    return open_model(Config(MODEL_PATH=folder / "network.keras", DATA_DIR=folder))


def same(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, marks=[] if name in QUICK else pytest.mark.slow)
        for name, options in NORMALIZATIONS.items()
    ],
    ids=NORMALIZATIONS,
)
def test_normalizations(tmp_path, options):
    keras.utils.set_random_seed(6)
    image = keras.Input(SHAPE)
    maps = layers.Conv2D(4, 3, activation="tanh", name="conv")(image)
    flat = layers.Flatten()(layers.Activation("tanh")(layers.BatchNormalization(**options)(maps)))
    hidden = layers.BatchNormalization(scale=options.get("scale", True))(layers.Dense(5, activation="tanh")(flat))
    network = keras.Model(image, layers.Dense(3)(layers.Activation("tanh")(hidden)))
    model, tolerance = opened(network, tmp_path), 0.02 if "dtype" in options else 1e-5
    for count in (2, 1):  # for one image there are functions of their own
        x, chosen = noise(SHAPE, count), [2, 0][:count]
        same(model.gradients(x, chosen, logits=False), gradient(network, x, chosen), tolerance)
        found = model.layer_gradients(x, chosen, "conv", logits=False)[1]
        same(found, layer_gradient(network.get_layer("conv"), 0, found.shape[1:], network, x, chosen), tolerance)


def test_a_normalization_takes_no_sums(tmp_path):
    image = keras.Input(SHAPE)
    maps = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
    model = opened(keras.Model(image, layers.Dense(2)(layers.Flatten()(maps))), tmp_path)
    model.gradients(noise(SHAPE), [0, 1], logits=False)
    assert "Sum" not in {operation.type for operation in model._trace._outputs.graph.get_operations()}


def test_plain_and_guided_gradients_do_not_change_each_other(tmp_path):
    image = keras.Input(SHAPE)
    maps = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    model = opened(keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.ReLU()(maps)))), tmp_path)
    x = noise(SHAPE)
    plain, guided = (way(x, [0, 1], logits=False) for way in (model.gradients, model.guided_gradients))
    assert not np.array_equal(plain, guided)
    np.testing.assert_array_equal(model.gradients(x, [0, 1], logits=False), plain)


def test_what_normalizes_in_another_way_has_no_gradient_rather_than_a_wrong_one(tmp_path, monkeypatch):
    image = keras.Input(SHAPE)
    maps = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
    monkeypatch.setattr(tf.nn, "batch_normalization", lambda x, mean, variance, **_: mean + x * x)
    model = opened(keras.Model(image, layers.Dense(2)(layers.Flatten()(maps))), tmp_path)
    with pytest.raises(LookupError, match="another way"):
        model.gradients(noise(SHAPE), [0, 1], logits=False)


# Functions that are cut out of a trace


def test_a_function_waits_for_what_the_trace_waits_for():
    learnt = tf.Variable([2.0])

    def forward(x):
        with tf.control_dependencies([x]):
            constant = tf.identity(tf.constant([3.0]))
        return [x, constant * learnt, x * constant]

    trace = v1.wrap_function(forward, [tf.TensorSpec((None, 1))])
    for wanted, expected in zip(trace.structured_outputs, ([[5.0]], [6.0], [[15.0]]), strict=True):
        for count in (None, 1):
            (found,) = cut_out(trace, trace.inputs[:1], [wanted], count)(tf.constant([[5.0]]))
            assert found.numpy().tolist() == expected


def test_functions_inside_a_layer_are_there():
    @tf.function
    def doubled(x):
        return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, y * 2), [0, x])[1]

    trace = v1.wrap_function(lambda x: [tf.map_fn(doubled, x)], [tf.TensorSpec((None, 2))])
    (found,) = cut_out(trace, trace.inputs[:1], trace.structured_outputs)(tf.constant([[1.0, 2.0]]))
    assert found.numpy().tolist() == [[4.0, 8.0]]


def test_warming_up_makes_what_runs_need(tmp_path):
    image = keras.Input(SHAPE)
    maps = layers.ReLU()(layers.Conv2D(4, 3, name="conv")(image))
    model = opened(keras.Model(image, layers.Dense(2, "softmax")(layers.Flatten()(maps))), tmp_path)
    model.warm_up()

    def made():
        functions = model._trace._made
        return {key: len(one._idle) if isinstance(one, Copies) else 1 for key, one in functions.items()}

    before = made()
    assert 2 in before.values()  # a copy for each stream
    for count in (1, 2, 20):
        model.gradients(noise(SHAPE, count), [0] * count)
    model.guided_gradients(noise(SHAPE, 1), [0])
    assert made() == before


def test_guided_backpropagation_that_fails_is_not_offered(tmp_path, monkeypatch):
    image = keras.Input(SHAPE)
    maps = layers.ReLU()(layers.Conv2D(4, 3)(image))
    model = opened(keras.Model(image, layers.Dense(2)(layers.Flatten()(maps))), tmp_path)

    def fail(*_):
        raise ValueError("no way\nback")

    monkeypatch.setattr(model, "_guided_gradients", fail)
    model.warm_up()
    assert "gradients" in model.info.capabilities
    assert "guided" not in model.info.capabilities
    assert model.info.warnings[-1].endswith("it failed with ValueError: no way")
