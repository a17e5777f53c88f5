"""Gradients that are not TensorFlow's own, against TensorFlow's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from keras_directly import gradient, layer_gradient, noise

from picasso.config import Config
from picasso.models.opening import open_model

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
    model, x, chosen = opened(network, tmp_path), noise(SHAPE), [2, 0]
    tolerance = 0.02 if "dtype" in options else 1e-5
    same(model.gradients(x, chosen, logits=False), gradient(network, x, chosen), tolerance)
    found = model.layer_gradients(x, chosen, "conv", logits=False)[1]
    same(found, layer_gradient(network.get_layer("conv"), 0, found.shape[1:], network, x, chosen), tolerance)


def test_a_normalization_takes_no_sums(tmp_path):
    image = keras.Input(SHAPE)
    maps = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
    model = opened(keras.Model(image, layers.Dense(2)(layers.Flatten()(maps))), tmp_path)
    model.gradients(noise(SHAPE), [0, 1], logits=False)
    assert "Sum" not in {operation.type for operation in model._trace._outputs.graph.get_operations()}
