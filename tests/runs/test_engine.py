"""The engine over a real worker process: what runs come to, whatever a visualization does to its process."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from dask._task_spec import Task
from distributed.protocol.serialize import Serialized, ToPickle
from distributed.scheduler import TaskPrefix
from distributed.spans import Span
from laboratory import MNIST, Laboratory, wait_for

from picasso.runs.run import State
from picasso.runs.worker import Job
from picasso.sessions import Sessions

MakeLaboratory = Callable[..., Laboratory]
pytestmark = pytest.mark.slow


# What works


def test_status_tells_the_model(laboratory: Laboratory) -> None:
    status = laboratory.ready()
    assert (status.state, status.workers, status.error) == ("ready", 1, None)
    assert status.info is not None
    assert status.info.input_shape == (28, 28, 1)
    assert {"predict", "gradients", "logits"} <= status.info.capabilities


def test_a_run_to_its_end_with_progress_and_partial_results(laboratory: Laboratory) -> None:
    run = laboratory.start("slow")
    progress, messages, steps = set(), set(), set()

    def finished() -> bool:
        now = laboratory.now(run)
        progress.add(now.progress)
        messages.add(now.message)
        steps.update(packed.content["step"] for packed in laboratory.engine.partial(run.id))
        return now.state.finished

    wait_for(finished)
    done = laboratory.now(run)
    assert (done.state, done.progress, done.attempts, done.error) == (State.DONE, 1.0, 1, None)
    assert done.key is not None
    assert len(progress) > 5
    assert any(message.startswith("Step") for message in messages)
    assert len(steps) > 5
    manifest = laboratory.store.manifest(done)
    assert manifest is not None
    assert manifest["seconds"] > 5
    assert manifest["model"]["fingerprint"]
    assert laboratory.engine.partial(run.id) == []


@pytest.mark.parametrize("visualization", ["class-probabilities", "occlusion", "saliency"])
def test_built_in_visualizations(laboratory: Laboratory, visualization: str) -> None:
    run = laboratory.wait(laboratory.start(visualization))
    assert run.state is State.DONE, run.error
    manifest = laboratory.store.manifest(run)
    assert manifest is not None
    assert manifest["model_calls"] > 0
    assert manifest["settings"] == run.settings != {}
    for name in manifest["files"]:
        assert laboratory.store.artifact(run, name)


def test_the_same_run_gives_the_same_numbers(laboratory: Laboratory) -> None:
    manifests = [
        laboratory.store.manifest(laboratory.wait(laboratory.start("occlusion", window=7, stride=3))) for _ in range(2)
    ]
    assert manifests[0] is not None
    assert manifests[1] is not None
    assert manifests[0]["files"] == manifests[1]["files"]
    assert manifests[0]["key"] == manifests[1]["key"]


def test_nothing_of_a_finished_run_stays_in_memory(laboratory: Laboratory) -> None:
    kinds = (Job, Task, Serialized, ToPickle, TaskPrefix, Span)

    def kept() -> int:
        for _ in range(8):
            laboratory.wait(laboratory.start("quick"), State.DONE)
        gc.collect()
        return sum(isinstance(thing, kinds) for thing in gc.get_objects())

    at_first, then = kept(), kept()
    assert then < at_first + 8, Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds))


def test_runs_go_in_their_order(laboratory: Laboratory) -> None:
    runs = [laboratory.start("quick") for _ in range(5)]
    done = [laboratory.wait(run) for run in runs]
    assert [run.state for run in done] == [State.DONE] * 5
    starts = [run.started or 0 for run in done]
    assert starts == sorted(starts)


# Cancelling


def test_cancel_a_running_run_and_the_next_goes_on(laboratory: Laboratory) -> None:
    running = laboratory.start("slow")
    laboratory.wait(running, State.RUNNING)
    wait_for(lambda: laboratory.now(running).progress > 0)
    following = laboratory.start("quick")
    assert laboratory.engine.cancel(laboratory.now(running))
    assert laboratory.now(running).state is State.CANCELLED  # at once
    # Slow takes 10 s in all: the next is done well before it would have ended by itself.
    done = laboratory.wait(following)
    assert done.state is State.DONE
    assert (done.started or 0) - (laboratory.now(running).finished or 0) < 5
    assert laboratory.now(running).state is State.CANCELLED
    assert laboratory.store.manifest(running) is None
    assert not laboratory.engine.cancel(laboratory.now(running))
    assert laboratory.ready().state == "ready"


def test_cancel_a_queued_run(laboratory: Laboratory) -> None:
    running, queued = laboratory.start("slow"), laboratory.start("quick")
    laboratory.wait(running, State.RUNNING)
    assert laboratory.now(queued).state is State.QUEUED
    assert laboratory.engine.cancel(queued)
    laboratory.engine.cancel(running)
    laboratory.works()
    cancelled = laboratory.now(queued)
    assert (cancelled.state, cancelled.attempts, cancelled.started) == (State.CANCELLED, 0, None)


def test_a_stopped_run_keeps_what_is_there_and_answers_no_other(laboratory: Laboratory) -> None:
    run = laboratory.start("slow")
    laboratory.store.change_run(run.id, (State.QUEUED, State.RUNNING), key="like another")
    wait_for(lambda: laboratory.engine.partial(run.id))
    laboratory.engine.stop(laboratory.now(run))
    assert laboratory.store.run_of_key(run.session, "like another") is None  # at once
    done = laboratory.wait(run)
    assert (done.state, done.key, done.error) == (State.DONE, None, None)
    assert (done.finished or 0) - (done.started or 0) < 5  # Slow takes 10 s in all
    manifest = laboratory.store.manifest(done)
    assert manifest is not None
    assert manifest["stopped"] == manifest["results"][0]["step"] / 40 < 1
    assert manifest["key"] is None
    laboratory.works()
    laboratory.engine.stop(laboratory.now(run))  # too late: nothing happens
    assert laboratory.now(run) == done


def test_cancel_right_after_the_start(laboratory: Laboratory) -> None:
    """Wherever the run is on its way to the worker, it ends, and the worker is free again."""
    for delay in (0.0, 0.01, 0.05, 0.2, 0.3, 0.5):
        run = laboratory.start("slow")
        time.sleep(delay)
        laboratory.engine.cancel(laboratory.now(run))
        assert laboratory.now(run).state is State.CANCELLED
    begin = time.monotonic()
    laboratory.works()
    assert time.monotonic() - begin < 10  # one Slow that went on would alone take this long


def test_a_session_deleted_while_it_runs_leaves_nothing(laboratory: Laboratory) -> None:
    session, image = laboratory.new_session()
    running = laboratory.start("slow", session, image)
    queued = laboratory.start("quick", session, image)
    laboratory.wait(running, State.RUNNING)
    wait_for(lambda: laboratory.engine.partial(running.id))
    Sessions(laboratory.config, laboratory.store, laboratory.engine).delete(session)
    laboratory.works()
    assert not laboratory.store.session_folder(session).exists()
    assert laboratory.store.runs(session) == []
    assert laboratory.engine.partial(running.id) == []
    assert running.id not in {run.id for run in laboratory.store.unfinished_runs()}
    assert queued.id not in {run.id for run in laboratory.store.unfinished_runs()}


def test_rows_deleted_while_it_runs_leave_nothing(laboratory: Laboratory) -> None:
    """As if another process had deleted the session: nobody tells the engine."""
    session, image = laboratory.new_session()
    running = laboratory.start("slow", session, image)
    laboratory.wait(running, State.RUNNING)
    laboratory.store.delete_session(session)
    laboratory.works()
    assert not laboratory.store.session_folder(session).exists()


# Visualizations that fail


def test_a_plugin_that_raises(laboratory: Laboratory) -> None:
    run = laboratory.wait(laboratory.start("raises"))
    assert (run.state, run.error_code, run.attempts) == (State.FAILED, "plugin", 1)
    assert run.error is not None
    assert "raises.py, line 10: ZeroDivisionError: division by zero" in run.error
    assert laboratory.store.manifest(run) is None
    laboratory.works()


@pytest.mark.parametrize(
    ("visualization", "sentence"),
    [
        ("too-few", "must return one result per image: 1, got 0 results"),
        ("unkeepable", "The result holds a object"),
        ("nothing", "There is no visualization 'nothing'"),
        ("not-writable", "could not be kept"),
    ],
)
def test_results_that_are_none(laboratory: Laboratory, visualization: str, sentence: str) -> None:
    run = laboratory.wait(laboratory.start(visualization))
    assert run.state is State.FAILED
    assert sentence in (run.error or "")
    assert laboratory.store.manifest(run) is None
    laboratory.works()


def test_settings_that_the_model_does_not_allow(laboratory: Laboratory) -> None:
    run = laboratory.wait(laboratory.start("occlusion", window=29))
    assert (run.state, run.error_code) == (State.FAILED, "invalid_setting")
    assert run.error == "'window' must be 1..28 pixels for this model, got 29."


def test_a_picture_that_is_gone(laboratory: Laboratory) -> None:
    session, image = laboratory.new_session()
    laboratory.store.image_path(laboratory.store.image(session, image)).unlink()
    run = laboratory.wait(laboratory.start("quick", session, image))
    assert run.state is State.FAILED
    assert "Upload them again" in (run.error or "")
    laboratory.works()


# Engines of their own


def test_a_model_that_cannot_be_opened(make_laboratory: MakeLaboratory, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    laboratory = make_laboratory(MODEL_PATH=path)
    status = laboratory.ready()
    assert (status.state, status.error and status.error.code) == ("failed", "model")
    for content, sentence in [
        (None, "does not exist. Check MODEL_PATH"),
        (b"", "model.keras"),
        (b"PK\x03\x04 damaged", "model.keras"),
    ]:  # the next run tries it again, because the file is another one
        if content is not None:
            path.write_bytes(content)
        run = laboratory.wait(laboratory.start("quick"))
        assert (run.state, run.error_code) == (State.FAILED, "model")
        assert sentence in (run.error or "")
        wait_for(lambda run=run: getattr(laboratory.engine.status().error, "message", "") == run.error)


def test_runs_wait_while_the_model_loads(make_laboratory: MakeLaboratory) -> None:
    laboratory = make_laboratory()
    run = laboratory.start("quick")
    assert laboratory.engine.status().state == "loading"
    cancelled = laboratory.start("quick")
    laboratory.engine.cancel(cancelled)
    assert laboratory.wait(run).state is State.DONE
    assert laboratory.now(cancelled).state is State.CANCELLED


def test_a_run_under_way_when_the_engine_is_closed_is_done_by_the_next(make_laboratory: MakeLaboratory) -> None:
    laboratory = make_laboratory()
    laboratory.ready()
    run = laboratory.start("brief")
    wait_for(lambda: laboratory.now(run).progress > 0)
    laboratory.engine.close()
    assert not laboratory.engine._thread.is_alive()
    waiting = laboratory.now(run)
    assert (waiting.state, waiting.progress, waiting.started, waiting.attempts) == (State.QUEUED, 0.0, None, 0)
    again = make_laboratory()
    done = again.wait(run)
    assert (done.state, done.attempts) == (State.DONE, 1)


def test_the_model_of_the_tests_is_there() -> None:
    assert (MNIST / "model.keras").is_file()
