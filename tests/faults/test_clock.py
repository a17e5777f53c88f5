"""The clock set a year ahead and back under a real server, and what is told by a clock that goes wrong."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from serving import ROOT, serving, tiny_project
from visitors import Visitor, picture
from waiting import wait_for

from picasso.runs.store import Store
from picasso.sessions import Clock

sys.path.insert(0, str(ROOT))
from tools.find_faketime import find

TOKEN = "a-token-that-nobody-can-guess"
YEAR = 365 * 86_400.0
SWEEPS_EVERY = 0.2  # seconds
SWEEPS = f"""
from picasso import sessions

sessions.SWEEP_SECONDS, sessions.FIRST_SWEEP_SECONDS = {SWEEPS_EVERY}, 0.0
"""
# Under libfaketime, Python's own sleep is refused (EINVAL). Every process imports this before anything takes it.
SLEEP = """
import threading, time

time.sleep = lambda seconds: threading.Event().wait(seconds)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A data folder."""
    return Store(tmp_path)


def used(store: Store, session: str) -> float:
    with store.database.transaction() as db:
        return float(db.execute("SELECT used FROM sessions WHERE id = ?", (session,)).fetchone()[0])


def test_a_clock_that_is_set_is_noticed() -> None:
    clock, now = Clock(), time.time()
    assert clock.jump(now) == 0
    assert clock.jump(now + YEAR) == pytest.approx(YEAR, abs=1)
    assert clock.jump(now + YEAR) == 0
    assert clock.jump(now) == pytest.approx(-YEAR, abs=1)
    assert clock.jump(now + 5) == 0


def test_sessions_are_as_old_by_the_new_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session, now = store.new_session(), time.time()
    for ahead, age in ((YEAR, 0.0), (0.0, 0.0), (-YEAR, 0.0), (0.0, 0.0)):
        before = used(store, session)
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        for _ in range(2):  # two servers
            store.shift_clock(now + ahead - before)
        assert used(store, session) == pytest.approx(now + ahead - age, abs=2)


def test_runs_are_in_the_order_in_which_they_were_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session, now = store.new_session(), time.time()
    runs = []
    for ahead in (YEAR, 0.0, -YEAR):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        runs.append(store.add_run(session, "occlusion", {}, [], None, 0))
    assert [run.id for run in store.unfinished_runs()] == [run.id for run in runs]
    assert [store.runs_ahead(run) for run in runs] == [0, 1, 2]
    assert [run.id for run in store.runs(session)] == [run.id for run in reversed(runs)]


@pytest.mark.slow
def test_a_year_ahead_and_back_under_a_real_server(tmp_path: Path) -> None:
    library, clock = find(), tmp_path / "clock"
    assert library is not None, "This test sets clocks with libfaketime: python tools/find_faketime.py --install"
    clock.write_text("+0")
    config = tiny_project(tmp_path / "project", SWEEPS)
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    environ = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PICASSO_SESSION_HOURS": "1",
        "PICASSO_ACCESS_TOKEN": TOKEN,
    }
    with serving(tmp_path, "--config", str(config), **environ) as server:
        program, browser = Visitor(server, headers={"Picasso-Token": TOKEN}), Visitor(server)
        wait_for(lambda: program.get("/health/ready").status == 200)
        assert browser.get(f"/?token={TOKEN}").status == 200
        image = program.upload().json["images"][0]["id"]
        assert browser.form("/images", file=(picture(), "first.png")).status == 200
        runs = []
        for classes, shift in enumerate(("+0", "+1y", "+0", "-1y", "+0"), 1):
            clock.write_text(shift)
            time.sleep(4 * SWEEPS_EVERY)  # so that it sweeps
            assert program.get("/api/v1/images").json["images"][0]["id"] == image
            assert [program.run(run)["state"] for run in runs] == ["done"] * len(runs)
            assert "first.png" in browser.get("/").text  # the same session, by its cookie
            assert browser.form("/images", file=(picture(classes), f"{classes}.png")).status == 200
            runs.append(program.start("class-probabilities", image, classes=classes).json["id"])
            assert program.wait(runs[-1])["state"] == "done"
            assert browser.get("/runs").status == 200
            assert program.get("/health/ready").status == 200
        assert [one["id"] for one in program.runs()] == runs[::-1]
        (cookie,) = browser.cookies
        assert cookie.expires is not None
        assert 3000 < cookie.expires - time.time() < 4000  # by the browser's own clock
    log = server.log()
    assert log.count("The clock was set by") == 4
    assert "Traceback" not in log
