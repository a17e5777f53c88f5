"""The transfer-learning example: trained as its config says, opened by it alone, and looking where it should."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from picasso.config import load_config
from picasso.models.opening import open_model
from picasso.runs.worker import Host, Job

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "transfer-learning"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("textures", EXAMPLE / "textures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["textures"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def config(script, tmp_path_factory):
    """The example's own config; only the place of the file is another, so that it is trained here."""
    path = tmp_path_factory.mktemp("textures") / "textures.keras"
    return load_config(EXAMPLE / "config.py", {"MODEL_PATH": path}, environ={})


@pytest.fixture(scope="module")
def model(config):
    opened = open_model(config)
    opened.warm_up()
    return opened


@pytest.fixture(scope="module")
def host(config):
    """What a worker process has."""
    opened = Host(config)
    opened.load()
    return opened


def test_held_out_crops(model, script):
    x, y = script.crops(np.random.default_rng(5), 20, upper=False)
    assert (model.predict(x).argmax(axis=-1) == y).mean() > 0.97


def test_what_is_understood(model):
    assert model.info.pixels == "0..255"
    assert model.info.capabilities == {"predict", "gradients", "guided", "logits", "activations"}
    assert model.info.warnings == ()
    paths = [layer.path for layer in model.info.layers]
    assert "backbone/block7a_project" in paths
    assert not any(layer.convolution for layer in model.info.layers if not layer.path.startswith("backbone/"))


@pytest.mark.parametrize("path", ["backbone/stem_conv", "backbone/block4b_dwconv", "backbone/block7a_project"])
def test_activations_inside_the_backbone(model, config, script, path):
    import keras

    network = keras.saving.load_model(config.MODEL_PATH, compile=False)
    backbone = network.get_layer("backbone")
    x = script.crops(np.random.default_rng(6), 1, upper=False)[0]
    inner = keras.Model(backbone.input, backbone.get_layer(path.removeprefix("backbone/")).output)
    expected = np.asarray(inner(network.get_layer("scale")(x), training=False))
    got = model.activations(x, path)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("left", "right"), [("brick", "gravel"), ("gravel", "grass")])
def test_each_class_activation_lies_on_its_own_half(host, left, right):
    picture = EXAMPLE / "samples" / f"{left}-{right}.png"
    images = ((picture.name, picture.read_bytes()),)
    outcome = host.execute(Job("a", "class-activation", {"classes": 2}, images, 0))
    assert outcome.error is None, outcome.error
    maps = {one["label"]: one["map"] for one in _maps(outcome)}
    assert set(maps) == {left, right}
    assert maps[left][:, :112].sum() > 0.9 * maps[left].sum()
    assert maps[right][:, 112:].sum() > 0.9 * maps[right].sum()


def _maps(outcome):
    from picasso.runs.artifacts import load_array, unpack

    packed = outcome.results[0]
    content = unpack(packed.content, lambda name: name, lambda name: packed.files[name])
    return [one | {"map": load_array(packed.files[str(one["map"])])} for one in content["maps"]]


def test_samples_are_small_pictures():
    for path in sorted((EXAMPLE / "samples").iterdir()):
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
        assert path.stat().st_size < 60_000
