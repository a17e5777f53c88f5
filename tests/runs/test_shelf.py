"""Models that are opened when they are needed, kept within a memory limit, and swapped while they are in use."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from picasso.config import Config
from picasso.errors import Cancelled, ConfigError, ModelError, NotFound
from picasso.models.base import Model
from picasso.models.examination import preprocessor
from picasso.models.info import ModelInfo
from picasso.models.labels import load_labels
from picasso.runs.shelf import Shelf


def nothing() -> None:
    """The checkpoint of a run that nobody cancels."""


class Counting(Model):
    """A model whose file holds the number of its classes: enough where only opening matters."""

    def __init__(self, config: Config, chosen: bool = False) -> None:
        super().__init__()
        assert config.MODEL_PATH is not None
        text = config.MODEL_PATH.read_text()
        if not text.isdigit():
            raise ModelError(f"{config.MODEL_PATH.name} is damaged.")
        labels = load_labels(config.MODEL_LABELS, int(text))
        self.preprocessor = preprocessor(config.MODEL_PREPROCESS, (6, 8, 1))
        self.info = ModelInfo(
            config.model_name, "keras", config.MODEL_PATH.name, 0.0, "", "", (6, 8, 1), tuple(labels), "probability",
            frozenset({"predict"}), 0,
        )  # fmt: skip

    def _scores(self, x, logits):
        return np.zeros((len(x), self.info.classes), np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with models of 3 and 4 classes, from which functions can be imported; no file is waited for."""
    for name, count in {"a": 3, "b": 4, "c": 3}.items():
        (tmp_path / f"{name}.keras").write_text(str(count))
    monkeypatch.setattr("picasso.runs.watching.FRESH_SECONDS", 0.0)
    monkeypatch.setattr("gc.collect", lambda: 0)  # these models are small, the process that tests them is not
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def config(folder: Path, names: str = "ab", **settings) -> Config:
    models = {name: {"MODEL_PATH": folder / f"{name}.keras"} for name in names}
    return Config(DATA_DIR=folder, MODELS=models, **settings)


def one(folder: Path, name: str = "a", **settings) -> Config:
    return Config(DATA_DIR=folder, MODEL_PATH=folder / f"{name}.keras", **settings)


def classes(shelf: Shelf, reference: str = "") -> int:
    """Opens a model and asks it."""
    with shelf.lend(reference, nothing) as model:
        found: int = model.predict(np.zeros((1, 6, 8, 1), np.float32)).shape[1]
        assert found == model.info.classes
        return found


def states(shelf: Shelf) -> dict[str, str]:
    return {reference: state.state for reference, state in shelf.states().items()}


def reload(shelf: Shelf, config: Config) -> tuple[str, ...]:
    shelf.reload(config, "token").join()
    assert (shelf.news.token, shelf.news.done) == ("token", True)
    return shelf.news.lines


# Opening


def test_models_are_opened_when_they_are_needed(folder):
    shelf = Shelf(config(folder), Counting)
    assert states(shelf) == {}
    assert classes(shelf) == 3
    assert states(shelf) == {"a": "ready"}
    assert classes(shelf, "b") == 4
    assert states(shelf) == {"a": "ready", "b": "ready"}


