"""Every kind of network: each adapter call compared with the same computation done directly in Keras."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras_directly import check, gradient, noise

from picasso.config import Config
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.info import Assumption, ModelInput
from picasso.models.keras_flat import flatten
from picasso.models.opening import open_model

pytestmark = pytest.mark.slow  # a zoo of models, each traced

SHAPE = (6, 8, 3)
CLASSES = 3
OWN = """
import keras
from keras import layers

def prepare(images):
    import numpy as np
    return np.zeros((len(images), 6, 8, 5), np.float32)

@keras.saving.register_keras_serializable("shop")
class Subclassed(keras.Model):
    def __init__(self, width=4, **options):
        super().__init__(**options)
        self.width = width
        self.conv, self.flat, self.last = layers.Conv2D(width, 3), layers.Flatten(), layers.Dense(3, "softmax")

    def call(self, inputs):
        return self.last(self.flat(self.conv(inputs)))

    def get_config(self):
        return super().get_config() | {"width": self.width}

class Halved(keras.Model):
    def call(self, inputs, training=None, mask=None):
        return super().call(keras.tree.map_structure(lambda x: x / 2, inputs), training=training)

class HalvedSequential(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs / 2, training=training)
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "picasso_own_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picasso_own_network", raising=False)
    import picasso_own_network

    keras.saving.get_custom_objects().pop("shop>Subclassed")
    return picasso_own_network


@pytest.fixture
def opened(tmp_path):
    def open_it(network, suffix=".keras", **config):
        network.save(tmp_path / f"network{suffix}")
        config = {"MODEL_PREPROCESS": {"scale": [0, 1]}} | config  # said, so that what is assumed is the graph's
        return open_model(Config(MODEL_PATH=tmp_path / f"network{suffix}", DATA_DIR=tmp_path, **config))

    return open_it


def dense(activation=None, units=CLASSES, **options):
    return layers.Dense(units, activation, kernel_initializer="he_normal", bias_initializer="normal", **options)


def backbone(shape=SHAPE, name="backbone"):
    image = keras.Input(shape)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="tanh")(image))
    return keras.Model(image, layers.Conv2D(3, 1, activation="tanh")(y), name=name)


def head(*last, name="head"):
    return keras.Sequential([keras.Input((4, 6, 3)), layers.Flatten(), *last], name=name)


def around(*parts):
    image = keras.Input(SHAPE)
    y = image
    for part in parts:
        y = part(y)
    return keras.Model(image, y)


def shared():
    image, part = keras.Input(SHAPE), keras.Sequential([layers.Conv2D(3, 3, padding="same", activation="tanh")])
    return keras.Model(image, dense("softmax")(layers.Flatten()(layers.Add()([part(part(image)), part(image)]))))


def fixed_batch():
    return keras.Sequential([keras.Input(batch_shape=(1, *SHAPE)), layers.Flatten(), dense("softmax")])


def branches():
    image = keras.Input(SHAPE)
    y = layers.Concatenate()([layers.Conv2D(2, 1)(image), layers.Conv2D(2, 3, padding="same")(image)])
    return keras.Model(image, keras.ops.softmax(dense()(layers.GlobalAveragePooling2D()(y))))


def mixed():
    image = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, dtype="mixed_float16")(image)
    return keras.Model(image, layers.Softmax(dtype="float32")(dense(dtype="mixed_float16")(layers.Flatten()(y))))


def nested_and_shared():
    """A model called twice in a model that is called twice in a model."""
    part = around(layers.Conv2D(3, 3, padding="same", activation="tanh", name="conv"))
    middle = around(part, layers.Dropout(0.5), part, layers.Conv2D(3, 1))
    image = keras.Input(SHAPE)
    y = layers.Flatten()(middle(middle(image)) + image / 2.0)
    return keras.Model(image, dense("softmax")(y))


def every_convolution():
    image = keras.Input(SHAPE)
    y = layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.ZeroPadding2D(1)(image))
    y = layers.SeparableConv2D(4, 3, strides=2, padding="same", activation="relu")(y)
    y = layers.Conv2DTranspose(3, 2, strides=2)(layers.SpectralNormalization(layers.Conv2D(4, 1, groups=2))(y))
    return keras.Model(image, dense("softmax")(layers.GlobalAveragePooling2D()(layers.LeakyReLU()(y))))


