"""TensorFlow files: told apart, damaged, unsafe, unknown; each error says what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_zoo import (
    checkpoint,
    checkpoint_prefix,
    classifier,
    frozen,
    image,
    keras_network,
    linear,
    module_only,
    noise,
    open_tensorflow,
    save_checkpoint,
    save_frozen,
    tf1,
    tf1_logits,
    tf1_saved_model,
    v1,
)

from picasso.config import Config, load_config
from picasso.errors import ModelError
from picasso.models.opening import open_model

pytestmark = pytest.mark.slow  # many small models
DOCS = Path(__file__).parents[2] / "docs" / "models.md"


# Files
def test_the_newest_or_a_named_checkpoint(tmp_path):
    for step, sign in ((9, 1), (10, -1)):
        tf1(
            lambda sign=sign: tf.nn.softmax(sign * tf1_logits(image()), name="scores"),
            save_checkpoint(tmp_path / "model", step),
        )
    newest, named = open_tensorflow(tmp_path), open_tensorflow(tmp_path, MODEL_CHECKPOINT="model-9")
    np.testing.assert_allclose(newest.predict(noise()), tf.nn.softmax(-linear(noise())), atol=1e-5)
    np.testing.assert_allclose(named.predict(noise()), tf.nn.softmax(linear(noise())), atol=1e-5)
    assert newest.info.fingerprint != named.info.fingerprint
    assert named.info.fingerprint == open_tensorflow(tmp_path / "model-9").info.fingerprint
    with pytest.raises(ModelError, match=r"MODEL_CHECKPOINT = 'model-8': .* has model-10, model-9"):
        open_tensorflow(tmp_path, MODEL_CHECKPOINT="model-8")


def test_files_of_the_other_framework(tmp_path):
    keras_network().save(tmp_path / "network.keras")
    with pytest.raises(ModelError, match=r'network.keras is a Keras model file.*Write MODEL_FRAMEWORK = "keras"'):
        open_tensorflow(tmp_path / "network.keras")
    for case, what in ((module_only, "SavedModel"), (frozen, "frozen graph"), (checkpoint, "checkpoint")):
        path = case(tmp_path).path
        with pytest.raises(ModelError, match=rf'is a TensorFlow {what}, .*Write MODEL_FRAMEWORK = "tensorflow"'):
            open_model(Config(MODEL_PATH=path, MODEL_FRAMEWORK="keras"))
        assert open_model(Config(MODEL_PATH=path)).info.framework == "tensorflow"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGED = {
    "pb cut": (frozen, "frozen.pb", cut, "cannot open frozen.pb: .*frozen TF1 graph, not damaged"),
    "pb empty": (frozen, "frozen.pb", empty, "cannot open frozen.pb: it holds no graph. Check"),
    "pb missing": (frozen, "frozen.pb", Path.unlink, "frozen.pb does not exist. Check MODEL_PATH"),
    "SavedModel cut": (module_only, "m/saved_model.pb", cut, "cannot open m: .*damaged SavedModel"),
    "SavedModel empty": (module_only, "m/saved_model.pb", empty, "cannot open m: saved_model.pb is empty"),
    "SavedModel gone": (module_only, "m/saved_model.pb", Path.unlink, "m is not a TensorFlow model"),
    "no variables": (module_only, "m/variables", shutil.rmtree, "cannot open m: .*the whole folder"),
    "no variables, TF1": (tf1_saved_model, "m/variables", shutil.rmtree, "cannot open m: .*the whole folder"),
    "meta cut": (checkpoint, "model.ckpt.meta", cut, "cannot open model.ckpt.meta: .*TF1 checkpoint, not damaged"),
    "meta empty": (checkpoint, "model.ckpt.meta", empty, "cannot open model.ckpt.meta: it holds no graph"),
    "no meta": (checkpoint_prefix, "model.ckpt.meta", Path.unlink, "model.ckpt has no model.ckpt.meta, .*the graph"),
    "no index": (checkpoint, "model.ckpt.index", Path.unlink, "model.ckpt has no model.ckpt.index"),
    "no data": (checkpoint, "model.ckpt.data-00000-of-00001", Path.unlink, "model.ckpt has no model.ckpt.data-"),
    "data cut": (checkpoint, "model.ckpt.data-00000-of-00001", cut, "cannot open model.ckpt: .*written together"),
}


@pytest.mark.parametrize(("make", "file", "damage", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(tmp_path, make, file, damage, sentence):
    path = make(tmp_path).path
    damage(tmp_path / file)
    with pytest.raises(ModelError, match=sentence) as caught:
        open_tensorflow(path)
    assert "\n" not in caught.value.message


def rewritten(path, change):
    graph = v1.GraphDef.FromString(path.read_bytes())
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return path


def test_an_unknown_operation_is_named(tmp_path, monkeypatch):
    def change(graph):
        next(node for node in graph.node if node.op == "Softmax").op = "MySoftmax"

    path = rewritten(frozen(tmp_path).path, change)
    sentence = r'uses the operation MySoftmax, .*MODEL_CUSTOM_OBJECTS = {"MySoftmax": "module:function"}'
    with pytest.raises(ModelError, match=sentence):
        open_tensorflow(path)
    (tmp_path / "picasso_test_ops.py").write_text("def ops(): ...\nopen('imported', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError):
        open_tensorflow(path, MODEL_CUSTOM_OBJECTS={"MySoftmax": "picasso_test_ops:ops"})
    assert (tmp_path / "imported").exists()


def test_a_graph_that_is_not_frozen(tmp_path):
    def save(session):
        (tmp_path / "graph.pb").write_bytes(session.graph.as_graph_def().SerializeToString())

    tf1(classifier, save)
    with pytest.raises(ModelError, match=r"graph.pb is not frozen: its variable \w+ has no value"):
        open_tensorflow(tmp_path / "graph.pb")


def test_files_that_read_files_need_permission(tmp_path):
    def build():
        text = tf.io.read_file(str(tmp_path / "number"))
        tf.nn.softmax(tf1_logits(image()) * tf.strings.to_number(text), name="scores")

    (tmp_path / "number").write_text("2")
    tf1(build, save_frozen(tmp_path / "frozen.pb"))
    with pytest.raises(ModelError, match=r"\(ReadFile\). If you trust the file, write MODEL_ALLOW_UNSAFE = True"):
        open_tensorflow(tmp_path / "frozen.pb")
    model = open_tensorflow(tmp_path / "frozen.pb", MODEL_ALLOW_UNSAFE=True)
    np.testing.assert_allclose(model.predict(noise()), tf.nn.softmax(2 * linear(noise())), atol=1e-5)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="is not a TensorFlow model: that is a SavedModel folder"):
        open_tensorflow(tmp_path)


def test_the_recipes_of_the_docs(tmp_path, monkeypatch):
    """Each makes a model; the config block behind it opens it."""
    monkeypatch.chdir(tmp_path)
    section = DOCS.read_text(encoding="utf-8").split("## TensorFlow")[1].split("\n## ")[0]
    names, opened = {}, []
    for block in re.findall(r"^```python\n(.*?)^```", section, re.M | re.S):
        if "MODEL_PATH" not in block:
            exec(block, names)  # the docs are ours
            continue
        (tmp_path / "config.py").write_text(block)
        opened.append(open_model(load_config(tmp_path / "config.py", environ={})).info)
    assert [info.file for info in opened] == ["exported", "module", "checkpoints", "frozen.pb", "old", "first.pb"]
    assert {(info.input_shape, info.classes, "logits" in info.capabilities) for info in opened} == {
        ((28, 28, 1), 10, True)
    }
