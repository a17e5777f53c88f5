"""Checkpoints of one training: how a folder or a pattern becomes models, in which order, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from picasso.checkpoints import steps, training_and_step, trainings
from picasso.config import load_config
from picasso.errors import ConfigError, NotFound
from picasso.runs.catalogue import Catalogue


def folder(path: Path, *names: str) -> Path:
    """A folder with files of these names; those without an ending are SavedModels."""
    path.mkdir(exist_ok=True)
    for name in names:
        if Path(name).suffix:
            (path / name).touch()
        else:
            (path / name).mkdir()
            (path / name / "saved_model.pb").touch()
    return path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["epoch-9.keras", "epoch-10.keras", "epoch-11.keras", "log.csv"], [9, 10, 11]),
        (["resnet50-e01-0.71.keras", "resnet50-e02-0.65.keras"], [1, 2]),  # the first number that differs in all
        (["a-1-3.h5", "a-1-4.h5"], [3, 4]),  # not the 5 of ".h5"
        (["w.000100.weights.h5", "w.000020.weights.h5"], [20, 100]),
        (["100", "20"], [20, 100]),
        (["model.ckpt-5.meta", "model.ckpt-5.index", "model.ckpt-70.meta", "checkpoint.txt"], [5, 70]),
        (["only-3.keras"], [3]),
    ],
)
def test_the_step_is_in_the_name(tmp_path: Path, names: list[str], found: list[int]) -> None:
    assert sorted(steps(folder(tmp_path / "run", *names))) == found


def test_a_pattern_chooses_among_files(tmp_path: Path) -> None:
    place = folder(tmp_path / "run", "small-1.keras", "small-2.keras", "large-1.keras")
    assert {step: path.name for step, path in steps(place / "small-*.keras").items()} == {
        1: "small-1.keras",
        2: "small-2.keras",
    }
    assert list(steps(tmp_path / "*" / "large-?.keras")) == [1]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "there is no checkpoint"),
        (["notes.txt"], "None of its files ends in .keras"),
        (["first.keras", "last.keras"], "no number tells the checkpoints apart (first.keras, last.keras)"),
        (["a-1.keras", "b-1.keras"], "as in run/epoch-*.keras"),
    ],
)
def test_what_cannot_be_put_in_order_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        steps(folder(tmp_path / "run", *names))
    assert says in caught.value.message
    assert caught.value.field == "MODEL_CHECKPOINTS"


def config_of(tmp_path: Path, text: str) -> Catalogue:
    (tmp_path / "settings.py").write_text(text)
    return Catalogue(load_config(tmp_path / "settings.py", environ={}))


def test_each_is_a_model_the_newest_first(tmp_path: Path) -> None:
    place = folder(tmp_path / "run", "e-1.keras", "e-20.keras", "e-3.keras")
    catalogue = config_of(tmp_path, 'MODEL_NAME = "digits"\nMODEL_CHECKPOINTS = "run"\nMODEL_LABELS = ["a", "b"]')
    assert catalogue.names == ("digits@20", "digits@3", "digits@1")
    assert catalogue.default == "digits@20"
    one = catalogue.config("digits@3")
    assert (place / "e-3.keras", "digits@3", ["a", "b"]) == (one.MODEL_PATH, one.MODEL_NAME, one.MODEL_LABELS)
    assert one.MODEL_CHECKPOINTS is None
    assert len({catalogue.digest(name) for name in catalogue.names}) == 3


def test_an_output_of_a_checkpoint(tmp_path: Path) -> None:
    folder(tmp_path / "run", "e-1.keras", "e-2.keras")
    catalogue = config_of(tmp_path, 'MODEL_CHECKPOINTS = "run"')  # called after its folder
    assert catalogue.split("run@1@age") == ("run@1", "age")
    assert catalogue.split("run@2") == ("run@2", "")
    for unknown in ("run", "run@3", "run@1@", "run@12"):
        with pytest.raises(NotFound):
            catalogue.split(unknown)


def test_among_other_models_and_as_weights(tmp_path: Path) -> None:
    folder(tmp_path / "run", "e-1.weights.h5", "e-2.weights.h5")
    catalogue = config_of(
        tmp_path,
        'MODELS = {"old": {"MODEL_PATH": "old.keras"},'
        ' "new": {"MODEL_CHECKPOINTS": "run/*.h5", "MODEL_PATH": "network.json"}}',
    )
    assert catalogue.names == ("old", "new@2", "new@1")
    new = catalogue.config("new@1")
    assert tmp_path / "network.json" == new.MODEL_PATH
    assert tmp_path / "run" / "e-1.weights.h5" == new.MODEL_WEIGHTS
    assert trainings(catalogue.names) == {"new": {1: "new@1", 2: "new@2"}}


def test_not_beside_other_models(tmp_path: Path) -> None:
    folder(tmp_path / "run", "e-1.keras")
    with pytest.raises(ConfigError, match="write MODEL_CHECKPOINTS into the entry of MODELS"):
        config_of(tmp_path, 'MODELS = {"a": {}}\nMODEL_CHECKPOINTS = "run"')


def test_a_model_that_is_named_replaces_them(tmp_path: Path) -> None:
    folder(tmp_path / "run", "e-1.keras", "e-2.keras")
    (tmp_path / "settings.py").write_text('MODEL_CHECKPOINTS = "run"')
    config = load_config(tmp_path / "settings.py", {"MODEL_PATH": "other.keras"}, {})
    assert list(config.models()) == ["model"]


@pytest.mark.parametrize(
    ("name", "found"), [("a@1", ("a", 1)), ("a b@007", ("a b", 7)), ("a", None), ("a@b", None), ("@1", None)]
)
def test_names(name: str, found: tuple[str, int] | None) -> None:
    assert training_and_step(name) == found
