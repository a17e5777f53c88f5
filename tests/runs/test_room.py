"""How many runs may wait: of one session, and of all together."""

from __future__ import annotations

from pathlib import Path

import pytest

from picasso.config import Config
from picasso.errors import Busy, TooMany
from picasso.runs.engine import DaskEngine
from picasso.runs.requests import check_room
from picasso.runs.run import State
from picasso.runs.store import Store
from picasso.visualizations.discovery import Registry


def test_a_session_and_the_server_have_room_for_so_many_unfinished_runs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = Config(DATA_DIR=tmp_path, SESSION_MAX_UNFINISHED_RUNS=2, MAX_UNFINISHED_RUNS=3)
    engine = DaskEngine(config, store, Registry())
    one, other = store.new_session(), store.new_session()
    first, _ = [store.add_run(one, "occlusion", {}, [], None, 0) for _ in range(2)]
    store.add_run(one, "occlusion", {}, [], None, 0)
    store.change_run(first.id, (State.QUEUED,), state=State.DONE)
    with pytest.raises(TooMany, match="2 of your runs are waiting or under way, and 2 is the most"):
        check_room(store, engine, one)
    check_room(store, engine, other)
    with pytest.raises(Busy, match="2 runs are waiting on this server"):
        check_room(store, engine, other, 2)
    store.close()
