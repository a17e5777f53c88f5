"""Every kind of Keras file, opened as a worker does, and what is said of those that do not open."""

from __future__ import annotations

import errno
import json
import os
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from picasso.config import Config
from picasso.errors import ConfigError, ModelError, NoSpace
from picasso.models.keras_files import load_network
from picasso.models.opening import open_model

pytestmark = pytest.mark.slow  # a zoo of models, each traced

SHAPE = (6, 5, 3)
KERAS2 = Path(__file__).parent / "keras2"
OWN = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("shop")
class Twice(layers.Layer):
    def call(self, inputs):
        return 2 * inputs

def loss(truth, scores):
    return keras.ops.sum(scores)

def twice(x):
    return 2 * x

def build(last=3):
    return keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(2, 3, name="first"), layers.Flatten(),
                             layers.Dense(last, activation="softmax", name="last")])

def wider(): return build(4)
def deeper(): return keras.Sequential([keras.Input((6, 5, 3)), *build().layers, layers.Dense(3)])
def shallower(): return keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(2, 3, name="first"),
                                          layers.GlobalAveragePooling2D()])
def broken(): raise RuntimeError("no network today")
def number(): return 3

class Uncalled(keras.Model):
    pass
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A module of the user's own; what it registers with Keras is forgotten, as in a new process."""
    (tmp_path / "picasso_own_keras.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picasso_own_keras", raising=False)
    import picasso_own_keras

    keras.saving.get_custom_objects().pop("shop>Twice")
    return picasso_own_keras


def noise(count=3):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def load(path, **config):
    return load_network(Config(MODEL_PATH=path, **config), Path(path)).network


def same(network, other, x=None):
    x = noise() if x is None else x
    np.testing.assert_allclose(network(x, training=False), other(x, training=False), atol=1e-5)


def refused(path, sentence, error=ModelError, **config):
    with pytest.raises(error, match=sentence) as caught:
        load(path, **config)
    assert "\n" not in caught.value.message
    return caught.value


# Files that Keras 2 wrote, with the scores that it gave
@pytest.mark.parametrize(
    ("file", "weights"),
    [
        ("functional.h5", None),
        ("nested.h5", None),
        ("nested.json", "nested_weights.h5"),
        ("shared.keras", None),
        ("shared.h5", None),
        ("shared.h5", "shared.weights.h5"),
        ("mixed.h5", None),
    ],
)
def test_files_of_keras_2_give_the_scores_that_keras_2_gave(file, weights):
    kept = np.load(KERAS2 / "scores.npz")
    name = file.split(".")[0]
    config = {"MODEL_WEIGHTS": KERAS2 / weights} if weights else {}
    model = open_model(Config(MODEL_PATH=KERAS2 / file, **config))
    x = kept["x"] if name == "functional" else kept["x"] / 255
    # Processors that compute in half precision round elsewhere than those that only keep numbers in it.
    tolerance = np.finfo(np.float16).eps if name == "mixed" else 1e-5
    np.testing.assert_allclose(model.predict(x), kept[name], atol=tolerance)
    assert "logits" in model.info.capabilities
    assert model.gradients(x, [0, 1, 0, 1]).any()


# Keras 1, by hand: the layout of its to_json(), and its weights' file
def keras1_layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}}


def keras1_layers(ordering="tf"):
    conv = {
        "dim_ordering": ordering,
        "bias": True,
        "W_regularizer": None,
        "b_constraint": None,
        "init": "glorot_uniform",
    }
    size, axis = ([None, 3, 6, 5], 1) if ordering == "th" else ([None, 6, 5, 3], 3)
    return [
        keras1_layer("ZeroPadding2D", "pad", padding=[1, 1], batch_input_shape=size, input_dtype="float32",
                     dim_ordering=ordering),
        keras1_layer("Convolution2D", "conv", nb_filter=4, nb_row=3, nb_col=2, subsample=[2, 1], border_mode="same",
                     activation="hard_sigmoid", **conv),
        keras1_layer("BatchNormalization", "norm", mode=0, axis=axis, epsilon=1e-3, momentum=0.9,
                     beta_regularizer=None),
        keras1_layer("MaxPooling2D", "pool", pool_size=[2, 2], strides=[2, 2], border_mode="valid",
                     dim_ordering=ordering),
        keras1_layer("Dropout", "drop", p=0.5),
        keras1_layer("Flatten", "flat"),
        keras1_layer("Dense", "dense", output_dim=3, input_dim=None, activation="linear", bias=True),
        keras1_layer("Activation", "softmax", activation="softmax"),
    ]  # fmt: skip


