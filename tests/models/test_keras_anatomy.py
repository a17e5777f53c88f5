"""What is read from a Keras graph: layers, convolutions, the entrance to what is learnt, the kind of file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from picasso.config import Config
from picasso.errors import NotSupported
from picasso.models.examination import Kernel
from picasso.models.info import Layer, ModelInput
from picasso.models.keras_anatomy import entrance, kernels, weight_bytes
from picasso.models.keras_flat import flatten
from picasso.models.keras_history import run
from picasso.models.opening import open_model

SHAPE = (6, 8, 3)


def noise(count=2):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def around(*parts):
    y = image = keras.Input(SHAPE, name="image")
    for part in parts:
        y = part(y)
    return keras.Model(image, y)


def branches():
    """Maps that the scores do not need, or that do not come from the image, are no layers to look at."""
    image, other = keras.Input(SHAPE, name="image"), keras.Input((4, 6, 2), name="map")
    inside = keras.Input((4, 6, 2))
    part = keras.Model(
        inside, [layers.Conv2D(2, 1, name="used")(inside), layers.Conv2D(2, 1, name="unused")(inside)], name="part"
    )
    y, _ = part(layers.Conv2D(2, 3, name="first")(image))
    y = layers.Add(name="sum")([y, layers.Conv2D(2, 1, name="beside")(other)])
    whole = keras.ops.cast(y > 0, "int32")
    y = layers.GlobalAveragePooling2D(name="mean")(layers.Rescaling(1.0, name="scale")(whole) + y)
    return keras.Model([image, other], layers.Dense(3, name="scores")(y))


@pytest.fixture
def opened(tmp_path):
    def open_it(network, suffix=".keras", **config):
        network.save(tmp_path / f"network{suffix}")
        return open_model(Config(MODEL_PATH=tmp_path / f"network{suffix}", DATA_DIR=tmp_path, **config))

    return open_it


def test_layers(opened):
    model = opened(branches(), MODEL_INPUT="image")
    found = {layer.path.split("_")[0]: layer for layer in model.info.layers}
    assert list(found) == ["first", "part/used", "sum", "scale", "add"]
    assert found["part/used"] == Layer("part/used", "Conv2D", (4, 6, 2), True)
    assert found["sum"] == Layer("sum", "Add", (4, 6, 2), False)
    assert "activations" in model.info.capabilities
    assert model.info.inputs == (ModelInput("image", SHAPE), ModelInput("map", (4, 6, 2), "0"))


def test_a_layer_that_is_not_there(opened):
    model = opened(branches(), MODEL_INPUT="image")
    with pytest.raises(NotSupported, match=r"network has no layer 'part/unuse' with a map. Near: part/used"):
        model.activations(noise(), "part/unuse")


def test_a_layer_without_a_gradient_says_so(opened):
    model = opened(around(layers.Conv2D(2, 1, name="conv"), keras.ops.round, layers.Flatten()))
    with pytest.raises(NotSupported, match="scores cannot be differentiated with respect to the layer conv"):
        model.layer_gradients(noise(), [0, 1], "conv", logits=False)


def test_activations_and_gradients_equal_direct_code(opened):
    """Fast; the zoo has every kind of network."""
    network = around(
        keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, activation="tanh", name="conv")], name="part"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    )
    model, x = opened(network), noise(3)
    conv, dense = network.get_layer("part").layers[0], network.layers[-1]
    maps = conv(x).numpy()
    np.testing.assert_allclose(model.activations(x, "part/conv"), maps, atol=1e-6)
    found, gradients = model.layer_gradients(x, [2, 0, 1], "part/conv")
    np.testing.assert_allclose(found, maps, atol=1e-6)
    # The logit is the mean of each map times the kernel: its derivative is the same everywhere.
    expected = dense.kernel.numpy().T[[2, 0, 1]][:, None, None] / (4 * 6)
    np.testing.assert_allclose(gradients, np.broadcast_to(expected, gradients.shape), atol=1e-6)


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(1).uniform(0, 255, (4, *SHAPE)))
    return layer


def last():
    return [layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(name="scores")]


ENTRANCES = {
    "nothing before": (lambda: around(*last()), lambda x: x),
    "Rescaling": (lambda: around(layers.Rescaling(2.0, 1.0), *last()), lambda x: 2 * x + 1),
    "arithmetic and a cast": (
        lambda: around(lambda x: keras.ops.cast(x / 127.5 - 1, "float32"), *last()),
        lambda x: x / 127.5 - 1,
    ),
    "augmentation, padding": (
        lambda: around(layers.RandomFlip(), layers.RandomRotation(0.1), layers.ZeroPadding2D(1), *last()),
        lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))),
    ),
    "inside a nested model": (
        lambda: around(layers.Rescaling(0.5), around(layers.Rescaling(4.0), *last())),
        lambda x: 2 * x,
    ),
    "a BatchNormalization": (lambda: around(layers.BatchNormalization(), *last()), lambda x: x),
}


@pytest.mark.parametrize(("make", "expected"), ENTRANCES.values(), ids=ENTRANCES)
def test_the_entrance(make, expected):
    flat = flatten(make())
    found = entrance(flat, flat.model.inputs[0], flat.model.outputs[0])
    (value,) = run(flat.model.inputs, [noise()], [found])
    np.testing.assert_allclose(value, expected(noise()), atol=1e-5)


def test_normalization_is_not_learnt():
    layer = adapted()
    flat = flatten(around(layer, *last()))
    (value,) = run(flat.model.inputs, [noise()], [entrance(flat, flat.model.inputs[0], flat.model.outputs[0])])
    np.testing.assert_allclose(value, layer(noise()), atol=1e-6)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(2, 3, strides=2)

    def call(self, inputs):
        return keras.ops.mean(self.conv(inputs / 255), axis=(1, 2))


def test_no_entrance_is_known_of_what_has_no_graph():
    flat = flatten(around(Own()))
    assert entrance(flat, flat.model.inputs[0], flat.model.outputs[0]) is None
    flat = flatten(around(layers.Rescaling(2.0), layers.Flatten()))
    assert entrance(flat, flat.model.inputs[0], flat.model.outputs[0]) is None


def test_kernels():
    shared = layers.Conv2D(4, 3, strides=2, padding="same")
    part = around(
        shared, layers.DepthwiseConv2D((3, 2), depth_multiplier=2, padding="same"), layers.Conv2D(6, 1, groups=2)
    )
    network = around(
        layers.Conv2D(3, 1), part, layers.SeparableConv2D(5, 2), layers.Conv2DTranspose(2, (4, 3), strides=2)
    )
    assert list(kernels(flatten(network).operations.values())) == [
        Kernel("full", 1, 1, 3, 3, 1),
        Kernel("full", 3, 3, 3, 4, 2),
        Kernel("depthwise", 3, 2, 4, 8, 1),
        Kernel("full", 1, 1, 4, 6, 1),
        Kernel("depthwise", 2, 2, 6, 6, 1),
        Kernel("full", 1, 1, 6, 5, 1),
        Kernel("full", 4, 3, 5, 2, 2),
    ]
    assert list(kernels(flatten(around(Own())).operations.values())) == [Kernel("full", 3, 3, 3, 2, 2)]


def test_weight_bytes():
    network = around(layers.Conv2D(2, 1), layers.Conv2D(2, 1, dtype="float16"), layers.Flatten())
    assert weight_bytes(network) == (3 * 2 + 2) * 4 + (2 * 2 + 2) * 2


@pytest.mark.parametrize(("suffix", "kind"), [(".keras", "Keras 3 (.keras)"), (".h5", "HDF5")])
def test_the_kind_of_file(opened, suffix, kind):
    info = opened(around(*last()), suffix).info
    assert (info.format, info.writer) == (kind, f"Keras {keras.__version__}")
    assert (info.outputs, info.output, info.weight_bytes) == (("scores",), "scores", (3 * 3 * 3 * 2 + 2) * 4)


def test_the_kind_of_file_of_weights(tmp_path):
    network = around(*last())
    (tmp_path / "network.json").write_text(network.to_json())
    network.save_weights(tmp_path / "network.weights.h5")
    info = open_model(Config(MODEL_PATH=tmp_path / "network.json", MODEL_WEIGHTS=tmp_path / "network.weights.h5")).info
    assert (info.format, info.writer) == ("architecture (.json) with weights", "Keras 3")
