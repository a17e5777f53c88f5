"""Which servers run over a data folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NoReturn

import pytest

from picasso.errors import WorkerLost
from picasso.remote import find_server
from picasso.runs.servers import Server, announce, running
from picasso.runs.store import Store

URL = "http://127.0.0.1:8000/"


def test_a_server_is_found_as_long_as_it_lives(tmp_path: Path) -> None:
    assert running(tmp_path) == []
    store = Store(tmp_path)
    announce(tmp_path, store.owner, URL)
    (file,) = (tmp_path / "servers").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert running(tmp_path) == [Server(URL, os.getpid())]
    store.close()
    assert running(tmp_path) == []
    assert not file.exists()


def test_what_a_server_left_that_was_killed_is_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    announce(tmp_path, store.owner, URL)
    store._alive.release()  # as the end of its process does
    assert running(tmp_path) == []
    assert list((tmp_path / "servers").glob("*.json")) == []


def test_the_folder_of_another_user_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # tests may run as root, whom no folder refuses
    with pytest.raises(WorkerLost, match="belongs to another user: reload as that one"):
        find_server(tmp_path)
