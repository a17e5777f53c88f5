"""The MNIST example: the committed network is small and as accurate as its README says, and `train.py` runs."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mnist-keras"
DATA = ROOT.parent / "shared" / "data" / "mnist_10k.npz"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras")


def read_png(path: Path) -> np.ndarray:
    """The pixels of a greyscale PNG of 28x28, uint8 (1, 28, 28)."""
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("L", (28, 28))
        return np.asarray(image)[np.newaxis]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`train.py` as a module; its folder has a hyphen, so it is loaded by path."""
    spec = importlib.util.spec_from_file_location("mnist_keras_train", EXAMPLE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> "keras.Model":
    return keras.saving.load_model(EXAMPLE / "model.keras")


def test_model_file_is_small() -> None:
    assert (EXAMPLE / "model.keras").stat().st_size < 1_000_000


def test_model_is_for_inference_only(model: "keras.Model") -> None:
    assert not model.compiled
    assert model.input_shape == (None, 28, 28, 1)
    assert model.layers[-1].name == "digits"
    assert model.layers[-1].activation is keras.activations.softmax


@pytest.mark.slow
def test_model_reads_held_out_digits(script: ModuleType, model: "keras.Model") -> None:
    # Keras' own test digits are no training digits either: the 10,000 come from MNIST's training part.
    digits = script.load_digits(DATA if DATA.exists() else None)
    assert len(digits.x_held_out) >= 1_500
    accuracy = np.mean(script.predict(model, digits.x_held_out) == digits.y_held_out)
    assert accuracy >= 0.99


def test_model_reads_the_samples(script: ModuleType, model: "keras.Model") -> None:
    for digit in script.SAMPLES:
        image = read_png(EXAMPLE / "samples" / f"{script.NAMES[digit]}.png")
        assert script.predict(model, script.as_input(image)) == [digit]


def test_samples_were_never_trained_on(script: ModuleType) -> None:
    if not DATA.exists():
        pytest.skip("needs the digits the committed network was trained on")
    trained_on = {image.tobytes() for image in script.load_digits(DATA).x_train}
    for path in (EXAMPLE / "samples").glob("*.png"):
        assert script.as_input(read_png(path)).tobytes() not in trained_on


def test_split_is_stratified_and_disjoint(script: ModuleType) -> None:
    y = np.repeat(np.arange(10, dtype=np.uint8), 50)
    train, held_out = script.split(y)
    assert sorted([*train, *held_out]) == list(range(500))
    assert np.bincount(y[held_out]).tolist() == [10] * 10
    assert all(np.array_equal(a, b) for a, b in zip((train, held_out), script.split(y), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train", "x_test", "y_test")])
def test_train_runs_one_epoch(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10, dtype=np.uint8), 20)
    x = rng.integers(0, 256, (len(y), 28, 28), dtype=np.uint8)
    data, out, samples = tmp_path / "digits.npz", tmp_path / "model.keras", tmp_path / "samples"
    np.savez(data, **dict(zip(keys, (x, y, x, y), strict=False)))

    script.main(["--data", str(data), "--out", str(out), "--samples", str(samples), "--epochs", "1"])

    assert "Held-out accuracy: " in capsys.readouterr().out
    saved = keras.saving.load_model(out)
    assert not saved.compiled
    probabilities = saved.predict(script.as_input(x[:4]), verbose=0)
    assert probabilities.shape == (4, 10)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    for path in samples.iterdir():
        read_png(path)