def channels(count):
    return keras.Sequential([keras.Input((6, 8, count)), layers.Conv2D(2, 3), layers.Flatten(), dense("softmax")])


# name: (network, has logits, kind of scores)
ZOO = {
    "Sequential": (lambda: channels(3), True, "probability"),
    "greyscale": (lambda: channels(1), True, "probability"),
    "functional with branches": (branches, True, "probability"),
    "backbone in a functional model": (
        lambda: around(backbone(), layers.Flatten(), dense("softmax")),
        True,
        "probability",
    ),
    "backbone in a Sequential model": (
        lambda: keras.Sequential([keras.Input(SHAPE), backbone(), layers.Flatten(), dense("softmax")]),
        True,
        "probability",
    ),
    "softmax in the last nested model": (lambda: around(backbone(), head(dense("softmax"))), True, "probability"),
    "Softmax layer in the last nested model": (
        lambda: keras.Sequential([keras.Input(SHAPE), backbone(), head(dense(), layers.Softmax())]),
        True,
        "probability",
    ),
    "three deep, something behind the softmax": (
        lambda: around(around(around(backbone(), head(dense("softmax")))), layers.Rescaling(1.0)),
        False,
        "probability",
    ),
    "three deep, softmax inside": (
        lambda: around(around(around(backbone(name="a"), head(dense("softmax"))))),
        True,
        "probability",
    ),
    "shared layers": (shared, True, "probability"),
    "fixed batch size": (fixed_batch, True, "probability"),
    "raw scores": (lambda: around(backbone(), layers.Flatten(), dense()), False, "raw score"),
    "one sigmoid": (lambda: around(backbone(), head(dense("sigmoid", 1))), True, "probability"),
    "several sigmoids in a nested model": (lambda: around(backbone(), head(dense("sigmoid"))), True, "probability"),
    "nested three deep, each shared": (nested_and_shared, True, "probability"),
    "every convolution": (every_convolution, True, "probability"),
    "regression": (lambda: around(backbone(), layers.Flatten(), dense(units=1)), False, "raw score"),
    "log softmax": (lambda: around(backbone(), head(dense("log_softmax"))), False, "raw score"),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(("make", "logits", "kind"), ZOO.values(), ids=ZOO)
def test_the_zoo(opened, tmp_path, make, logits, kind, suffix):
    keras.utils.set_random_seed(4)
    network = make()
    model = opened(network, suffix)
    assert ("logits" in model.info.capabilities, model.info.score_kind) == (logits, kind)
    assert all("raw scores" in warning for warning in model.info.warnings)
    if suffix == ".h5":  # the same network from another file
        x = noise(model.info.input_shape)
        np.testing.assert_allclose(model.predict(x), network(x, training=False), atol=1e-6)
    else:
        check(model, network, tmp_path)


def test_logits_inside_a_nested_model_are_the_values_before_its_softmax(opened):
    last = dense("softmax")
    model, x = opened(network := around(backbone(), inner := head(last))), noise(SHAPE)
    features = inner.layers[0](network.layers[1](x, training=False))
    expected = features @ last.kernel + last.bias
    np.testing.assert_allclose(model.predict(x, logits=True), expected, atol=1e-5)


def test_nothing_is_computed_twice_for_nested_logits(opened):
    graph = opened(around(backbone(), head(dense("softmax"))))._trace._outputs.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert sum(node.op == "Conv2D" for node in nodes) == 2


def test_mixed_precision(opened, tmp_path):
    network = mixed()
    check(opened(network), network, tmp_path, tolerance=1e-3)  # half precision has 3 digits


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_scores_in_half_precision_have_their_logit(opened, tmp_path, precision):
    keras.utils.set_random_seed(4)
    network = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense("softmax", 10, dtype=f"mixed_{precision}")])
    network.export(tmp_path / "exported", verbose=False)
    for model in (opened(network), open_model(Config(MODEL_PATH=tmp_path / "exported"))):
        assert "logits" in model.info.capabilities
        assert (model.info.score_kind, model.info.warnings) == ("probability", ())


# Several inputs
def two_inputs(structure=list):
    image, age = keras.Input(SHAPE, name="image"), keras.Input((2,), name="age")
    y = layers.Concatenate()([layers.Flatten()(image), age])
    inputs = {"image": image, "age": age} if structure is dict else [age, image]
    return keras.Model(inputs, dense("softmax")(y))


