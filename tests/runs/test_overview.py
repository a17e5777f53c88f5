"""The worker processes and the disk, as the administrator sees them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from picasso.runs.crew import SILENT_SECONDS, Crew
from picasso.runs.overview import DiskUse
from picasso.runs.shelf import ModelState, News
from picasso.runs.worker import Snapshot


def snapshot(pid: int) -> Snapshot:
    return Snapshot(pid, {"model": ModelState("ready")}, News(), {}, memory=1000 * pid)


def test_workers_that_come_go_and_fall_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew()
    crew.hear({"a", "b"}, {"a": snapshot(1)}, {})
    assert [(one.pid, one.memory, one.models, one.state) for one in crew.hands.values()] == [
        (1, 1000, {"model": "ready"}, "idle")
    ]
    crew.hear({"a", "b"}, {"a": snapshot(1), "b": snapshot(2)}, {"b": "a run"})
    assert {one.pid: (one.state, one.run) for one in crew.hands.values()} == {
        1: ("idle", None),
        2: ("running", "a run"),
    }
    crew.hear({"b"}, {}, {"b": "a run"})  # one ended, and the other is busy in C
    assert ([one.pid for one in crew.hands.values()], crew.lost) == ([2], 1)
    later = time.monotonic() + SILENT_SECONDS + 1
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert [one.state for one in crew.hands.values()] == ["silent"]
    crew.hear({"c"}, {"c": snapshot(3)}, {})  # started again, at another address
    assert ([one.pid for one in crew.hands.values()], crew.lost) == ([3], 2)


def test_the_disk_is_counted_in_the_background(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(1000))
    (tmp_path / "file").write_bytes(bytes(24))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    disk = DiskUse(tmp_path)
    deadline = time.monotonic() + 60
    while disk.used is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert disk.used == 1024 + (tmp_path / "link").lstat().st_size
    (tmp_path / "file").unlink()
    assert disk.used == 1024 + (tmp_path / "link").lstat().st_size  # until a minute has passed
    assert 0 < disk.free < disk.size
