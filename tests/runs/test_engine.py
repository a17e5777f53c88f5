"""The engine over a real worker process: what runs come to, whatever a visualization does to its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from laboratory import MNIST, Laboratory, wait_for

from picasso.runs.run import Run, State
from picasso.sessions import Sessions

MakeLaboratory = Callable[..., Laboratory]
ROOT = Path(__file__).resolve().parents[2]
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
    assert "raises.py, line 11: ZeroDivisionError: division by zero" in run.error
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


@pytest.mark.parametrize("visualization", ["exits", "killed"])
def test_a_plugin_that_ends_its_process_is_tried_once_more(laboratory: Laboratory, visualization: str) -> None:
    before = laboratory.works()
    run = laboratory.wait(laboratory.start(visualization))
    assert (run.state, run.error_code, run.attempts) == (State.FAILED, "worker_lost", 2)
    assert (run.error or "").startswith("The worker process died twice during this run")
    assert laboratory.works() != before
    assert laboratory.ready().state == "ready"


def test_a_worker_that_dies_once_costs_nothing(laboratory: Laboratory) -> None:
    (laboratory.config.VISUALIZATION_FOLDERS[0] / "died").unlink(missing_ok=True)
    run = laboratory.wait(laboratory.start("dies-once"))
    assert (run.state, run.attempts, run.error) == (State.DONE, 2, None)


def test_a_worker_that_nothing_starts_again(laboratory: Laboratory) -> None:
    """Dask's nanny ends for good when it cannot start a process: then the engine starts all of it anew."""
    before = laboratory.works()
    run = laboratory.start("brief")
    laboratory.wait(run, State.RUNNING)
    cluster = laboratory.engine.pool._cluster
    cluster.sync(cluster.workers[0].close)
    assert laboratory.wait(run).state is State.DONE
    assert laboratory.works() != before
    assert not psutil.pid_exists(before)


@pytest.mark.parametrize("visualization", ["hangs", "holds-the-lock"])
def test_a_plugin_that_does_not_stop_loses_its_process(laboratory: Laboratory, visualization: str) -> None:
    before = laboratory.works()
    run = laboratory.start(visualization)
    wait_for(lambda: laboratory.now(run).message == "Hanging")
    time.sleep(1.5)  # by now it is inside the call that does not end
    following = laboratory.start("quick")
    laboratory.engine.cancel(laboratory.now(run))
    assert laboratory.wait(following).state is State.DONE
    assert laboratory.works() != before
    assert not psutil.pid_exists(before)
    assert laboratory.now(run).state is State.CANCELLED
    assert laboratory.ready().state == "ready"


# Engines of their own


def test_a_run_that_takes_too_long_is_ended(make_laboratory: MakeLaboratory) -> None:
    laboratory = make_laboratory(RUN_TIMEOUT_SECONDS=3)
    laboratory.ready()
    run = laboratory.wait(laboratory.start("slow"))
    assert (run.state, run.error) == (State.FAILED, "This took longer than 3 seconds and was ended.")
    laboratory.works()
    hanging = laboratory.wait(laboratory.start("hangs"))
    assert (hanging.state, hanging.error_code) == (State.FAILED, "worker_lost")
    # The engine gives it CANCEL_GRACE to stop, then a new process must load the model within the 3 s of the next run.
    wait_for(lambda: not laboratory.engine._flights)
    laboratory.ready()
    wait_for(lambda: laboratory.wait(laboratory.start("quick")).state is State.DONE)


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


def test_close_while_a_run_is_under_way(make_laboratory: MakeLaboratory) -> None:
    laboratory = make_laboratory()
    laboratory.ready()
    run = laboratory.start("slow")
    wait_for(lambda: laboratory.now(run).progress > 0)
    laboratory.engine.close()
    assert not laboratory.engine._thread.is_alive()
    again = make_laboratory(start=False)
    again.engine.start()
    assert laboratory.now(run).state is State.INTERRUPTED


# The server's end

SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from laboratory import Laboratory, mnist_config

def main():
    laboratory = Laboratory(mnist_config(Path(sys.argv[1])))
    laboratory.engine.start()
    laboratory.ready()
    running, queued = laboratory.start("slow"), laboratory.start("quick")
    while not laboratory.engine.partial(running.id):
        time.sleep(0.05)
    print(running.session, running.id, queued.id, flush=True)
    time.sleep(600)

if __name__ == "__main__":  # worker processes import this file again
    main()
"""


def test_a_server_that_was_killed_leaves_no_process_and_goes_on_where_it_stopped(
    make_laboratory: MakeLaboratory, tmp_path: Path
) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(tests=str(Path(__file__).parent)))
    server = subprocess.Popen([sys.executable, str(script), str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        session, running, queued = server.stdout.readline().split()
        children = psutil.Process(server.pid).children(recursive=True)
        assert children
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.communicate()
    wait_for(lambda: not [process for process in children if process.is_running()], 30)

    laboratory = make_laboratory(start=False)

    def now(run: str) -> Run:
        return laboratory.store.run(session, run)

    assert (now(running).state, now(queued).state) == (State.RUNNING, State.QUEUED)
    laboratory.engine.start()
    interrupted = now(running)
    assert interrupted.state is State.INTERRUPTED
    assert interrupted.error == "The server stopped while this was running. Run it again."
    assert laboratory.wait(now(queued)).state is State.DONE
    assert laboratory.store.manifest(interrupted) is None


def test_the_model_of_the_tests_is_there() -> None:
    assert (MNIST / "model.keras").is_file()
