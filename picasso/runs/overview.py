"""How the whole server is at a moment, of all sessions together: for its administrator, and for Prometheus."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from picasso.logs import without
from picasso.runs.crew import Hand
from picasso.runs.interface import Engine
from picasso.runs.run import Run, State, distinct_names
from picasso.runs.store import Store

COUNT_SECONDS = 60.0  # between two counts of a folder's bytes


class DiskUse:
    """How much is in a folder, and what is left beside it.

    Counting takes a second for 100,000 files. So it is done in the background, and what was counted last is said.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: int | None = None
        self._due = 0.0
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Bytes that can still be written; raises an OSError where the folder is gone."""
        return shutil.disk_usage(self.folder).free

    @property
    def size(self) -> int:
        """Bytes of the whole disk."""
        return shutil.disk_usage(self.folder).total

    @property
    def used(self) -> int | None:
        """Bytes of all files in the folder, as counted within the last minute or so; None until they were counted."""
        with self._lock:
            if time.monotonic() >= self._due:
                self._due = float("inf")  # until this count is done
                threading.Thread(target=self._count, name="disk-use", daemon=True).start()
        return self._used

    def _count(self) -> None:
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):  # deleted meanwhile
                    total += Path(folder, name).lstat().st_size
        self._used, self._due = total, time.monotonic() + COUNT_SECONDS


@dataclass(frozen=True)
class Overview:
    """Numbers about the server.

    Attributes:
        runs: how many there are in each state, as long as their sessions are kept.
        oldest: seconds that the oldest queued run has waited; 0 where none waits.
        sessions: how many are kept.
        workers: the worker processes; `lost`: how many have ended since the start.
        memory: bytes of the web process.
        used: bytes of the data folder, None while they are being counted; `free`, `size`: of its disk.
    """

    runs: dict[State, int]
    oldest: float
    sessions: int
    workers: list[Hand]
    lost: int
    memory: int
    used: int | None
    free: int
    size: int


def overview(store: Store, engine: Engine, disk: DiskUse) -> Overview:
    """How the server is now. Reads an index of the table of runs and no file: quick enough to be asked every second."""
    totals, crew = store.totals(), engine.crew
    return Overview(
        runs=totals.runs,
        oldest=max(0.0, time.time() - totals.oldest) if totals.oldest is not None else 0.0,
        sessions=totals.sessions,
        workers=list(crew.hands.values()),
        lost=crew.lost,
        memory=int(psutil.Process().memory_info().rss),
        used=disk.used,
        free=disk.free,
        size=disk.size,
    )


def reason(store: Store, run: Run) -> str:
    """Why a run failed, without the names of its pictures."""
    images = store.images_of_run(run)
    return without(run.error or "", [*distinct_names(images), *(image.filename for image in images)])
