"""Opening a model: what is said when the file is not there or not a model's; fingerprints."""

from __future__ import annotations

import hashlib
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import pytest

from picasso.config import Config, Preprocessing
from picasso.errors import ConfigError, ModelError
from picasso.models.files import fingerprint, functions_fingerprint
from picasso.models.opening import framework_of, open_model


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes a module that a config can name; imported anew."""

    def write(text):
        path = tmp_path / "picasso_test_own.py"
        path.write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
        return path

    return write


def test_no_model_is_configured():
    with pytest.raises(ConfigError, match="No model is configured") as caught:
        open_model(Config())
    assert caught.value.field == "MODEL_PATH"


def test_the_file_is_not_there(tmp_path):
    with pytest.raises(ModelError, match=r"none.keras does not exist. Check MODEL_PATH"):
        open_model(Config(MODEL_PATH=tmp_path / "none.keras"))


def test_the_file_is_something_else(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"model.pt is not a Keras model file: it is empty. Check MODEL_PATH"):
        open_model(Config(MODEL_PATH=path))


@pytest.mark.parametrize("framework", [None, "keras", "tensorflow"])
@pytest.mark.parametrize(
    ("suffix", "advice"),
    [
        (".onnx", "Files named .onnx are of ONNX, .*: convert it to a SavedModel, for example with onnx2tf."),
        (".tflite", "are of TensorFlow Lite, .*: give the Keras file or SavedModel that it was made from."),
        (".pt", "are of PyTorch, .*: export it with torch.onnx.export, and convert that to a SavedModel"),
        (".pth", "are of PyTorch"),
    ],
)
def test_files_of_other_frameworks(tmp_path, suffix, advice, framework):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x08\x07something else")
    with pytest.raises(ModelError, match=rf"model{suffix} is not a (Keras|TensorFlow) model.*{advice}"):
        open_model(Config(MODEL_PATH=path, MODEL_FRAMEWORK=framework))


def test_content_counts_more_than_the_name(tmp_path):
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    network.save(tmp_path / "model.keras")
    (tmp_path / "model.keras").rename(tmp_path / "model.pt")
    assert open_model(Config(MODEL_PATH=tmp_path / "model.pt")).info.classes == 2


@pytest.mark.parametrize(
    ("files", "path", "framework"),
    [
        (["model.keras"], "model.keras", "keras"),
        (["model"], "model", "keras"),  # its content tells what it is
        (["folder/config.json", "folder/model.weights.h5"], "folder", "keras"),
        (["folder/one.keras", "folder/two.keras"], "folder", "keras"),
        (["folder/saved_model.pb"], "folder", "tensorflow"),
        (["graph.pb"], "graph.pb", "tensorflow"),
        (["model.ckpt.meta", "model.ckpt.index"], "model.ckpt", "tensorflow"),
        (["model.ckpt.meta", "model.ckpt.index"], "model.ckpt.meta", "tensorflow"),
        (["folder/model.ckpt.meta", "folder/model.ckpt.index"], "folder", "tensorflow"),
        (["model.h5", "model.index"], "model.h5", "keras"),
    ],
)
def test_the_framework_is_told_by_the_file(tmp_path, files, path, framework):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert framework_of(tmp_path / path) == framework


def test_a_file_that_is_not_there_is_prepared_first(tmp_path, own_module):
    own_module("def prepare(path):\n    path.write_text('made')\n")
    config = Config(MODEL_PATH=tmp_path / "made.txt", MODEL_PREPARE="picasso_test_own:prepare")
    with pytest.raises(ModelError, match=r"made.txt is not a Keras model file"):
        open_model(config)
    assert (tmp_path / "made.txt").read_text() == "made"
    (tmp_path / "made.txt").write_text("kept")
    with pytest.raises(ModelError):
        open_model(config)
    assert (tmp_path / "made.txt").read_text() == "kept"


def test_fingerprint_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert fingerprint(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()


def test_fingerprint_of_a_folder_follows_names_and_contents(tmp_path):
    prints = set()
    for name, content in [("a", b"1"), ("a", b"2"), ("b", b"1")]:
        folder = tmp_path / f"{name}{content.decode()}"
        (folder / "inside").mkdir(parents=True)
        (folder / "inside" / name).write_bytes(content)
        prints.add(fingerprint(folder))
    assert len(prints) == 3


def test_functions_fingerprint_follows_the_settings_and_the_source(own_module):
    config = Config(MODEL_PREPROCESS="picasso_test_own:prepare")
    own_module("def prepare(images): return 1\n")
    prints = {functions_fingerprint(Config()), functions_fingerprint(config)}
    own_module("def prepare(images): return 2\n")
    prints.add(functions_fingerprint(config))
    prints.add(functions_fingerprint(Config(MODEL_PREPROCESS=Preprocessing(scale=(-1, 1)))))
    assert len(prints) == 4


def test_functions_fingerprint_follows_what_else_decides_the_scores(own_module):
    build = Config(MODEL_BUILD="picasso_test_own:build")
    own_module("def build(): return 1\n")
    prints = {functions_fingerprint(Config()), functions_fingerprint(build)}
    own_module("def build(): return 2\n")
    prints |= {
        functions_fingerprint(build),
        functions_fingerprint(Config(MODEL_OUTPUT=1)),
        functions_fingerprint(Config(MODEL_OTHER_INPUTS={"age": 30.0})),
        functions_fingerprint(Config(MODEL_INPUT_SIZE=(8, 8))),
    }
    assert len(prints) == 6
    assert functions_fingerprint(Config(MODEL_NAME="Mine")) in prints


# What is found in whole models, opened with nothing but their path
SIDE = 32


def mobilenet(*first, classes=3):
    """The smallest network of keras.applications, nested behind layers that scale pixels, with a head of its own."""
    import keras

    backbone = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3), alpha=0.25)
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, activation="softmax")]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *first, backbone, *head])


def rescaling(*numbers):
    import keras

    return keras.layers.Rescaling(*numbers)


@pytest.mark.parametrize(
    ("first", "pixels", "sentence"),
    [
        ((), "-1..1", "built as MobileNet 0.25"),
        (((1 / 127.5, -1),), "0..255", "scales pixel values itself, so it is given 0..255"),
        (((2, -1),), "0..1", "scales pixel values itself, from 0..1"),
        (((1 / 2, 3),), "0..1", "nothing in the model says"),
    ],
)
@pytest.mark.parametrize("exported", [False, True], ids=["keras", "tensorflow"])
@pytest.mark.slow
def test_the_range_of_a_model_that_is_opened_by_its_path_alone(tmp_path, first, pixels, sentence, exported):
    network = mobilenet(*(rescaling(*numbers) for numbers in first))
    if exported:
        network.export(tmp_path / "model", verbose=False)
    else:
        network.save(tmp_path / "model.keras")
    info = open_model(Config(MODEL_PATH=tmp_path / ("model" if exported else "model.keras"))).info
    assert (info.framework, info.pixels) == ("tensorflow" if exported else "keras", pixels)
    assert any(sentence in assumption.sentence for assumption in info.assumptions), info.assumptions
    assert info.labels[2] == "class 2"


@pytest.mark.slow
def test_imagenets_names_of_a_model_that_is_opened_by_its_path_alone(tmp_path):
    mobilenet(classes=1000).save(tmp_path / "model.keras")
    model = open_model(Config(MODEL_PATH=tmp_path / "model.keras"))
    assert (model.info.labels[0], model.info.pixels) == ("tench", "-1..1")
    assert [one.line for one in model.info.assumptions] == [
        'MODEL_PREPROCESS = {"geometry": "resize", "scale": "tf"}',
        'MODEL_LABELS = "imagenet"',
    ]
    written = open_model(
        Config(MODEL_PATH=tmp_path / "model.keras", MODEL_PREPROCESS={"scale": "tf"}, MODEL_LABELS="imagenet")
    )
    assert (written.info.functions, written.info.assumptions) == (model.info.functions, ())