@pytest.mark.parametrize("structure", [list, dict])
@pytest.mark.parametrize(
    ("given", "filling"), [({}, "0"), ({"age": 3.0}, "3"), ({"age": [1.0, -2.0]}, "[ 1., -2.]")], ids=str
)
def test_two_inputs(opened, tmp_path, structure, given, filling):
    network = two_inputs(structure)
    model = opened(network, MODEL_OTHER_INPUTS=given)
    assumed = Assumption("The input age (2,) is filled with zeros.", 'MODEL_OTHER_INPUTS = {"age": [0.0, 0.0]}')
    assert (model.info.warnings, model.info.assumptions) == ((), () if given else (assumed,))
    assert set(model.info.inputs) == {ModelInput("image", SHAPE), ModelInput("age", (2,), filling)}

    def direct(x):
        ages = tf.broadcast_to(tf.constant(given.get("age", 0.0)), (len(x), 2))
        return {"image": x, "age": ages} if structure is dict else [ages, x]

    check(model, network, tmp_path, direct)


def test_the_line_for_several_other_inputs_names_all(opened):
    image, place, age = keras.Input(SHAPE, name="image"), keras.Input((9,), name="place"), keras.Input((), name="age")
    y = layers.Concatenate()([layers.Flatten()(image), place, layers.Reshape((1,))(age)])
    model = opened(keras.Model([image, place, age], dense("softmax")(y)), MODEL_OTHER_INPUTS={"place": 2.0})
    (assumed,) = model.info.assumptions
    assert assumed == Assumption(
        "The input age () is filled with zeros.", 'MODEL_OTHER_INPUTS = {"place": 2.0, "age": 0.0}'
    )


def two_images():
    first, second = keras.Input(SHAPE, name="left"), keras.Input(SHAPE, name="right")
    return keras.Model([first, second], dense("softmax")(layers.Flatten()(layers.Subtract()([first, second]))))


def test_two_image_inputs(opened, tmp_path):
    network = two_images()
    with pytest.raises(ConfigError, match=r'several image inputs: left, right. Write MODEL_INPUT = "left"'):
        opened(network)
    model = opened(network, MODEL_INPUT="right")
    assert "input left (6, 8, 3) is filled with zeros" in model.info.assumptions[0].sentence
    check(model, network, tmp_path, lambda x: [tf.zeros_like(x), x])


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"MODEL_INPUT": "picture"}, "MODEL_INPUT = 'picture': the model's inputs are age, image"),
        ({"MODEL_OTHER_INPUTS": {"old": 1}}, "MODEL_OTHER_INPUTS names old; the inputs besides the image are: age"),
        ({"MODEL_OTHER_INPUTS": {"age": [1, 2, 3]}}, r"MODEL_OTHER_INPUTS: age takes \(2,\) numbers, got \[1"),
    ],
)
def test_input_settings_that_are_wrong(opened, config, sentence):
    with pytest.raises(ConfigError, match=sentence):
        opened(two_inputs(), **config)


# Several outputs
def several_outputs(structure=list):
    image = keras.Input(SHAPE)
    y = backbone()(image)
    kind = dense("softmax", name="kind")(layers.Flatten()(y))
    colour = dense("softmax", 2, name="colour")(layers.Flatten()(y))
    outputs = {"map": y, "kind": kind, "colour": colour} if structure is dict else [y, kind, colour]
    return keras.Model(image, outputs)


@pytest.mark.parametrize("structure", [list, dict])
@pytest.mark.parametrize("wanted", [None, "kind", "colour"])
def test_several_outputs(opened, tmp_path, structure, wanted):
    network = several_outputs(structure)
    model = opened(network, MODEL_OUTPUT=wanted)
    order = ["colour", "kind", "map"] if structure is dict else ["map", "kind", "colour"]
    name = wanted or order[0 if structure is dict else 1]
    assert (model.info.output, model.info.warnings) == (name, ())
    assert model.info.outputs == tuple(one for one in order if one != "map")
    if wanted is None:
        other = ({"kind", "colour"} - {name}).pop()
        assert model.info.assumptions == (
            Assumption(
                f"The model has several outputs: {name} is explained. Others are {other}.", f'MODEL_OUTPUT = "{name}"'
            ),
        )
    check(model, network, tmp_path, output=order.index(name))


