"""The worker processes as pages see them. The engine's thread fills it from what they say; pages read it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from picasso.runs.shelf import ModelStateName
from picasso.runs.worker import Snapshot

SILENT_SECONDS = 10.0  # the engine asks every two seconds at least, and waits three for an answer


@dataclass(frozen=True)
class Hand:
    """A worker process as it was when it answered last.

    Attributes:
        memory: bytes.
        models: how each is, by reference.
        run: the id of the one that it has; None while it has none.
        heard: when it answered, in seconds of `time.monotonic`.
    """

    pid: int
    memory: int
    models: dict[str, ModelStateName]
    run: str | None
    heard: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        """What it is at: "idle", "running", or "silent", when it has not answered for a while."""
        if time.monotonic() - self.heard > SILENT_SECONDS:
            return "silent"
        return "idle" if self.run is None else "running"


class Crew:
    """All worker processes of an engine. What it has is replaced as a whole: other threads may be reading it.

    Attributes:
        hands: by address.
        lost: how many have ended since the server was started; on its own machine each was started again.
    """

    def __init__(self) -> None:
        self.hands: dict[str, Hand] = {}
        self.lost = 0

    def hear(self, alive: Set[str], snapshots: Mapping[str, Snapshot], runs: Mapping[str, str]) -> None:
        """Takes over how things are.

        Args:
            alive: the addresses of the workers that there are.
            snapshots: what they say, as far as they answer; by address.
            runs: the ids of the runs that they have been given; by address.
        """
        heard = {
            address: Hand(
                one.pid, one.memory, {name: model.state for name, model in one.models.items()}, runs.get(address)
            )
            for address, one in snapshots.items()
        }
        self.lost += len(self.hands.keys() - alive)
        self.hands = {address: hand for address, hand in (self.hands | heard).items() if address in alive}
