"""The TensorFlow example: both committed models are small, equal and as accurate as said, and `make.py` runs."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from picasso.attribution.saliency import saliency
from picasso.config import load_config
from picasso.models.base import Model
from picasso.models.opening import open_model
from picasso.runs.worker import Host, Job

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mnist-tensorflow"
SAMPLES = ROOT / "examples" / "mnist-keras" / "samples"
DATA = ROOT.parent / "shared" / "data" / "mnist_10k.npz"
CONFIGS = ("config.py", "config_checkpoint.py")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`make.py` as a module; its folder has a hyphen, so it is loaded by path."""
    spec = importlib.util.spec_from_file_location("mnist_tensorflow_make", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """The SavedModel and the checkpoint, opened by their config files alone."""
    opened = [open_model(load_config(EXAMPLE / name, environ={})) for name in CONFIGS]
    for model in opened:
        model.warm_up()
    return opened


def test_files_are_small() -> None:
    size = sum(file.stat().st_size for file in EXAMPLE.rglob("*") if file.is_file())
    assert size < 1_000_000


def test_both_are_understood(models: list[Model]) -> None:
    for model in models:
        assert model.info.capabilities == {"predict", "gradients", "guided", "logits", "activations"}
        assert (model.info.input_shape, model.info.score_kind) == ((28, 28, 1), "probability")
        assert (model.info.parameters, model.info.warnings) == (26_362, ())
    assert models[0].info.fingerprint != models[1].info.fingerprint


def test_both_are_the_same_function(models: list[Model]) -> None:
    x = np.random.default_rng(0).random((5, 28, 28, 1)).astype(np.float32)
    one, two = (model.predict(x, logits=True) for model in models)
    np.testing.assert_allclose(one, two, atol=1e-5)
    one, two = (saliency(model.gradients(x, [0, 1, 2, 3, 4])) for model in models)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_they_read_the_samples(models: list[Model]) -> None:
    names = ("zero", "three", "four", "seven", "eight", "nine")
    images = [Image.open(SAMPLES / f"{name}.png") for name in names]
    for model in models:
        scores = model.predict(model.preprocess(images).x)
        assert [row[0].label for row in model.decode(scores, 1)] == ["0", "3", "4", "7", "8", "9"]


def test_they_read_held_out_digits(script: ModuleType, models: list[Model]) -> None:
    # Keras' own test digits are no training digits either: the 10,000 come from MNIST's training part.
    digits = script.keras_example().load_digits(DATA if DATA.exists() else None)
    for model in models:
        assert np.mean(model.predict(digits.x_held_out).argmax(axis=1) == digits.y_held_out) >= 0.97


@pytest.mark.parametrize("config", CONFIGS)
def test_served_by_config_alone(config: str, tmp_path: Path) -> None:
    """What a worker process does with the config file: loads, explains a picture."""
    host = Host(load_config(EXAMPLE / config, {"DATA_DIR": tmp_path}, environ={}))
    host.load()
    png = (SAMPLES / "seven.png").read_bytes()
    for visualization in ("class-activation", "class-probabilities", "feature-maps", "occlusion", "saliency"):
        outcome = host.execute(Job("run", visualization, {}, (("seven.png", png),), 0))
        assert outcome.error is None
        assert len(outcome.results) == 1


@pytest.mark.slow
def test_make_runs_one_epoch(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = np.repeat(np.arange(10, dtype=np.uint8), 20)
    x = np.random.default_rng(0).integers(0, 256, (len(y), 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "digits.npz", x=x, y=y)
    script.main(["--data", str(tmp_path / "digits.npz"), "--out", str(tmp_path), "--epochs", "1"])
    assert "Held-out accuracy: " in capsys.readouterr().out
    for path in ("saved_model", "checkpoint"):
        config = load_config(EXAMPLE / CONFIGS[0], {"MODEL_PATH": tmp_path / path}, environ={})
        assert open_model(config).info.parameters == 26_362