def test_two_who_want_the_same_model_open_it_once(folder):
    opened = []

    def opening(config, chosen):
        opened.append(config.MODEL_NAME)
        return Counting(config)

    shelf = Shelf(config(folder), opening)
    threads = [threading.Thread(target=classes, args=(shelf, "b")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["b"]
    assert shelf.want("b") is None


def test_a_model_that_failed_says_why_until_its_file_changes(folder):
    good = (folder / "b.keras").read_bytes()
    (folder / "b.keras").write_bytes(b"damaged")
    shelf = Shelf(config(folder), Counting)
    with pytest.raises(ModelError) as first:
        classes(shelf, "b")
    assert shelf.want("b") is None
    assert states(shelf) == {"b": "failed"}
    assert shelf.states()["b"].error is first.value
    assert classes(shelf) == 3  # the other works
    (folder / "b.keras").write_bytes(good)
    assert classes(shelf, "b") == 4


def test_a_model_that_there_is_not(folder):
    with pytest.raises(NotFound, match=r"no model 'c' \(any more\)\. There are: a, b\."):
        Shelf(config(folder), Counting).want("c")


def test_waiting_can_be_cancelled(folder):
    shelf = Shelf(config(folder), Counting)

    def cancelled():
        raise Cancelled("The run was cancelled.")

    with shelf._opening:  # another model is being opened
        with pytest.raises(Cancelled), shelf.lend("a", cancelled):
            pass
        assert states(shelf) == {"a": "loading"}
    assert classes(shelf, "a") == 3


# Outputs


def test_each_output_is_a_model_of_its_own(folder):
    import keras

    x = keras.Input((6, 8, 1))
    heads = [keras.layers.Dense(n, "softmax", name=f"of_{n}")(keras.layers.Flatten()(x)) for n in (3, 4)]
    keras.Model(x, heads).save(folder / "two.keras")
    labels = ["ant", "bee", "cat"]
    shelf = Shelf(one(folder, "two", MODEL_LABELS=labels))
    assert classes(shelf) == 3
    assert shelf.states()["model"].info.labels == tuple(labels)
    assert classes(shelf, "model@of_4") == 4
    assert shelf.states()["model@of_4"].info.labels == ("class 0", "class 1", "class 2", "class 3")


def test_labels_that_do_not_fit_the_configured_output_are_an_error(folder):
    with pytest.raises(ConfigError, match="MODEL_LABELS has 1 names, but the model has 3 classes"):
        classes(Shelf(one(folder, MODEL_LABELS=["ant"]), Counting))


# Memory


def test_the_one_that_was_used_longest_ago_is_closed(folder):
    shelf = Shelf(config(folder, "abc"), Counting)
    classes(shelf, "a")
    classes(shelf, "b")
    reload(shelf, config(folder, "abc", MODELS_MEMORY_LIMIT="1B"))
    with shelf.lend("a", nothing):
        assert classes(shelf, "c") == 3
        assert states(shelf) == {"a": "ready", "b": "closed", "c": "ready"}  # a is in use
    assert classes(shelf, "b") == 4
    assert states(shelf) == {"a": "closed", "b": "ready", "c": "closed"}
    assert shelf.states()["a"].info.classes == 3  # pages still know what it is


# Reading again


def test_what_has_not_changed_stays(folder):
    shelf = Shelf(config(folder), Counting)
    classes(shelf)
    with shelf.lend("", nothing) as before:
        assert reload(shelf, config(folder)) == ("a is unchanged.",)
        with shelf.lend("", nothing) as after:
            assert after is before


def test_a_new_file_is_used_and_a_run_keeps_the_old_one(folder):
    shelf = Shelf(one(folder), Counting)
    with shelf.lend("", nothing) as before:
        shutil.copy(folder / "b.keras", folder / "a.keras")
        (line,) = reload(shelf, one(folder))
        assert line.startswith("a was opened anew: a.keras of ")
        assert before.predict(np.zeros((1, 6, 8, 1), np.float32)).shape == (1, 3)
        assert classes(shelf) == 4
    assert shelf.news.error is None


def test_a_damaged_file_leaves_the_old_one_in_use(folder):
    shelf = Shelf(one(folder), Counting)
    classes(shelf)
    (folder / "a.keras").write_bytes(b"damaged")
    for _ in range(2):  # asked again, it says so again
        (line,) = reload(shelf, one(folder))
        assert line.startswith("The new a.keras could not be opened: ")
        assert line.endswith(" stays in use.")
        assert shelf.news.error.message == line
        state = shelf.states()["model"]
        assert (state.state, state.error.message, state.info.classes) == ("ready", line, 3)
        assert classes(shelf) == 3
    shutil.copy(folder / "b.keras", folder / "a.keras")
    reload(shelf, one(folder))
    assert (classes(shelf), shelf.states()["model"].error) == (4, None)


def test_another_model_that_cannot_be_opened_as_before_is_no_error_of_reading_again(folder):
    (folder / "b.keras").write_text("damaged")
    shelf = Shelf(config(folder), Counting)
    for name in "ab":
        shelf.want(name).join()
    (folder / "a.keras").write_text("5")
    assert reload(shelf, config(folder))[1] == "b cannot be used: b.keras is damaged."
    assert shelf.news.error is None
    reload(shelf, config(folder))  # nothing else has changed
    assert shelf.news.error is not None


def test_a_model_whose_file_is_damaged_by_now_is_not_closed_to_save_memory(folder):
    shelf = Shelf(config(folder, MODELS_MEMORY_LIMIT="1B"), Counting)
    classes(shelf)
    (folder / "a.keras").write_bytes(b"damaged")
    reload(shelf, config(folder, MODELS_MEMORY_LIMIT="1B"))
    assert classes(shelf, "b") == 4
    assert classes(shelf, "a") == 3


def test_another_path_name_and_labels(folder):
    shelf = Shelf(one(folder), Counting)
    classes(shelf)
    lines = reload(shelf, one(folder, "b", MODEL_NAME="Better", MODEL_LABELS=list("wxyz")))
    assert lines[0].startswith("Better was opened anew: b.keras of ")
    assert shelf.states()["model"].info.labels == tuple("wxyz")


def test_models_come_and_go(folder):
    shelf = Shelf(config(folder), Counting)
    classes(shelf, "a")
    classes(shelf, "b")
    assert reload(shelf, config(folder, "bc")) == (
        "a is not in the config any more.",
        "b is unchanged.",
        "c is new; it is opened when it is chosen.",
    )
    with pytest.raises(NotFound):
        shelf.want("a")
    assert (classes(shelf), classes(shelf, "c")) == (4, 3)


def test_a_new_default_is_opened_at_once(folder):
    shelf = Shelf(one(folder), Counting)
    classes(shelf)
    lines = reload(shelf, config(folder))
    assert lines[0] == "a is not in the config any more."
    assert lines[1] == "b is new; it is opened when it is chosen."
    assert lines[2].startswith("a was opened anew")
    assert states(shelf) == {"a": "ready"}


def test_a_closed_one_that_changed_waits_until_it_is_needed(folder):
    shelf = Shelf(config(folder, MODELS_MEMORY_LIMIT="1B"), Counting)
    classes(shelf, "a")
    classes(shelf, "b")
    shutil.copy(folder / "b.keras", folder / "a.keras")
    lines = reload(shelf, config(folder, MODELS_MEMORY_LIMIT="1B"))
    assert lines == ("b is unchanged.", "a has changed; it is opened when it is used next.")
    assert shelf.states()["a"].info is None
    assert classes(shelf, "a") == 4


FUNCTIONS = """
import numpy as np
from picasso_shelf_constants import LEVEL

def preprocess(images):
    return np.full((len(images), 6, 8, 1), LEVEL, np.float32)
"""


def test_own_functions_and_the_modules_beside_them_are_imported_anew(folder):
    (folder / "picasso_shelf_functions.py").write_text(FUNCTIONS)
    (folder / "picasso_shelf_constants.py").write_text("LEVEL = 1")
    (folder / "config.py").write_text("")
    time.sleep(0.01)  # what is written while a model is opened counts as changed
    settings = one(folder, MODEL_PREPROCESS="picasso_shelf_functions:preprocess")
    shelf = Shelf(settings, Counting)

    def level() -> float:
        from PIL import Image

        with shelf.lend("", nothing) as model:
            return float(model.preprocess([Image.new("L", (3, 3))]).x.max())

    assert level() == 1
    (folder / "config.py").write_text("MODEL_NAME = 'nobody imports this'")
    assert reload(shelf, settings) == ("a is unchanged.",)
    (folder / "picasso_shelf_constants.py").write_text("LEVEL = 0.25")
    (line,) = reload(shelf, settings)
    assert line.startswith("a was opened anew")
    assert level() == 0.25
    (folder / "picasso_shelf_constants.py").write_text("LEVEL = 1 / 0")
    (line,) = reload(shelf, settings)
    assert "ZeroDivisionError" in line
    assert line.endswith("stays in use.")
    assert level() == 0.25


def test_a_file_that_is_being_written_is_waited_for(folder, monkeypatch):
    monkeypatch.setattr("picasso.runs.watching.FRESH_SECONDS", 60.0)
    shelf = Shelf(one(folder), Counting)
    classes(shelf)
    (folder / "a.keras").write_text("not yet")
    thread = shelf.reload(one(folder), "token")
    for part in range(3):
        thread.join(0.2)
        assert not shelf.news.done
        assert classes(shelf) == 3  # meanwhile
        (folder / "a.keras").write_text(f"not yet {part}")
    (folder / "a.keras").write_text("5")
    os.utime(folder / "a.keras", (0, 0))  # as if that were long ago
    thread.join()
    assert shelf.news.error is None
    assert classes(shelf) == 5