def same_now():
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.ZeroPadding2D(1),
            layers.Conv2D(
                4, (3, 2), (2, 1), "same", activation=lambda x: keras.ops.clip(0.2 * x + 0.5, 0, 1), name="conv"
            ),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
            layers.Softmax(),
        ]
    )


def keras1_weights(path, network, backend=None, ordering="tf"):
    names = {"conv": ["W", "b"], "norm": ["gamma", "beta", "running_mean", "running_std"], "dense": ["W", "b"]}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("pad", *names)]
        file.create_group("pad").attrs["weight_names"] = np.zeros(0, "S1")
        if backend:
            file.attrs["backend"] = backend
        for name, weights in names.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_{weight}".encode() for weight in weights]
            for weight, value in zip(weights, network.get_layer(name).get_weights(), strict=True):
                flipped = value[::-1, ::-1] if backend and value.ndim == 4 else value
                turned = ordering == "th" and value.ndim == 4
                group[f"{name}_{weight}"] = flipped.transpose(3, 2, 0, 1) if turned else flipped


@pytest.fixture
def keras1(tmp_path):
    """Writes an architecture and weights of Keras 1; returns what the model is in this Keras."""

    def write(config, backend=None, ordering="tf"):
        network = same_now()
        random = np.random.default_rng(1)
        network.set_weights([random.uniform(0.1, 1, w.shape) for w in network.get_weights()])
        (tmp_path / "old.json").write_text(json.dumps(config))
        keras1_weights(tmp_path / "old_weights.h5", network, backend, ordering)
        return network

    return write


@pytest.mark.parametrize("backend", [None, "theano"])
def test_keras_1_sequential(keras1, tmp_path, backend):
    network = keras1({"class_name": "Sequential", "config": keras1_layers(), "keras_version": "1.2.2"}, backend)
    same(load(tmp_path / "old.json", MODEL_WEIGHTS=tmp_path / "old_weights.h5"), network)


def test_keras_1_functional(keras1, tmp_path):
    before, chain = "image", []
    image = keras1_layer("InputLayer", "image", batch_input_shape=[None, *SHAPE], input_dtype="float32", sparse=False)
    for layer in keras1_layers():
        layer["config"].pop("batch_input_shape", None)
        chain.append(layer | {"name": layer["config"]["name"], "inbound_nodes": [[[before, 0, 0]]]})
        before = layer["config"]["name"]
    config = {
        "layers": [image | {"name": "image", "inbound_nodes": []}, *chain],
        "input_layers": [["image", 0, 0]],
        "output_layers": [[before, 0, 0]],
        "name": "model_1",
    }
    network = keras1({"class_name": "Model", "config": config, "keras_version": "1.2.2"})
    same(load(tmp_path / "old.json", MODEL_WEIGHTS=tmp_path / "old_weights.h5"), network)


