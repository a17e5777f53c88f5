"""Worker processes that die, and runs that do not end: each costs one run, which says why."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from counting import executions
from laboratory import Laboratory
from long_forms import everything
from waiting import wait_for

from picasso.runs.run import Run, State

pytestmark = pytest.mark.slow


def counted(laboratory: Laboratory, run: Run) -> int:
    """How often a run was executed."""
    return executions(laboratory.config.VISUALIZATION_FOLDERS[0].parent)[run.settings["mark"]]


def start(laboratory: Laboratory, fault: str = "") -> Run:
    """A run that leaves a mark of its own when it is executed."""
    return laboratory.start("counted", mark=f"{fault}-{time.monotonic_ns()}", fault=fault)


def works(laboratory: Laboratory) -> int:
    """Executes a run to its end; the process that did it."""
    run = laboratory.wait(start(laboratory))
    assert run.state is State.DONE, run.error
    assert counted(laboratory, run) == 1
    manifest = laboratory.store.manifest(run)
    assert manifest is not None
    pid: int = manifest["results"][0]["pid"]
    return pid


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("exits", "it ended itself with status 3."),
        ("killed", "it was killed from outside (SIGKILL), as the system does where memory runs out."),
        ("aborts", "it was ended by SIGABRT (aborted)."),
        ("segfaults", "it was ended by SIGSEGV (segmentation fault)."),
        ("takes-memory", "it took more memory than it may (WORKER_MEMORY_LIMIT, 700.00 MiB)."),
    ],
)
def test_a_run_that_ends_its_process_is_tried_once_more_and_says_why(
    laboratory: Laboratory, fault: str, reason: str
) -> None:
    before = works(laboratory)
    run = start(laboratory, fault)
    behind = [start(laboratory) for _ in range(2)]
    run = laboratory.wait(run)
    assert (run.state, run.error_code, run.attempts) == (State.FAILED, "worker_lost", 2)
    assert run.error == (
        f"The worker process died twice during this run: {reason} Try fewer or smaller pictures, or other settings."
    )
    assert counted(laboratory, run) == 2
    assert laboratory.store.manifest(run) is None
    assert [laboratory.wait(one).state for one in behind] == [State.DONE] * 2
    assert works(laboratory) != before


def test_a_worker_that_dies_once_costs_nothing(laboratory: Laboratory) -> None:
    run = laboratory.wait(start(laboratory, "dies-once"))
    assert (run.state, run.attempts, run.error) == (State.DONE, 2, None)
    assert counted(laboratory, run) == 2


def test_a_worker_that_is_killed_without_a_run(laboratory: Laboratory) -> None:
    before = works(laboratory)
    os.kill(before, signal.SIGKILL)
    assert works(laboratory) != before


def test_a_worker_that_nothing_starts_again(laboratory: Laboratory) -> None:
    """Dask's nanny ends for good when it cannot start a process: then the engine starts all of it anew."""
    before = works(laboratory)
    run = laboratory.start("counted", mark="started anew", seconds=2)
    laboratory.wait(run, State.RUNNING)
    cluster = laboratory.engine.pool._cluster
    cluster.sync(cluster.workers[0].close)
    done = laboratory.wait(run)
    assert (done.state, done.attempts) == (State.DONE, 1)
    assert works(laboratory) != before
    assert not psutil.pid_exists(before)


@contextmanager
def deadline(laboratory: Laboratory, seconds: float) -> Iterator[None]:
    """While this lasts, runs may take so long."""
    usual = laboratory.engine.config
    laboratory.engine.config = usual.model_copy(update={"RUN_TIMEOUT_SECONDS": seconds})
    yield
    laboratory.engine.config = usual


ENDINGS = [("hangs", "cancel"), ("holds-the-lock", "deadline")]
MORE_ENDINGS = [("hangs", "deadline"), ("holds-the-lock", "cancel")] if everything() else []


@pytest.mark.parametrize(("fault", "end"), ENDINGS + MORE_ENDINGS)
def test_a_run_that_does_not_stop_loses_its_process(laboratory: Laboratory, fault: str, end: str) -> None:
    before = works(laboratory)
    run = start(laboratory, fault)
    wait_for(lambda: laboratory.now(run).message == "Hanging")
    following = start(laboratory)
    time.sleep(1.5)  # by now it is inside the call that does not end
    if end == "cancel":
        laboratory.engine.cancel(laboratory.now(run))
    else:
        with deadline(laboratory, 1):
            laboratory.wait(run)
    assert laboratory.wait(following).state is State.DONE
    assert works(laboratory) != before
    assert not psutil.pid_exists(before)
    ended = laboratory.now(run)
    if end == "cancel":
        assert (ended.state, ended.error) == (State.CANCELLED, None)
    else:
        assert (ended.state, ended.error) == (State.FAILED, "This took longer than 1 seconds and was ended.")
    assert counted(laboratory, run) == 1
    assert laboratory.ready().state == "ready"


def test_a_run_that_takes_too_long_and_stops_when_it_is_told_keeps_its_process(laboratory: Laboratory) -> None:
    before = works(laboratory)
    with deadline(laboratory, 2):
        run = laboratory.wait(laboratory.start("counted", mark="long", seconds=60))
    assert (run.state, run.error) == (State.FAILED, "This took longer than 2 seconds and was ended.")
    assert works(laboratory) == before


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="only Linux chooses a process by a score")
def test_where_memory_runs_out_the_system_ends_the_worker_first(laboratory: Laboratory) -> None:
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in ("self", works(laboratory))]
    assert scores[1] >= max(500, scores[0])
