"""What becomes of the runs of servers that are gone, and of those that only the table or only a worker has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from picasso.config import Config
from picasso.runs.catalogue import Catalogue
from picasso.runs.engine import DaskEngine, Flight
from picasso.runs.leftovers import OTHER_MODEL, STOPPED, settle, take_over
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.visualizations.discovery import Registry

MANIFEST = {"key": "k", "settings": {"window": 8}, "written": 5.0, "results": []}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def add_run(store: Store, state: State = State.QUEUED, digest: str = "") -> Run:
    run = store.add_run(store.new_session(), "occlusion", {}, [], None, 0, digest=digest)
    store.change_run(run.id, (State.QUEUED,), state=state)
    return store.run(run.session, run.id)


def test_a_server_that_is_gone_has_its_runs_taken_over(store: Store, tmp_path: Path) -> None:
    catalogue = Catalogue(Config(DATA_DIR=tmp_path))
    known = add_run(store, digest=catalogue.digest("") or "")
    other = add_run(store, digest="of another model")
    running = add_run(store, State.RUNNING)
    done = add_run(store, State.DONE)
    second = Store(tmp_path)
    take_over(second, catalogue)
    assert second.unfinished_runs() == []  # the first lives
    store._alive.release()  # as the end of its process does
    take_over(second, catalogue)
    assert [run.id for run in second.unfinished_runs()] == [known.id, running.id]
    assert [run.id for run in second.running_runs()] == [running.id]
    interrupted = second.run(other.session, other.id)
    assert (interrupted.state, interrupted.error) == (State.INTERRUPTED, OTHER_MODEL)
    assert second.run(done.session, done.id).state is State.DONE
    assert [path.stem for path in (tmp_path / "servers").iterdir()] == [second.owner]


def test_a_running_run_that_no_worker_has_is_done_if_its_result_is_whole(store: Store) -> None:
    whole, half = add_run(store, State.RUNNING), add_run(store, State.RUNNING)
    for run in (whole, half):
        store.write_results(run, {"0.npy": b"1"}, MANIFEST)
    (store.run_folder(half) / "manifest.json").unlink()
    for run in (whole, half):
        settle(store, run)
    done, interrupted = store.run(whole.session, whole.id), store.run(half.session, half.id)
    assert (done.state, done.key, done.settings, done.finished) == (State.DONE, "k", {"window": 8}, 5.0)
    assert store.artifact(done, "0.npy") == b"1"
    assert (interrupted.state, interrupted.error) == (State.INTERRUPTED, STOPPED)
    assert not store.run_folder(half).exists()


def test_of_a_run_that_was_cancelled_while_it_was_written_nothing_is_kept(store: Store) -> None:
    run = add_run(store, State.CANCELLED)
    store.write_results(run, {"0.npy": b"1"}, MANIFEST)
    assert not store.finish_run(run, MANIFEST)
    assert store.run(run.session, run.id) == run
    assert not store.run_folder(run).exists()


def test_the_table_and_the_workers_agree(store: Store, tmp_path: Path) -> None:
    engine = DaskEngine(Config(DATA_DIR=tmp_path), store, Registry())
    lost, held, cancelled = (add_run(store, state) for state in (State.RUNNING, State.RUNNING, State.CANCELLED))
    future: Any = None
    engine._flights = {run.id: Flight(run, future, "worker", 0.0) for run in (held, cancelled)}
    engine._compare()
    assert store.run(lost.session, lost.id).state is State.INTERRUPTED
    assert engine._flights[held.id].stopping is None
    assert engine._flights[cancelled.id].stopping is not None

    engine._give_back_runs()  # as when the server ends
    again = store.run(held.session, held.id)
    assert (again.state, again.attempts) == (State.QUEUED, held.attempts)
    assert store.run(cancelled.session, cancelled.id).state is State.CANCELLED
    assert engine._flights == {}


def test_servers_that_start_at_once_make_one_database(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: Store(tmp_path / "new"), range(8)))
    session = stores[0].new_session()
    assert all(store.touch_session(session) for store in stores)