@pytest.mark.parametrize("backend", [None, "theano"])
def test_keras_1_channels_first(keras1, tmp_path, backend):
    """Kernels are (outputs, inputs, rows, columns) in its files, and maps are flattened channels first."""
    config = {"class_name": "Sequential", "config": keras1_layers("th"), "keras_version": "1.2.2"}
    network = keras1(config, backend, "th")
    model = open_model(Config(MODEL_PATH=tmp_path / "old.json", MODEL_WEIGHTS=tmp_path / "old_weights.h5"))
    maps = keras.Model(network.inputs, network.layers[3].output)([noise()]).numpy().transpose(0, 3, 1, 2)
    expected = keras.ops.softmax(network.get_layer("dense")(maps.reshape(len(maps), -1)))
    np.testing.assert_allclose(model.predict(noise()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mode": 1}, "BatchNormalization layer norm has mode = 1, which Keras"),
        ({"sharpness": 3}, "BatchNormalization layer norm has sharpness = 3, which Keras .* MODEL_BUILD"),
    ],
)
def test_arguments_that_nobody_knows(keras1, tmp_path, change, sentence):
    old = keras1_layers()
    old[2]["config"].update(change)
    keras1({"class_name": "Sequential", "config": old})
    refused(tmp_path / "old.json", sentence, MODEL_WEIGHTS=tmp_path / "old_weights.h5")


def legacy(kind, **config):
    """One layer in an h5-style architecture."""
    image = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, *SHAPE], "name": "i", "ragged": False}}
    content = [image, {"class_name": kind, "config": {"name": "l", **config}}]
    return {"class_name": "Sequential", "keras_version": "2.4.0", "config": {"name": "s", "layers": content}}


LEGACY = {
    "DepthwiseConv2D(groups)": (legacy("DepthwiseConv2D", kernel_size=[1, 1], groups=1), None),
    "ReLU": (legacy("ReLU", max_value=0.5, negative_slope=0.0, threshold=0.0), lambda x: np.clip(x, 0, 0.5)),
    "LeakyReLU": (legacy("LeakyReLU", alpha=0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    "ThresholdedReLU": (legacy("ThresholdedReLU", theta=0.5), lambda x: np.where(x > 0.5, x, 0)),
    "hard_sigmoid": (legacy("Activation", activation="hard_sigmoid"), lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "dtype policy": (
        legacy("ReLU", dtype={"class_name": "Policy", "config": {"name": "float32"}}),
        lambda x: np.maximum(x, 0),
    ),
    "axis as a list": (legacy("BatchNormalization", axis=[3]), lambda x: x / np.sqrt(1.001)),
    "time_major": (legacy("Dropout", rate=0.5, noise_shape=None, time_major=False), lambda x: x),
    "rng_type": (legacy("RandomFlip", mode="horizontal", seed=None, rng_type="stateful"), lambda x: x),
    "a layer that takes no trainable": (legacy("SpatialDropout2D", trainable=True, rate=0.5), lambda x: x),
    "a tuple": (
        legacy("Cropping2D", cropping={"class_name": "__tuple__", "items": [[1, 1], [0, 0]]}),
        lambda x: x[:, 1:-1],
    ),
}


@pytest.mark.parametrize(("config", "expected"), LEGACY.values(), ids=LEGACY)
def test_legacy_arguments(tmp_path, config, expected):
    (tmp_path / "m.json").write_text(json.dumps(config))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.zeros(0, "S1")
        shapes = {"DepthwiseConv2D": [("kernel", (1, 1, 3, 1)), ("bias", (3,))]}
        shapes["BatchNormalization"] = [(n, (3,)) for n in ("gamma", "beta", "moving_mean", "moving_variance")]
        wanted = shapes.get(config["config"]["layers"][1]["class_name"], [])
        if wanted:
            file.attrs["layer_names"] = [b"l"]
            file.create_group("l").attrs["weight_names"] = [f"l/{name}:0".encode() for name, _ in wanted]
        for name, shape in wanted:
            file[f"l/l/{name}:0"] = np.full(shape, name in ("gamma", "moving_variance", "kernel"), np.float32)
    network = load(tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / "w.h5")
    x = noise()
    np.testing.assert_allclose(network(x, training=False), x if expected is None else expected(x), atol=1e-5)


def test_tensorflow_functions_that_are_refused(tmp_path):
    content = json.loads((KERAS2 / "nested.json").read_text())
    head = legacy("TFOpLambda", function="io.read_file")["config"]["layers"]
    (tmp_path / "m.json").write_text(json.dumps(content | {"config": {"name": "s", "layers": head}}))
    refused(tmp_path / "m.json", r"calls tf.io.read_file .* MODEL_BUILD", MODEL_WEIGHTS=KERAS2 / "nested_weights.h5")


# Files of this Keras
@pytest.fixture
def network(own):
    keras.utils.set_random_seed(2)
    return own.build()


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.hdf5"])
@pytest.mark.parametrize("rename", [None, "m.model", "m.h5", "m.keras"])
def test_whole_models_under_any_name(own, network, tmp_path, name, rename):
    network.compile(keras.optimizers.Adam(), loss=own.loss)  # which nobody supplies when it is opened
    network.save(tmp_path / name)
    path = (tmp_path / name).rename(tmp_path / rename) if rename else tmp_path / name
    loaded = load(path)
    same(loaded, network)
    assert not loaded.compiled


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
@pytest.mark.parametrize("wrapped", ["a part that was trained", "a layer whose weights have two names"])
def test_files_with_more_than_the_models_own_weights(own, network, tmp_path, monkeypatch, name, wrapped):
    """Of an optimizer inside, and those that a wrapper saves again beside its layer."""
    if wrapped.startswith("a part"):
        network.compile(keras.optimizers.Adam(), loss="mse")
        network.fit(noise(), np.zeros((3, *network.output_shape[1:])), verbose=0)
        parts = [network, layers.Softmax()]
    else:
        parts = [layers.SpectralNormalization(layers.Conv2D(2, 1)), layers.Flatten(), layers.Dense(3)]

    def build():
        return keras.Sequential([keras.Input(SHAPE), *parts])

    whole = build()
    monkeypatch.setattr(own, "built", build, raising=False)
    whole.save(tmp_path / name) if name == "m.keras" else whole.save_weights(tmp_path / name)
    same(load(tmp_path / name, **({} if name == "m.keras" else {"MODEL_BUILD": "picasso_own_keras:built"})), whole)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_operations_between_layers(tmp_path, suffix):
    image = keras.Input(SHAPE)
    y = layers.Conv2D(3, 1)(image / 127.5 - 1)[..., ::-1]
    first = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Subtract()([keras.ops.relu(y) * y, image]))))
    first.save(tmp_path / f"m{suffix}")
    same(load(tmp_path / f"m{suffix}"), first)


