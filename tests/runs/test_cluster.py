"""A Dask cluster: a real scheduler and two real workers, which have none of the files that the config names."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from laboratory import MNIST, Laboratory, wait_for, write_plugins

from picasso.config import load_config
from picasso.runs.run import Run, State

pytestmark = pytest.mark.slow
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

# What a person writes: a config, functions beside it, one of which uses a module beside that.
CONFIG = """
MODEL_NAME = "Digits"
MODEL_PATH = "model.keras"
MODEL_PREPROCESS = "digits_functions:preprocess"
MODEL_LABELS = "digits_functions:labels"
VISUALIZATION_FOLDERS = ["plugins"]
DATA_DIR = "data"
"""
FUNCTIONS = """
from digits_names import NAMES
import numpy as np

def preprocess(images):
    return np.stack([np.asarray(image.convert("L").resize((28, 28)), np.float32)[..., None] / 255 for image in images])

def labels():
    return NAMES
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a person has it, outside every `sys.path`."""
    folder = tmp_path / "my.project"  # the dot is not the one of a module's name
    folder.mkdir()
    (folder / "config.py").write_text(CONFIG)
    (folder / "digits_functions.py").write_text(FUNCTIONS)
    (folder / "digits_names.py").write_text(f"NAMES = {NAMES}")
    shutil.copy(MNIST / "model.keras", folder)
    write_plugins(folder / "plugins", "Quick", "Slow", "Brief", "Hangs")
    monkeypatch.setattr(sys, "path", list(sys.path))  # load_config puts the folder there
    for name in ("digits_functions", "digits_names"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def unconnected(project: Path, cluster: Cluster) -> Iterator[Laboratory]:
    """An engine for a scheduler without workers."""
    config = load_config(project / "config.py", environ={"PICASSO_SCHEDULER": cluster.address})
    assert cluster.address == config.SCHEDULER
    made = Laboratory(config)
    yield made
    made.engine.close()


@pytest.fixture
def laboratory(unconnected: Laboratory, cluster: Cluster) -> Laboratory:
    """An engine connected to two workers, one with a nanny and one without."""
    cluster.add_worker("one", "--no-nanny")
    cluster.add_worker("two")
    unconnected.engine.start()
    unconnected.ready(workers=2)
    return unconnected


def pids(laboratory: Laboratory, runs: list[Run]) -> list[int]:
    """The processes in which runs were done."""
    found = []
    for run in runs:
        assert run.state is State.DONE, run.error
        manifest = laboratory.store.manifest(run)
        assert manifest is not None
        found.append(manifest["results"][0]["pid"])
    return found


def has_our_plugin(address: str) -> bool:
    """Whether the scheduler has what it gives to every worker that comes."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        found: bool = client.run_on_scheduler(lambda dask_scheduler: "picasso" in dask_scheduler.worker_plugins)
        return found


def test_both_workers_work_with_files_they_do_not_have(
    unconnected: Laboratory, cluster: Cluster, project: Path
) -> None:
    laboratory = unconnected
    laboratory.engine.start()
    wait_for(lambda: has_our_plugin(cluster.address))
    # The workers start when nothing is left of the model, the config, its functions and the plugins: all must travel.
    for path in project.iterdir():
        if path.name != "data":  # the store, which only the web process has
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    cluster.add_worker("one", "--no-nanny")
    cluster.add_worker("two")
    status = laboratory.ready(workers=2)
    assert (status.error, status.workers) == (None, 2)
    assert status.info is not None
    assert status.info.labels == tuple(NAMES)

    runs = [laboratory.start("brief") for _ in range(2)]
    first, second = pids(laboratory, [laboratory.wait(run) for run in runs])
    assert {first in cluster.pids("one"), first in cluster.pids("two")} == {True, False}
    assert {second in cluster.pids("one"), second in cluster.pids("two")} == {True, False}
    assert first != second

    for visualization in ("class-probabilities", "occlusion"):
        run = laboratory.wait(laboratory.start(visualization))
        assert run.state is State.DONE, run.error
        manifest = laboratory.store.manifest(run)
        assert manifest is not None
        assert manifest["model"]["name"] == "Digits"
        assert "three" in str(manifest["results"][0])


def test_a_worker_that_is_lost_half_way(laboratory: Laboratory, cluster: Cluster) -> None:
    runs = [laboratory.start("slow") for _ in range(2)]
    for run in runs:
        wait_for(lambda run=run: laboratory.now(run).progress > 0.1)
    cluster.kill("two")
    done = [laboratory.wait(run) for run in runs]
    assert [run.state for run in done] == [State.DONE] * 2, [run.error for run in done]
    assert len(set(pids(laboratory, done))) == 1
    laboratory.works()
    assert laboratory.engine.status().workers == 1

    cluster.add_worker("three")  # one that comes later is used too
    laboratory.ready(workers=2)
    more = [laboratory.wait(run) for run in [laboratory.start("brief") for _ in range(2)]]
    assert len(set(pids(laboratory, more))) == 2


def test_a_run_that_does_not_stop_on_a_worker_without_a_nanny(laboratory: Laboratory, cluster: Cluster) -> None:
    cluster.kill("two")
    wait_for(lambda: laboratory.engine.status().workers == 1)
    run = laboratory.start("hangs")
    wait_for(lambda: laboratory.now(run).message == "Hanging")
    laboratory.engine.cancel(laboratory.now(run))
    wait_for(lambda: cluster.processes["one"].poll() is not None)  # ended; to start it again is the operator's
    following = laboratory.start("quick")
    cluster.add_worker("three")
    assert laboratory.wait(following).state is State.DONE
    assert laboratory.now(run).state is State.CANCELLED


def test_workers_are_not_ended_with_the_server(laboratory: Laboratory, cluster: Cluster) -> None:
    laboratory.engine.close()
    assert [process.poll() for process in cluster.processes.values()] == [None] * 3
    again = Laboratory(laboratory.config)
    again.engine.start()
    again.ready(workers=2)
    again.works()
    again.engine.close()


def test_a_changed_function_reaches_all_workers(laboratory: Laboratory, cluster: Cluster, project: Path) -> None:
    (project / "digits_names.py").write_text(f"NAMES = {[name.upper() for name in NAMES]}")
    laboratory.engine.reload(laboratory.config)
    wait_for(lambda: laboratory.engine.roster.reload.done)
    assert laboratory.engine.roster.reload.error is None
    assert laboratory.engine.roster.reload.lines[0].startswith("Digits was opened anew")
    cluster.kill("one")
    cluster.add_worker("three")  # one that comes later
    wait_for(lambda: laboratory.engine.status().workers == 2)
    laboratory.ready(workers=2)
    for _ in range(2):
        runs = [laboratory.start("brief"), laboratory.start("class-probabilities")]
        manifest = laboratory.store.manifest([laboratory.wait(run) for run in runs][1])
        assert manifest is not None
        assert manifest["results"][0]["predictions"][0]["label"] == "THREE"


def test_no_scheduler_there(project: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    laboratory = Laboratory(load_config(project / "config.py", {"SCHEDULER": address}, {}))
    laboratory.engine.start()
    status = laboratory.ready()
    assert status.error is not None
    assert f"Cannot connect to {address}" in status.error.message
    laboratory.engine.close()
