"""Several models and their exchange, over real worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from laboratory import MNIST, Laboratory, wait_for

from picasso.config import Config
from picasso.runs.run import Run, State

pytestmark = pytest.mark.slow
MakeLaboratory = Callable[..., Laboratory]
TENSORFLOW = MNIST.parent / "mnist-tensorflow" / "saved_model"
MEBIBYTE = 2**20


def save_other(path: Path) -> None:
    """A model of digits that says "nine" most of the time."""
    import keras

    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    network.layers[-1].bias.assign([0.0] * 9 + [50.0])
    network.save(path)


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nine") / "nine.keras"
    save_other(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The file of a model that tests replace."""
    return Path(shutil.copy(MNIST / "model.keras", tmp_path / "model.keras"))


def best(laboratory: Laboratory, run: Run) -> str:
    """The class that a finished run gives its picture."""
    assert run.state is State.DONE, run.error
    manifest = laboratory.store.manifest(run)
    assert manifest is not None
    return str(manifest["results"][0]["predictions"][0]["label"]).removeprefix("class ")


def looks_at(laboratory: Laboratory, model: str = "") -> str:
    return best(laboratory, laboratory.wait(laboratory.start("class-probabilities", model=model)))


def reload(laboratory: Laboratory, **settings: Any) -> tuple[str, ...]:
    laboratory.engine.reload(laboratory.config.model_copy(update=settings))
    wait_for(lambda: laboratory.engine.roster.reload.done)
    return laboratory.engine.roster.reload.lines


def test_two_models(make_laboratory: MakeLaboratory, nine: Path) -> None:
    laboratory = make_laboratory(
        MODELS={
            "keras": {},
            "tensorflow": {"MODEL_PATH": TENSORFLOW, "MODEL_FRAMEWORK": "tensorflow"},
            "nine": {"MODEL_PATH": nine},
            "gone": {"MODEL_PATH": nine / "gone.keras"},
        }
    )
    status, roster = laboratory.engine.status, laboratory.engine.roster
    laboratory.ready()
    assert [status(name).state for name in roster.catalogue.names] == ["ready", "closed", "closed", "closed"]
    assert looks_at(laboratory) == "3"
    laboratory.engine.want("tensorflow")
    assert status("tensorflow").state == "loading"
    wait_for(lambda: status("tensorflow").state == "ready")
    assert looks_at(laboratory, "tensorflow") == "3"
    assert looks_at(laboratory, "nine") == "9"  # opened by the run itself
    wait_for(lambda: status("nine").state == "ready")
    run = laboratory.wait(laboratory.start("class-probabilities", model="gone"))
    assert run.state is State.FAILED
    assert "gone.keras does not exist" in (run.error or "")
    run = laboratory.wait(laboratory.start("class-probabilities", model="other"))
    assert "There is no model 'other'" in (run.error or "")
    assert looks_at(laboratory) == "3"


def test_a_run_under_way_ends_with_the_old_model_and_the_next_has_the_new(
    laboratory: Laboratory, model: Path, nine: Path
) -> None:
    reload(laboratory, MODEL_PATH=model)
    old = laboratory.engine.status().info
    slow, queued = laboratory.start("slow"), laboratory.start("class-probabilities")
    wait_for(lambda: laboratory.now(slow).progress > 0)
    shutil.copy(nine, model)
    (line,) = reload(laboratory, MODEL_PATH=model)
    assert line.startswith("model was opened anew: model.keras of ")
    assert laboratory.now(slow).state is State.RUNNING
    new = laboratory.engine.status().info
    assert old is not None
    assert new is not None
    assert old.fingerprint != new.fingerprint
    manifest = laboratory.store.manifest(laboratory.wait(slow))
    assert manifest is not None
    assert manifest["model"]["fingerprint"] == old.fingerprint
    assert best(laboratory, laboratory.wait(queued)) == "9"

    pid = laboratory.works()
    os.kill(pid, signal.SIGKILL)  # the process that comes instead has the new config too
    wait_for(lambda: not psutil.pid_exists(pid))
    assert looks_at(laboratory) == "9"


def test_another_config_reaches_processes_that_come_later(laboratory: Laboratory, nine: Path) -> None:
    reload(laboratory)
    pid = laboratory.works()
    lines = reload(laboratory, MODEL_PATH=nine, MODEL_NAME="Nine", PORT=9)
    assert lines[0].startswith("Nine was opened anew: nine.keras")
    assert "PORT" in lines[1]
    assert looks_at(laboratory) == "9"
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid))
    assert looks_at(laboratory) == "9"