@pytest.mark.parametrize("weights", ["w.weights.h5", "w.keras", "w.h5"])
def test_architecture_and_weights(network, tmp_path, weights):
    (tmp_path / "m.json").write_text(network.to_json())
    network.save_weights(tmp_path / weights) if "weights" in weights else network.save(tmp_path / weights)
    same(load(tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / weights), network)
    model = open_model(Config(MODEL_PATH=tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / weights))
    (tmp_path / weights).rename(tmp_path / "renamed")
    same(load(tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / "renamed"), network)
    network.get_layer("last").bias.assign([1, 2, 3])
    network.save(tmp_path / "w2.keras")
    again = open_model(Config(MODEL_PATH=tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / "w2.keras"))
    assert model.info.fingerprint != again.info.fingerprint


def test_an_unpacked_keras_file(network, tmp_path):
    network.save(tmp_path / "m.keras")
    zipfile.ZipFile(tmp_path / "m.keras").extractall(tmp_path / "folder")
    same(load(tmp_path / "folder"), network)


def test_frozen_parts_of_a_nested_model_keep_their_weights(tmp_path):
    """Keras writes trainable weights first: the order in the file depends on what was frozen."""
    inner = keras.Sequential([keras.Input(SHAPE), *(layers.BatchNormalization() for _ in range(3))])
    inner.layers[0].trainable = False
    whole = keras.Sequential([keras.Input(SHAPE), inner, layers.Flatten(), layers.Dense(2)])
    random = np.random.default_rng(3)
    whole.set_weights([random.uniform(0.5, 2, w.shape) for w in whole.get_weights()])
    whole.save(tmp_path / "m.h5")
    (tmp_path / "m.json").write_text(whole.to_json())
    same(load(tmp_path / "m.h5"), whole)
    unfrozen = (tmp_path / "m.json").read_text().replace('"trainable": false', '"trainable": true')
    (tmp_path / "m.json").write_text(unfrozen)
    same(load(tmp_path / "m.json", MODEL_WEIGHTS=tmp_path / "m.h5"), whole)


