"""In which order queued runs start: sessions take turns, so that nobody waits for ten of somebody else."""

from __future__ import annotations

import time

from picasso.runs.run import Run, State
from picasso.runs.store import Store


class FairQueue:
    """This server's queued runs, of all sessions. They are in the store, whose turn it was is here. Used by one thread.

    Attributes:
        turns: when each session with unfinished runs last had one started, in seconds of `time.monotonic`.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turns: dict[str, float] = {}

    def waiting(self) -> list[Run]:
        """Queued runs in the order in which they start."""
        unfinished = self.store.unfinished_runs()
        known = {run.session for run in unfinished}
        self.turns = {session: turn for session, turn in self.turns.items() if session in known}
        waiting = [run for run in unfinished if run.state is State.QUEUED]
        return sorted(waiting, key=lambda run: self.turns.get(run.session, 0.0))

    def started(self, run: Run) -> None:
        """It was its session's turn."""
        self.turns[run.session] = time.monotonic()
