"""`picasso inspect`: what it says is so, and the config that it prints opens the same model."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import pytest
from click.testing import CliRunner

from picasso.cli import main
from picasso.config import load_config
from picasso.errors import ConfigError
from picasso.inspection import inspect
from picasso.models.info import Assumption, Layer, OcclusionCost
from picasso.models.opening import open_model
from picasso.models.summary import facts, ready_config


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a model of two outputs and two inputs."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(3)
    image, age = keras.Input((10, 14, 3), name="photo"), keras.Input((2,), name="age")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), age])
    outputs = [
        keras.layers.Dense(3, activation="softmax", name="kind")(x),
        keras.layers.Dense(5, activation="softmax", name="colour")(x),
    ]
    keras.Model([image, age], outputs, name="two").save(tmp_path / "two.keras")
    return tmp_path


@pytest.mark.slow
def test_the_printed_config_opens_the_same_model(folder):
    first = load_config(None, {"MODEL_PATH": folder / "two.keras", "MODEL_OUTPUT": "colour"}, environ={})
    found = inspect(first)
    (folder / "ready.py").write_text(found.config, encoding="utf-8")
    again = open_model(load_config(folder / "ready.py", environ={}))
    again.warm_up()
    assert (again.info.labels, again.info.output, again.info.capabilities) == (
        found.info.labels,
        found.info.output,
        found.info.capabilities,
    )
    assert again.info.pixels == found.info.pixels
    assert (again.predict(again.solid(90)[None]) == open_model(first).predict(again.solid(90)[None])).all()


def test_a_config_keeps_quotes_and_paths(tiny_model):
    config = load_config(None, {"MODEL_PATH": 'a "b".keras', "MODEL_LABELS": ["it's", 'a "dog"', "ü", "d"]}, environ={})
    names = {}
    exec(ready_config(config, tiny_model), names)
    assert names["MODEL_LABELS"] == ["it's", 'a "dog"', "ü", "d"]
    assert names["MODEL_PATH"] == str(config.MODEL_PATH.resolve())


@pytest.mark.slow
def test_on_the_command_line(folder):
    text = CliRunner().invoke(main, ["inspect", "two.keras"])
    assert text.exit_code == 0, text.output
    for part in (
        "two.keras",
        "14 pixels wide, 10 high, 3 channels",
        "Keras 3",
        "colour",
        "age",
        "1 convolution; the last is conv",
    ):
        assert part in text.stdout
    content = json.loads(CliRunner().invoke(main, ["inspect", "two.keras", "--json"]).stdout)
    assert content["outputs"] == ["kind", "colour"]
    assert content["labels"] == ["class 0", "class 1", "class 2"]
    assert content["visualizations"]["Occlusion"] is None
    assert content["weight_bytes"] == 4 * content["parameters"]


@pytest.mark.slow
def test_models_by_name(folder):
    models = (
        'MODELS = {"a": {"MODEL_PATH": "two.keras", "MODEL_LABELS": ["x", "y", "z"]}, "b": {"MODEL_PATH": "two.keras"}}'
    )
    (folder / "several.py").write_text(models, encoding="utf-8")

    def inspected(*names):
        done = CliRunner().invoke(main, ["inspect", *names, "--config", "several.py", "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else (done.exit_code, done.stderr)

    first, other, output, file = inspected(), inspected("b"), inspected("b@colour"), inspected("two.keras")
    assert (first["name"], first["labels"], first["other_models"]) == ("a", ["x", "y", "z"], ["b"])
    assert (other["name"], other["output"], other["other_models"]) == ("b", "kind", ["a"])
    assert (output["output"], output["classes"]) == ("colour", 5)
    assert (file["name"], file["other_models"]) == ("two", [])
    assert inspected("c") == (3, "picasso: There is no file c, and no model of that name: MODELS has a, b.\n")


def test_labels_of_another_output_name_it(folder):
    with pytest.raises(ConfigError, match=r"kind \(3\), colour \(5\)\. Write MODEL_OUTPUT = \"colour\"\."):
        inspect(load_config(None, {"MODEL_PATH": folder / "two.keras", "MODEL_LABELS": list("vwxyz")}, environ={}))


def test_errors_have_their_exit_code(folder):
    gone = CliRunner().invoke(main, ["inspect", "gone.keras"])
    assert gone.exit_code == 3
    assert "gone.keras does not exist" in gone.stderr
    (folder / "config.py").write_text("MODEL_PATH = 3", encoding="utf-8")
    assert CliRunner().invoke(main, ["inspect"]).exit_code == 2


def test_assumptions_come_with_their_sentence(tiny_model):
    info = replace(tiny_model.info, assumptions=(Assumption("The size is 224.", "MODEL_INPUT_SIZE = (224, 224)"),))
    model = type("Fake", (), {"info": info, "preprocessor": tiny_model.preprocessor})
    text = ready_config(load_config(None, {"MODEL_PATH": "m.keras"}, environ={}), model)
    assert "# The size is 224.\nMODEL_INPUT_SIZE = (224, 224)\n" in text


def test_the_layer_is_named_from_which_on_occlusion_is_on_whole_maps(tiny_model):
    costs = [OcclusionCost(1, 0.1, 0.2, "late"), OcclusionCost(2, 0.1, 0.214, "conv2d"), OcclusionCost(16, 0.1, 1, "a")]
    layers = (Layer("conv2d", "Conv2D", (3, 3, 3), True),)
    said = dict(facts(replace(tiny_model.info, layers=layers, occlusion=tuple(costs))))["Occlusion"]
    assert said == (
        "21\N{NO-BREAK SPACE}% of the work of running the network for each window of 2 px, with the same scores; "
        "on whole maps from conv2d (Conv2D) on"
    )
    assert dict(facts(tiny_model.info))["Occlusion"] == "the whole network is run for each window"


def test_what_is_not_known_is_left_out(tiny_model):
    assert all(value for _, value in facts(tiny_model.info))