# Weights only
@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.keras"])
def test_weights_and_a_function(network, tmp_path, name):
    network.save_weights(tmp_path / name) if "weights" in name else network.save(tmp_path / name)
    same(load(tmp_path / name, MODEL_BUILD="picasso_own_keras:build"), network)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.keras"])
@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("wider", r"w\.(weights\.h5|h5|keras) does not fit the model: layer last\S* has shape \(24, 3\) in the "
                  r"file and \(24, 4\) in the model"),
        ("deeper", r"do(es)? not (fit|belong)"),
        ("shallower", "do not belong together"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(network, tmp_path, name, function, sentence):
    network.save_weights(tmp_path / name) if "weights" in name else network.save(tmp_path / name)
    refused(tmp_path / name, sentence, MODEL_BUILD=f"picasso_own_keras:{function}")


def test_weights_without_a_function(network, tmp_path):
    network.save_weights(tmp_path / "w.weights.h5")
    error = refused(tmp_path / "w.weights.h5", r'holds only weights.*MODEL_BUILD = "module:function"')
    assert error.field == "MODEL_BUILD"


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("broken", r"MODEL_BUILD: picasso_own_keras:broken failed at .*line \d+: RuntimeError: no network today"),
        ("number", "MODEL_BUILD: picasso_own_keras:number returned a int, not a Keras model"),
        ("nobody", "has no nobody"),
    ],
)
def test_functions_that_build_nothing(network, tmp_path, function, sentence):
    network.save_weights(tmp_path / "w.weights.h5")
    refused(tmp_path / "w.weights.h5", sentence, ConfigError, MODEL_BUILD=f"picasso_own_keras:{function}")


def test_a_function_that_returns_a_model_without_an_input(network, tmp_path):
    network.save_weights(tmp_path / "w.weights.h5")
    sentence = r"call it once on an input, model\(keras.Input\(shape\)\), inside the function that MODEL_BUILD names"
    refused(tmp_path / "w.weights.h5", sentence, MODEL_BUILD="picasso_own_keras:Uncalled")


def test_a_signature_is_for_tensorflow(network, tmp_path):
    network.save(tmp_path / "m.keras")
    error = refused(tmp_path / "m.keras", "a Keras model has none. Remove the line", ConfigError, MODEL_SIGNATURE="a")
    assert error.field == "MODEL_SIGNATURE"


