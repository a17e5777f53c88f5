"""The smallest network of each family of keras.applications, nested under a new head, as transfer learning does it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from picasso.config import Config
from picasso.models.opening import open_model

pytestmark = pytest.mark.slow  # real networks, untrained

SHAPE = (96, 112, 3)
FAMILIES = (
    "VGG16",
    "ResNet50",
    "Xception",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "DenseNet121",
    "EfficientNetB0",
    "ConvNeXtTiny",
)
OF_RELUS = {"VGG16", "ResNet50", "Xception", "MobileNet", "MobileNetV2", "DenseNet121"}
SHOWN = 3  # convolutions whose activations are compared, the first and the last among them
UNLISTED = (layers.InputLayer, keras.Model)  # those of nested models are listed


@pytest.mark.parametrize("family", FAMILIES)
def test_families(tmp_path, family):
    keras.utils.set_random_seed(0)
    base = getattr(keras.applications, family)(weights=None, include_top=False, input_shape=SHAPE, pooling="avg")
    network = keras.Sequential([keras.Input(SHAPE), base, layers.Dense(4, activation="softmax", name="head")])
    network.save(tmp_path / "network.keras")
    model = open_model(Config(MODEL_PATH=tmp_path / "network.keras", DATA_DIR=tmp_path))
    assert model.info.warnings == ()
    guided = {"guided"} if family in OF_RELUS else set()
    assert model.info.capabilities == {"predict", "gradients", "logits", "activations"} | guided
    assert model.info.parameters == network.count_params()
    x = np.random.default_rng(0).uniform(0, 255, (2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), network(x, training=False), atol=1e-5)

    paths = {layer.path: layer for layer in model.info.layers}
    maps = [layer for layer in base.layers if len(layer.output.shape) == 4 and not isinstance(layer, UNLISTED)]
    assert {f"{base.name}/{layer.name}" for layer in maps} <= set(paths)
    convolutions = [layer for layer in maps if "Conv" in type(layer).__name__]
    assert all(paths[f"{base.name}/{layer.name}"].convolution for layer in convolutions)
    shown = [convolutions[index] for index in np.linspace(0, len(convolutions) - 1, SHOWN).astype(int)]
    direct = keras.Model(base.input, [layer.output for layer in shown])(x, training=False)
    for layer, expected in zip(shown, map(np.asarray, direct), strict=True):
        found = model.activations(x, f"{base.name}/{layer.name}")
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert model.layer_gradients(x, [0, 3], f"{base.name}/{shown[-1].name}")[1].any()
