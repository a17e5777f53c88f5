"""What looks after the worker process of this machine, and knows how it ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from dask.utils import format_bytes
from distributed import Nanny

TOO_LARGE = "worker-restart-memory"  # what Dask calls it when it ends a process because of its memory


@dataclass(frozen=True)
class Ending:
    """How a worker process ended.

    Attributes:
        worker: its address.
        status: of its exit; negative for the signal that ended it.
        limit: the memory in bytes that it took too much of, if that is why it was ended.
    """

    worker: str
    status: int
    limit: int | None = None

    @property
    def words(self) -> str:
        """What follows "The worker process died: "."""
        if self.limit is not None:
            return f"it took more memory than it may (WORKER_MEMORY_LIMIT, {format_bytes(self.limit)})"
        if self.status >= 0:
            return f"it ended itself with status {self.status}"
        number = -self.status
        name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        if number == signal.SIGKILL:
            return f"it was killed from outside ({name}), as the system does where memory runs out"
        return f"it was ended by {name} ({(signal.strsignal(number) or 'unknown').lower()})"


class RememberingNanny(Nanny):  # type: ignore[misc]  # distributed has no types
    """Starts a worker process, and again when it ended; remembers how the last one did."""

    last: Ending | None = None
    _too_large = ""  # the address of the worker that is being ended because of its memory

    def log_event(self, topic: str, msg: Any) -> None:
        """Called by Dask, also when it ends a process because of its memory."""
        if topic == TOO_LARGE:
            self._too_large = msg["worker"]
        super().log_event(topic, msg)

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        worker = self.worker_address or ""
        limit = self.memory_manager.memory_limit if worker == self._too_large else None
        self.last = Ending(worker, exitcode, limit)
        super()._on_worker_exit_sync(exitcode)
