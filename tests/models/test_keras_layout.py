"""Channels-first networks: what is computed is compared with a channels-last network of the same weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from keras_directly import check, noise

from picasso.config import Config
from picasso.models.keras_flat import flatten
from picasso.models.keras_layout import channels_first, image_layout
from picasso.models.opening import open_model

SHAPE = (6, 8, 3)


def network(layout="channels_first", flat="channels_first", permute=False):
    """Every kind of layer that knows a layout, and some that do not.

    Args:
        layout: of all layers.
        flat: what Flatten says; its default is wrong in a channels-first network, but people write it.
        permute: the image is channels-last, and is turned round first.
    """
    first = layout == "channels_first"
    axis, where = (1, {"data_format": layout}) if first else (-1, {"data_format": layout})
    image = keras.Input((3, 6, 8) if first and not permute else SHAPE, name="image")
    y = layers.Permute((3, 1, 2), name="turn")(image) if permute and first else image
    y = layers.ZeroPadding2D(((1, 0), (0, 2)), name="pad", **where)(layers.Rescaling(2.0, name="scale")(y))
    y = layers.Conv2D(4, 3, strides=(2, 1), padding="same", activation="tanh", name="conv", **where)(y)
    y = layers.BatchNormalization(axis=axis, name="norm")(y)
    y = layers.Concatenate(axis=axis, name="join")(
        [y, layers.DepthwiseConv2D(3, padding="same", name="depth", **where)(y)]
    )
    y = layers.Conv2D(4, 1, groups=2, dilation_rate=2, name="groups", **where)(layers.ReLU(name="relu")(y))
    y = layers.SeparableConv2D(2, 2, name="separable", **where)(layers.SpatialDropout2D(0.5, name="drop", **where)(y))
    y = layers.Conv2DTranspose(3, 2, strides=2, name="up", **where)(layers.MaxPooling2D((1, 2), name="max", **where)(y))
    if flat == "channels_last" and not first:
        y = layers.Permute((3, 1, 2), name="order")(y)
    y = layers.Flatten(data_format=flat if first else "channels_last", name="flat")(y)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(y))


def twins(**options):
    keras.utils.set_random_seed(5)
    first, last = network(**options), network("channels_last", flat=options.get("flat", "channels_first"))
    weights = [
        np.random.default_rng(6).uniform(0.1, 1, weight.shape) - 0.4 * (weight.ndim > 1)
        for weight in first.get_weights()
    ]
    first.set_weights(weights)
    last.set_weights(weights)
    return first, last


def opened(model, folder):
    model.save(folder / "network.keras")
    return open_model(Config(MODEL_PATH=folder / "network.keras", DATA_DIR=folder))


@pytest.mark.slow
@pytest.mark.parametrize("flat", ["channels_first", "channels_last"])
def test_channels_first(tmp_path, flat):
    first, last = twins(flat=flat)
    model = opened(first, tmp_path)
    assert (model.info.input_shape, model.info.inputs[0].shape) == (SHAPE, (3, 6, 8))
    assert [layer.path for layer in model.info.layers if layer.convolution] == [
        "conv", "depth", "groups", "separable", "up"
    ]  # fmt: skip
    check(model, last, tmp_path)


@pytest.mark.slow
def test_channels_first_behind_a_permutation(tmp_path):
    first, last = twins(permute=True)
    model, x = opened(first, tmp_path), noise(SHAPE)
    np.testing.assert_allclose(model.predict(x), last(x, training=False), atol=1e-6)
    expected = keras.Model(last.input, last.get_layer("join").output)(x, training=False)
    np.testing.assert_allclose(model.activations(x, "join"), expected, atol=1e-6)


@pytest.mark.slow
def test_channels_first_inside_a_nested_model_of_any_size(tmp_path):
    def build(layout, shape):
        where = {"data_format": layout}
        inside = keras.Input(shape)
        part = keras.Model(inside, layers.Conv2D(2, 3, name="conv", **where)(inside), name="part")
        image = keras.Input(shape)
        y = layers.GlobalAveragePooling2D(**where)(layers.Conv2D(2, 2, name="conv", **where)(part(image)))
        return keras.Model(image, y)

    first, last = build("channels_first", (3, None, None)), build("channels_last", (None, None, 3))
    last.set_weights(first.get_weights())
    first.save(tmp_path / "network.keras")
    model = open_model(Config(MODEL_PATH=tmp_path / "network.keras", MODEL_INPUT_SIZE=(6, 8)))
    assert [(layer.path, layer.shape) for layer in model.info.layers] == [
        ("part/conv", (4, 6, 2)),
        ("conv", (3, 5, 2)),
    ]
    check(model, last, tmp_path)


def test_layouts_of_tensors():
    first, last = twins()
    flat = flatten(first)
    image = flat.model.inputs[0]
    assert image_layout(flat.tensors, image) == "channels_first"
    found = channels_first(flat.tensors, image)
    assert [path for path, tensor in flat.tensors.items() if id(tensor) not in found] == ["flat", "scores"]
    flat = flatten(last)
    assert channels_first(flat.tensors, flat.model.inputs[0]) == set()
    flat = flatten(network(permute=True))
    found = channels_first(flat.tensors, flat.model.inputs[0])
    assert id(flat.model.inputs[0]) not in found
    assert id(flat.tensors["turn"]) in found


@pytest.mark.slow
def test_channels_first_graphs_have_the_same_numbers_and_layers():
    first, last = twins()
    flat, x = flatten(first), noise(SHAPE)
    np.testing.assert_allclose(flat.model(x.transpose(0, 3, 1, 2)), last(x), atol=1e-6)
    assert flat.operations["conv"].layer is first.get_layer("conv")
    assert first.get_layer("conv").data_format == "channels_first"  # given back


WITHOUT_ONEDNN = """
import sys
from pathlib import Path
import numpy as np
from picasso.config import Config
from picasso.models.opening import open_model
model = open_model(Config(MODEL_PATH=Path(sys.argv[1])))
x = np.load(sys.argv[2])
np.save(sys.argv[2], np.concatenate([model.predict(x).ravel(), model.gradients(x, [1, 0]).ravel()]))
print(model.info.warnings)
"""


@pytest.mark.slow
def test_a_cpu_without_onednn(tmp_path):
    """There TensorFlow cannot run the model itself."""
    first, last = twins()
    first.save(tmp_path / "network.keras")
    x = noise(SHAPE)
    np.save(tmp_path / "x.npy", x)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONEDNN, tmp_path / "network.keras", tmp_path / "x.npy"],
        env={"TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "could not be proved here" in done.stdout
    model = opened(first, tmp_path)
    assert model.info.warnings == ()
    expected = np.concatenate([np.ravel(last(x)), model.gradients(x, [1, 0]).ravel()])
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-5)