# Folders of checkpoints
def test_a_folder_of_checkpoints(network, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for age, name in enumerate(["newest.keras", "older.h5", "oldest.weights.h5"]):
        network.get_layer("last").bias.assign([age, 0, 0])
        network.save_weights(folder / name) if "weights" in name else network.save(folder / name)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    network.get_layer("last").bias.assign([0, 0, 0])
    same(load(folder), network)
    assert open_model(Config(MODEL_PATH=folder)).info.file == "newest.keras"
    network.get_layer("last").bias.assign([1, 0, 0])
    for wanted in ("older", "older.h5"):
        same(load(folder, MODEL_CHECKPOINT=wanted), network)
    network.get_layer("last").bias.assign([2, 0, 0])
    same(load(folder, MODEL_CHECKPOINT="oldest", MODEL_BUILD="picasso_own_keras:build"), network)
    refused(folder, r"MODEL_CHECKPOINT = 'best': .* has newest.keras, older.h5, oldest.weights.h5\.", ConfigError,
            MODEL_CHECKPOINT="best")  # fmt: skip


def test_folders_of_something_else(tmp_path):
    (tmp_path / "saved").mkdir()
    refused(tmp_path / "saved", "folder saved has no checkpoint: none of its files ends in .keras, .h5, .hdf5")
    (tmp_path / "saved/saved_model.pb").write_bytes(b"")
    refused(tmp_path / "saved", 'saved is a TensorFlow SavedModel. Write MODEL_FRAMEWORK = "tensorflow"')


# Layers and functions of one's own
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_objects(own, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    first = keras.Sequential([keras.Input(SHAPE), own.Twice(), layers.Flatten(), layers.Dense(2, own.twice)])
    first.save(path)
    refused(path, r"names Twice.*MODEL_CUSTOM_OBJECTS = \{\"Twice\": \"(your_)?module:Twice\"\}")
    objects = {"Twice": "picasso_own_keras:Twice"}
    refused(
        path, r"twice.*MODEL_CUSTOM_OBJECTS = \{\"twice\": \"(your_)?module:twice\"\}", MODEL_CUSTOM_OBJECTS=objects
    )
    same(load(path, MODEL_CUSTOM_OBJECTS=objects | {"twice": "picasso_own_keras:twice"}), first)
    refused(path, "has no Thrice", ConfigError, MODEL_CUSTOM_OBJECTS={"Twice": "picasso_own_keras:Thrice"})


# Code in files
@pytest.fixture(params=[False, True], ids=["safe mode", "global safe mode off"])
def global_mode(request):
    """Some plugin may have called this."""
    from keras.src.saving import serialization_lib

    before = serialization_lib.in_safe_mode()
    if request.param:
        keras.config.enable_unsafe_deserialization()
    yield
    keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", before)


@pytest.mark.usefixtures("global_mode")
@pytest.mark.parametrize("file", ["m.keras", "m.h5", "m.json"])
@pytest.mark.parametrize("nested", [False, True])
def test_lambda_layers(tmp_path, file, nested):
    body = [layers.Lambda(lambda x: x * 2, output_shape=SHAPE)]
    inner = [keras.Sequential([keras.Input(SHAPE), *body])] if nested else body
    first = keras.Sequential([keras.Input(SHAPE), *inner, layers.Flatten(), layers.Dense(2)])
    first.save(tmp_path / "w.keras")
    if file == "m.json":
        (tmp_path / file).write_text(first.to_json())
    else:
        first.save(tmp_path / file)
    weights = {"MODEL_WEIGHTS": tmp_path / "w.keras"} if file == "m.json" else {}
    error = refused(tmp_path / file, r"contains Python code \(a .*MODEL_ALLOW_UNSAFE = True", **weights)
    assert error.field == "MODEL_ALLOW_UNSAFE"
    same(load(tmp_path / file, MODEL_ALLOW_UNSAFE=True, **weights), first)


def test_a_lambda_layer_with_a_supplied_function(own, tmp_path):
    first = keras.Sequential([keras.Input(SHAPE), layers.Lambda(own.twice), layers.Flatten(), layers.Dense(2)])
    first.save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "contains Python code")
    same(load(tmp_path / "m.keras", MODEL_CUSTOM_OBJECTS={"twice": "picasso_own_keras:twice"}), first)


def edited(network, path, change):
    """A .keras file with another config."""
    network.save(path.with_name("whole.keras"))
    with zipfile.ZipFile(path.with_name("whole.keras")) as whole, zipfile.ZipFile(path, "w") as copy:
        for name in whole.namelist():
            content = whole.read(name)
            copy.writestr(name, json.dumps(change(json.loads(content))) if name == "config.json" else content)


def first_layer(**change):
    def edit(config):
        config["config"]["layers"][1] |= change
        return config

    return edit


UNSAFE = {
    "TFSMLayer": ({"class_name": "TFSMLayer"}, "contains Python code .a TFSMLayer"),
    "a module": (
        {"class_name": "Popen", "module": "subprocess"},
        "names Popen of the Python module subprocess, which no model needs",
    ),
    "not for models": (
        {"class_name": "get_file", "module": "keras.utils"},
        "names get_file .* keras.utils, which no model needs",
    ),
    "a function": (
        {"class_name": "function", "module": "os", "config": "system"},
        "names system of .* module os, which no model needs. Do not trust this file.$",
    ),
}


@pytest.mark.usefixtures("global_mode")
@pytest.mark.parametrize(("change", "sentence"), UNSAFE.values(), ids=UNSAFE)
def test_files_that_name_code(network, tmp_path, change, sentence):
    edited(network, tmp_path / "m.keras", first_layer(**change))
    refused(tmp_path / "m.keras", sentence)


def test_weights_from_another_file_are_refused(network, tmp_path):
    network.save(tmp_path / "m.h5")
    np.zeros(3, np.float32).tofile(tmp_path / "secret")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        group = file["model_weights/last"]
        name = next(name for name in group.attrs["weight_names"] if "bias" in str(name))
        del group[name]
        group.create_dataset(name, (3,), np.float32, external=[(str(tmp_path / "secret"), 0, 12)])
    refused(tmp_path / "m.h5", "takes .*bias from another file, which Picasso refuses")


# Damaged files, other files
def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_weights(path):
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".h5")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("suffix", "damage", "reason"),
    [
        (".keras", without_weights, "model.weights.h5 is missing in its zip archive"),
        (".keras", truncated, "its zip archive cannot be read"),
        (".keras", flipped, "model.weights.h5 in its zip archive is broken"),
        (".h5", truncated, "its HDF5 structure cannot be read"),
        (".h5", lambda path: path.write_bytes(b""), "it is empty"),
        (".keras", lambda path: path.write_text("hello"), "it is neither a zip archive nor HDF5 nor JSON"),
        (".h5", lambda path: path.write_text('{"a": '), "its model config is not valid JSON"),
    ],
)
def test_damage_is_named(network, tmp_path, suffix, damage, reason):
    network.save(tmp_path / f"m{suffix}")
    damage(tmp_path / f"m{suffix}")
    weights = {"MODEL_WEIGHTS": tmp_path / f"m{suffix}"} if "JSON (" in reason or "valid" in reason else {}
    refused(tmp_path / f"m{suffix}", f"m{suffix} is damaged or incomplete: {reason}.*save the model again", **weights)


