"""The record of a run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any


class State(StrEnum):
    """Where a run is. It goes queued -> running -> one of the others.

    Back to queued it goes once if its worker dies, and whenever the server ends in order or loses its scheduler.
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def finished(self) -> bool:
        """Nothing more will happen to it."""
        return self not in (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Run:
    """One visualization x one model x some images x settings.

    Attributes:
        id, session: 128 random bits each, hexadecimal.
        visualization: its name; `settings` its checked settings, JSON-able.
        images: ids of the session's images, in order.
        key: equal for runs that must give the same numbers; None until the model is known.
        progress: 0..1; `message` says what is being done.
        error_code, error: what went wrong, as a sentence.
        created, started, finished: seconds since 1970.
        attempts: how often it was given to a worker.
        owner: the server that does it.
        model: the reference of the model it is for (see `catalogue`); "" is the default.
        digest: tells what that reference means there apart from what it means to other servers.
    """

    id: str
    session: str
    visualization: str
    settings: dict[str, Any]
    images: list[str]
    seed: int
    key: str | None
    state: State
    progress: float
    message: str
    error_code: str | None
    error: str | None
    created: float
    started: float | None
    finished: float | None
    attempts: int
    owner: str
    model: str
    digest: str


@dataclass(frozen=True)
class StoredImage:
    """One uploaded picture of a session. `filename` is text for display only; `digest` is sha-256 of the stored PNG."""

    id: str
    session: str
    filename: str
    format: str
    width: int
    height: int
    bytes: int
    digest: str
    notes: list[str]
    created: float


def distinct_names(images: Sequence[StoredImage]) -> list[str]:
    """The file names of a run's images; where several have the same one, the later ones get a number: "cat (2).png".

    Templates may link to an image by its name.
    """
    names: list[str] = []
    for image in images:
        path = PurePosixPath(image.filename)
        counted = (f"{path.stem} ({count}){path.suffix}" for count in itertools.count(2))
        names.append(next(name for name in itertools.chain([image.filename], counted) if name not in names))
    return names
