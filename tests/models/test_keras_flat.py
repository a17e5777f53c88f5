"""Nested models as one graph: the same layers, the same numbers, every layer by its path."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from picasso.errors import NotSupported
from picasso.models.keras_flat import as_it_is, distinct_names, flatten
from picasso.models.keras_history import run

SHAPE = (6, 8, 3)


def noise(*shape, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *(shape or SHAPE))).astype(np.float32)


def backbone(name="backbone", **options):
    """Keeps the shape, so that it can be called on what it gives; a Dropout hands its input on."""
    image = keras.Input(SHAPE, **options)
    y = layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv")(image)
    y = layers.Conv2D(3, 1, activation="tanh", name="out")(layers.Dropout(0.5, name="drop")(y))
    return keras.Model(image, y, name=name)


def three_deep():
    """A model in a Sequential in a model, both called twice, beside an operation that is no layer."""
    shared = backbone()
    middle = keras.Sequential([keras.Input(SHAPE), shared, backbone("second")], name="middle")
    image = keras.Input(SHAPE)
    y = layers.Flatten(name="flat")(middle(middle(image)) + shared(image) / 2.0)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(y))


def compare(network, *x, flat=None):
    flat = flat or flatten(network)
    given = list(x) if len(x) > 1 else x[0]
    expected = keras.tree.flatten(network(given, training=False))
    ways = keras.tree.flatten(flat.model(given, training=False)), run(flat.model.inputs, x, flat.model.outputs)
    for found in ways:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    return flat


def test_paths_of_a_model_three_deep():
    network = three_deep()
    flat = compare(network, noise())
    inner = [f"{part}/{layer}" for part in ("backbone", "second") for layer in ("conv", "drop", "out")]
    paths = {*(f"{call}/{path}" for call in ("middle", "middle#2") for path in inner), *inner[:3], "flat", "scores"}
    assert set(flat.operations) == set(flat.tensors)
    assert {path for path in flat.tensors if not path.startswith(("add", "true_divide"))} == paths
    places = {id(tensor): place for place, tensor in enumerate(flat.tensors.values())}
    for path, tensor in flat.tensors.items():
        entering = flat.operations[path]._inbound_nodes[tensor._keras_history.node_index].input_tensors
        assert all(places.get(id(one), -1) < places[id(tensor)] for one in entering)


def test_layers_are_the_very_same():
    network = three_deep()
    flat = flatten(network)
    middle = network.get_layer("middle")
    assert flat.operations["middle#2/second/conv"] is middle.layers[1].get_layer("conv")
    assert flat.operations["backbone/conv"] is flat.operations["middle/backbone/conv"]
    assert {id(weight) for weight in flat.model.weights} == {id(weight) for weight in network.weights}
    assert middle.layers[1].get_layer("conv").name == "conv"  # names are given back


def test_every_inner_tensor_can_be_reached():
    network, x = three_deep(), noise()
    flat = flatten(network)
    middle, shared = network.get_layer("middle"), network.get_layer("backbone")
    second = middle.layers[1]
    direct = keras.Model(second.input, second.get_layer("conv").output)(middle.layers[0](middle(x)))
    (found,) = run(flat.model.inputs, [x], [flat.tensors["middle#2/second/conv"]])
    np.testing.assert_allclose(found, direct, atol=1e-6)
    (found,) = run(flat.model.inputs, [x], [flat.tensors["backbone/out"]])
    np.testing.assert_allclose(found, shared(x), atol=1e-6)


def test_training_is_off_also_where_the_model_says_otherwise():
    image = keras.Input(SHAPE)
    network = keras.Model(image, layers.Dropout(0.5)(layers.BatchNormalization()(backbone()(image)), training=True))
    compare(network, noise())


def several():
    """A nested model with several inputs and outputs, called with a dictionary, and once more with a list."""
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    part = keras.Model([first, second], [first - second, layers.Dense(2)(first * second)], name="part")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    one, two = part({"second": a, "first": b})
    three, four = part([a, one])
    return keras.Model([a, b], {"x": three, "y": layers.Concatenate()([two, four])})


def test_several_inputs_and_outputs():
    flat = compare(several(), noise(4), noise(4, seed=1))
    assert {"part/dense", "part#2/dense"} <= {path.split("_")[0] for path in flat.tensors}
    assert set(flat.model.output) == {"x", "y"}


def test_inputs_in_a_dictionary():
    age, image = keras.Input((2,), name="age"), keras.Input(SHAPE, name="image")
    outcome = layers.Concatenate()([layers.Flatten()(backbone()(image)), age])
    network = keras.Model({"age": age, "image": image}, outcome)
    flat = flatten(network)
    given = {"age": noise(2), "image": noise()}
    np.testing.assert_allclose(flat.model(given), network(given), atol=1e-6)


def test_several_results_of_one_call():
    image = keras.Input(SHAPE)
    parts = keras.ops.split(image, 3, axis=-1)
    flat = compare(keras.Model(image, parts[2] - parts[0]), noise())
    (split,) = [path for path in flat.operations if path.startswith("split")]
    assert {split, f"{split}:1", f"{split}:2"} <= set(flat.tensors)


def test_types_of_nested_inputs_are_kept():
    image = keras.Input(SHAPE)
    y = backbone()(layers.Conv2D(3, 1, dtype="mixed_float16")(image))
    network = keras.Model(image, y)
    flat = compare(network, noise())
    assert flat.tensors["backbone/conv"].dtype == "float32"


@pytest.mark.filterwarnings("ignore:Layer .reader. .of type Functional. was passed an input with a mask")
def test_masks_are_kept():
    image, words = keras.Input(SHAPE), keras.Input((5,), name="words", dtype="int32")
    inside = keras.Input((5, 4))
    reader = keras.Model(inside, layers.LSTM(3)(inside), name="reader")
    y = reader(layers.Embedding(9, 4, mask_zero=True)(words))
    network = keras.Model([image, words], layers.Concatenate()([layers.Flatten()(image), y]))
    compare(network, noise(), np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]]))


@keras.saving.register_keras_serializable("picasso_tests")
class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.conv = layers.Conv2D(3, 3, padding="same")

    def call(self, inputs):
        return self.conv(inputs) * 2


def test_what_has_no_graph_is_one_node():
    image = keras.Input(SHAPE)
    pieces = layers.TimeDistributed(backbone(), name="pieces")(layers.Reshape((1, *SHAPE))(image))
    flat = compare(keras.Model(image, Own()(layers.Reshape(SHAPE)(pieces))), noise())
    assert {"pieces", "own"} <= set(flat.operations)
    own = Own()
    own(noise())
    with pytest.raises(NotSupported, match="no graph of own"):
        flatten(own)


def test_definite_sizes():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, layers.GlobalMaxPooling2D()(layers.Conv2D(2, 3, name="conv")(image)))
    flat = flatten(network, [(10, 14, 3)])
    assert flat.tensors["conv"].shape == (None, 8, 12, 2)
    compare(network, noise(10, 14, 3), flat=flat)


def test_a_network_as_it_is():
    network = three_deep()
    flat = compare(network, noise(), flat=as_it_is(network))
    assert {"middle", "middle#2", "backbone", "scores"} <= set(flat.operations)


def test_a_marked_tensor_has_a_gradient_of_its_own():
    """Dropout hands its input on: beside it, the input goes on another way."""
    image = keras.Input(SHAPE)
    y = layers.Conv2D(3, 1, name="conv")(image)
    network = keras.Model(image, 3 * layers.Dropout(0.5, name="drop")(y) + 5 * y)
    flat, x = flatten(network), tf.constant(noise())
    gradients = {}
    for path in ("conv", "drop"):
        with tf.GradientTape() as tape:
            tape.watch(x)
            marked = flat.tensors[path]
            tensor, outcome = run(flat.model.inputs, [x], [marked, flat.model.outputs[0]], {id(marked): tf.identity})
        gradients[path] = tape.gradient(outcome, tensor)
    np.testing.assert_allclose(gradients["conv"], np.full((2, *SHAPE), 8.0))
    np.testing.assert_allclose(gradients["drop"], np.full((2, *SHAPE), 3.0))


def test_names_come_back():
    flat = flatten(three_deep())
    operations = list(flat.operations.values())
    before = [operation.name for operation in operations]
    with distinct_names(flat.operations):
        assert len({operation.name for operation in operations}) == len(set(operations))
    assert [operation.name for operation in operations] == before