def test_a_damaged_file_leaves_the_old_model_in_use(laboratory: Laboratory, model: Path, nine: Path) -> None:
    reload(laboratory, MODEL_PATH=model)
    model.write_bytes(model.read_bytes()[:5000])
    (line,) = reload(laboratory, MODEL_PATH=model)
    assert line.startswith("The new model.keras could not be opened: ")
    assert line.endswith(" stays in use.")
    error = laboratory.engine.roster.reload.error
    assert error is not None
    assert (error.message, error.exit_code) == (line, 3)
    status = laboratory.engine.status()
    assert (status.state, status.error and status.error.message) == ("ready", line)
    assert looks_at(laboratory) == "3"
    shutil.copy(nine, model)
    reload(laboratory, MODEL_PATH=model)
    assert laboratory.engine.status().error is None
    assert looks_at(laboratory) == "9"


def test_reload_while_a_run_hangs(laboratory: Laboratory, nine: Path) -> None:
    """Its process does not answer, and is ended when the run is cancelled."""
    reload(laboratory)
    run = laboratory.start("holds-the-lock")
    wait_for(lambda: laboratory.now(run).message == "Hanging")
    time.sleep(1.5)
    laboratory.engine.reload(laboratory.config.model_copy(update={"MODEL_PATH": nine}))
    time.sleep(1)
    assert not laboratory.engine.roster.reload.done
    laboratory.engine.cancel(laboratory.now(run))
    wait_for(lambda: laboratory.engine.roster.reload.done)
    assert laboratory.engine.roster.reload.error is None
    assert looks_at(laboratory) == "9"


def test_reload_while_the_first_model_is_being_opened(make_laboratory: MakeLaboratory, nine: Path) -> None:
    laboratory = make_laboratory()
    lines = reload(laboratory, MODEL_PATH=nine)
    assert laboratory.engine.roster.reload.error is None, lines
    assert laboratory.ready().state == "ready"
    assert looks_at(laboratory) == "9"


# Memory


def save_large(path: Path) -> None:
    """A model of about 100 MB."""
    import keras

    x = keras.Input((28, 28, 1))
    hidden = keras.layers.Dense(33_000, "relu")(keras.layers.Flatten()(x))
    keras.Model(x, keras.layers.Dense(10, "softmax")(hidden)).save(path)


def test_memory_reaches_a_plateau_when_models_alternate(make_laboratory: MakeLaboratory, tmp_path: Path) -> None:
    names = ("one", "two", "three")
    save_large(tmp_path / "one.keras")
    assert (tmp_path / "one.keras").stat().st_size > 90 * MEBIBYTE
    for name in names[1:]:
        os.link(tmp_path / "one.keras", tmp_path / f"{name}.keras")
    models = {name: {"MODEL_PATH": tmp_path / f"{name}.keras"} for name in names}
    laboratory = make_laboratory(MODELS=models, MODELS_MEMORY_LIMIT="1GiB")
    laboratory.ready()
    pid = laboratory.works()
    sizes = []
    for _ in range(3):
        for name in names:
            run = laboratory.wait(laboratory.start("saliency", model=name))
            assert run.state is State.DONE, run.error
            sizes.append(psutil.Process(pid).memory_info().rss / MEBIBYTE)
    assert laboratory.works() == pid  # the process was never started again
    states = [laboratory.engine.status(name).state for name in names]
    assert states.count("closed") >= 1, (states, sizes)
    assert max(sizes[6:]) < max(sizes[:6]) + 60, sizes
    assert max(sizes) < 1024 + 400, sizes


def test_a_configs_models_are_the_servers_own(make_laboratory: MakeLaboratory, tmp_path: Path, nine: Path) -> None:
    """A queued run of a server that is gone goes on where its reference means the same model."""
    models = {"same": {}, "other": {"MODEL_PATH": nine}}
    gone = make_laboratory(start=False, MODELS=models)
    runs = [gone.start("class-probabilities", model=name) for name in models]
    gone.store.close()
    laboratory = make_laboratory(MODELS={"same": {}, "other": {}})
    assert laboratory.wait(runs[0]).state is State.DONE
    other = laboratory.wait(runs[1])
    assert other.state is State.INTERRUPTED
    assert "has another model now" in (other.error or "")
    assert isinstance(laboratory.config, Config)
