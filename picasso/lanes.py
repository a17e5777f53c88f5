"""Which of the server's threads answer which request: what has to be quick never waits behind what takes long.

Each lane has threads and a queue of its own. Health is answered while everything else is busy. Uploads, which hold a
thread until their pictures are decoded, leave the threads of pages alone. What finds its queue full is refused at once,
in a lane of its own, so that a flood is answered too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

HEALTH = ("/health/", "/api/v1/health/")
UPLOADS = "/images"  # what the addresses of both kinds of them, of pages and of REST, end with


@dataclass(frozen=True)
class Lane:
    """How many threads, and how many requests may wait for them."""

    threads: int
    waiting: int


LANES = {
    "health": Lane(1, 100),
    "uploads": Lane(4, 100),
    "others": Lane(16, 300),  # four calls of /explain and six questions by hand may be waited for in these
}


class Full(Error):  # type: ignore[misc]  # waitress has no types
    """That too many requests wait already; stands in a request in the place where waitress notes what is wrong."""

    code = 503
    reason = "Service Unavailable"


class Lanes:
    """Takes the place of waitress' dispatcher: one for each lane, and one thread that refuses."""

    def __init__(self) -> None:
        self._dispatchers = {name: _started(lane.threads) for name, lane in LANES.items()}
        self._refusing = _started(1)

    def add_task(self, channel: Any) -> None:
        """Has the channel's first request answered."""
        request = channel.requests[0]
        name = lane_of(request)
        dispatcher = self._dispatchers[name]
        if _waiting(dispatcher) >= LANES[name].waiting:
            request.error = request.error or Full(f"{LANES[name].waiting} requests wait already.")
            dispatcher = self._refusing
        dispatcher.add_task(channel)

    def waiting(self) -> dict[str, int]:
        """How many requests wait for a thread, by lane."""
        return {name: _waiting(dispatcher) for name, dispatcher in self._dispatchers.items()}

    def shutdown(self, timeout: float = 5) -> None:
        """Ends all threads; those that are in the middle of an answer have so many seconds, all together."""
        dispatchers, end = (*self._dispatchers.values(), self._refusing), time.monotonic() + timeout
        for dispatcher in dispatchers:
            dispatcher.set_thread_count(0)
        for dispatcher in dispatchers:
            dispatcher.shutdown(timeout=max(0.0, end - time.monotonic()))


def lane_of(request: Any) -> str:
    """The lane of a request that waitress has received."""
    path = getattr(request, "path", "")  # none where it could not be read so far
    if path.startswith(HEALTH):
        return "health"
    return "uploads" if path.endswith(UPLOADS) and request.command == "POST" else "others"


def _waiting(dispatcher: ThreadedTaskDispatcher) -> int:
    """How many of its requests wait; those that a thread has only to wake up for do not."""
    idle: int = len(dispatcher.threads) - dispatcher.stop_count - dispatcher.active_count
    return max(0, len(dispatcher.queue) - idle)


def _started(threads: int) -> ThreadedTaskDispatcher:
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(threads)
    return dispatcher
