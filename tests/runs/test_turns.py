"""In which order queued runs start."""

from __future__ import annotations

from pathlib import Path

from picasso.runs.fair_queue import FairQueue
from picasso.runs.run import State
from picasso.runs.store import Store


def test_sessions_take_turns_and_are_forgotten_with_their_last_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    queue = FairQueue(store)
    many, few = store.new_session(), store.new_session()
    runs = [store.add_run(session, "slow", {}, [], None, 0) for session in (many, many, many, few)]
    queue.turns = {many: 5.0, "gone long ago": 1.0}
    assert [run.id for run in queue.waiting()] == [run.id for run in (runs[3], *runs[:3])]
    assert queue.turns == {many: 5.0}
    for run in runs:
        store.change_run(run.id, (State.QUEUED,), state=State.CANCELLED)
    assert queue.waiting() == []
    assert queue.turns == {}
    store.close()