def test_a_disk_without_room_for_the_weights(network, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    network.save(tmp_path / "m.keras")
    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(NoSpace, match=r"m.keras could not be unpacked: there is no space left .* \(TMPDIR\)"):
        load(tmp_path / "m.keras")


def zipped(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")


def test_other_files(network, tmp_path):
    zipped(tmp_path / "a.keras", "readme.txt")
    refused(tmp_path / "a.keras", "a.keras is a zip archive without config.json, so not a Keras model")
    zipped(tmp_path / "b.pt", "archive/data.pkl")
    refused(tmp_path / "b.pt", "b.pt is a PyTorch file")
    (tmp_path / "c.pb").write_bytes(b"\x08\x01")
    refused(tmp_path / "c.pb", 'c.pb is a TensorFlow file. Write MODEL_FRAMEWORK = "tensorflow"')
    (tmp_path / "d.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "d.png", "d.png is not a Keras model file")
    (tmp_path / "e.json").write_text(network.to_json())
    refused(tmp_path / "e.json", r'e.json holds only the architecture.*MODEL_WEIGHTS = "model.weights.h5"')
    refused(tmp_path / "e.json", "weights' file .*none.h5 does not exist", MODEL_WEIGHTS=tmp_path / "none.h5")
    refused(tmp_path / "e.json", "e.json holds an architecture, not weights", MODEL_WEIGHTS=tmp_path / "e.json")
    (tmp_path / "f.json").write_text("[1, 2]")
    network.save(tmp_path / "m.keras")
    refused(tmp_path / "f.json", "f.json holds no Keras architecture", MODEL_WEIGHTS=tmp_path / "m.keras")