def test_outputs_by_number_and_wrong_ones(opened):
    network = several_outputs()
    assert opened(network, MODEL_OUTPUT=2).info.classes == 2
    with pytest.raises(ConfigError, match=r"MODEL_OUTPUT = 'size': the model's outputs are 0 \(backbone\), 1 \(kind\)"):
        opened(network, MODEL_OUTPUT="size")
    with pytest.raises(NotSupported, match=r"output backbone is \(None, 4, 6, 3\); Picasso explains one score per"):
        opened(network, MODEL_OUTPUT=0)


# Sizes and channels
def any_size():
    return keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D(), dense("softmax")]
    )


def test_undefined_sizes(opened, tmp_path):
    network = any_size()
    model = opened(network)
    assert model.info.input_shape == (224, 224, 3)
    assert [one.line for one in model.info.assumptions] == ["MODEL_INPUT_SIZE = (224, 224)"]
    assert "pictures of any size: 224 x 224 (height" in model.info.assumptions[0].sentence
    narrow = opened(keras.Sequential([keras.Input((None, 9, 3)), layers.GlobalMaxPooling2D(), dense("softmax")]))
    assert narrow.info.input_shape == (224, 9, 3)
    (assumed,) = narrow.info.assumptions
    assert "pictures of any height: 224 x 9 (height x width)" in assumed.sentence
    assert assumed.line == "MODEL_INPUT_SIZE = (224, 9)"
    model = opened(network, MODEL_INPUT_SIZE=(10, 14))
    assert (model.info.input_shape, model.info.assumptions) == ((10, 14, 3), ())
    assert model.info.layers[0].shape == (8, 12, 2)
    check(model, network, tmp_path)


def test_sizes_that_do_not_fit(opened):
    with pytest.raises(ConfigError, match=r"MODEL_INPUT_SIZE = \(9, 9\): this model takes \(6, 8\) only"):
        opened(channels(3), MODEL_INPUT_SIZE=(9, 9))
    assert opened(channels(3), MODEL_INPUT_SIZE=(6, 8)).info.input_shape == SHAPE
    with pytest.raises(NotSupported, match=r"cannot run the model on a picture of \(2, 2, 3\): .* MODEL_INPUT_SIZE"):
        opened(any_size(), MODEL_INPUT_SIZE=(2, 2))
    image = keras.Input((6, 8, None))
    with pytest.raises(NotSupported, match="number of its channels is not defined"):
        opened(keras.Model(image, layers.GlobalMaxPooling2D()(layers.Resizing(2, 2)(image))[:, :1]))


def test_other_channels(opened, tmp_path):
    with pytest.raises(ConfigError, match=r'takes 5 channels; .* MODEL_PREPROCESS = "module:function"'):
        opened(channels(5))
    network = channels(5)
    check(opened(network, MODEL_PREPROCESS="picasso_own_network:prepare"), network, tmp_path)


# Subclassed models
def test_subclassed_models(own, opened, tmp_path):
    network = own.Subclassed(width=5)
    network(noise(SHAPE))
    with pytest.raises(
        ModelError, match=r'names Subclassed.*MODEL_CUSTOM_OBJECTS = {"Subclassed": "[a-z_]+:Subclassed"}'
    ):
        opened(network)
    model = opened(network, MODEL_CUSTOM_OBJECTS={"Subclassed": "picasso_own_network:Subclassed"})
    assert model.info.input_shape == SHAPE
    check(model, network, tmp_path)


def two_pictures_as_dictionary(own):
    image, other = keras.Input(SHAPE, name="image"), keras.Input(SHAPE, name="other")
    y = dense("softmax")(layers.Flatten()(layers.Subtract()([image, other])))
    return own.Halved({"other": other, "image": image}, y)


@pytest.mark.parametrize(
    ("make", "given", "config"),
    [
        (lambda own: own.Halved(*(lambda net: (net.inputs[0], net.outputs[0]))(channels(3))), lambda x: x, {}),
        (lambda own: own.HalvedSequential([keras.Input(SHAPE), layers.Flatten(), dense("softmax")]), lambda x: x, {}),
        (
            two_pictures_as_dictionary,
            lambda x: {"image": x, "other": tf.zeros_like(x)},
            {"MODEL_INPUT": "image", "MODEL_OTHER_INPUTS": {"other": 0.0}},
        ),
    ],
    ids=["functional", "Sequential", "two inputs"],
)
def test_models_with_a_graph_and_a_call_of_their_own(own, opened, tmp_path, make, given, config):
    network = make(own)
    names = {name: f"picasso_own_network:{name}" for name in ("Halved", "HalvedSequential")}
    model = opened(network, MODEL_CUSTOM_OBJECTS=names, **config)
    assert (model.info.layers, "logits" in model.info.capabilities) == ((), False)
    check(model, network, tmp_path, given)


# Pictures without channels, maps of one cell as scores
@pytest.mark.parametrize("size", [(6, 8), (None, 8)])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_a_picture_without_channels_is_greyscale(opened, size, layout):
    shape = (6, 8, 1) if layout == "channels_last" else (1, 6, 8)
    network = keras.Sequential([keras.Input(size, name="rows"), layers.Reshape(shape),
                                layers.Conv2D(2, 3, data_format=layout, name="conv"), layers.Flatten(),
                                dense("softmax")])  # fmt: skip
    model = opened(network, MODEL_INPUT_SIZE=(6, 8))
    assert model.info.input_shape == (6, 8, 1)
    assert [one.line for one in model.info.assumptions] == ['MODEL_INPUT = "rows"']
    x, chosen = noise((6, 8, 1)), [2, 0]
    if layout == "channels_last":
        np.testing.assert_allclose(model.predict(x), network(x[..., 0], training=False), atol=1e-6)
        expected = gradient(lambda x: network(x[..., 0], training=False), x, chosen)
        np.testing.assert_allclose(model.gradients(x, chosen, logits=False), expected, atol=1e-6)
    assert model.activations(x, "conv").shape == (2, 4, 6, 2)
    model.warm_up()
    hidden = np.concatenate([x[:1], x[:1]])
    hidden[0, :3, :2], hidden[1, 2:5, 3:5] = 0.5, 0.5
    found = model.occlude(x[:1], np.array([(0, 0), (2, 3)]), (3, 2), np.full((6, 8, 1), 0.5, np.float32))
    np.testing.assert_allclose(found, model.predict(hidden), atol=1e-6)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_scores_of_one_cell(opened, layout):
    order, axis = ((3, 1, 2), 1) if layout == "channels_first" else ((1, 2, 3), -1)
    convolve = layers.Conv2D(CLASSES, 3, data_format=layout)
    pool = layers.GlobalMaxPooling2D(keepdims=True, data_format=layout)
    network = keras.Sequential([keras.Input(SHAPE), layers.Permute(order), convolve, pool, layers.Softmax(axis)])
    model, x = opened(network), noise(SHAPE)
    assert model.info.score_kind == "probability"
    assert "logits" in model.info.capabilities
    model.warm_up()
    maps = model.activations(x, convolve.name).max(axis=(1, 2))
    np.testing.assert_allclose(model.predict(x, logits=True), maps, atol=1e-6)
    np.testing.assert_allclose(model.predict(x), keras.ops.softmax(maps), atol=1e-6)
    corners, fill = np.array([(0, 0), (2, 3)]), np.zeros(SHAPE, np.float32)
    hidden = np.repeat(x[:1], 2, axis=0)
    hidden[0, :2, :2], hidden[1, 2:4, 3:5] = 0, 0
    np.testing.assert_allclose(model.occlude(x[:1], corners, (2, 2), fill), model.predict(hidden), atol=1e-6)


def test_what_is_explained_must_be_the_model(opened, monkeypatch):
    other = flatten(around(backbone(), head(dense("softmax"))))
    monkeypatch.setattr("picasso.models.keras_graph.flatten", lambda network, sizes: other)
    with pytest.raises(ModelError, match="gives other scores than the model itself"):
        opened(around(backbone(), layers.Flatten(), dense("softmax")))


def test_a_model_that_cannot_be_flattened_is_explained_as_it_is(opened, tmp_path, monkeypatch):
    def refuse(network, sizes):
        raise NotSupported("It cannot.")

    monkeypatch.setattr("picasso.models.keras_graph.flatten", refuse)
    network = around(backbone(), layers.Flatten(), dense("softmax"))
    model = opened(network)
    assert [layer.path for layer in model.info.layers] == ["backbone"]
    check(model, network, tmp_path)
