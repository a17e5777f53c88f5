"""Which servers run over a data folder, and where they are reached.

DATA_DIR/servers/<owner>.lock     held as long as that server lives (see `store`)
DATA_DIR/servers/<owner>.json     its address and process, for its owner only
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, "http://127.0.0.1:8000/", and process."""

    url: str
    pid: int


def lock_file(folder: Path, owner: str) -> Path:
    """The file that a server holds a lock on."""
    return folder / "servers" / f"{owner}.lock"


def announce(folder: Path, owner: str, url: str) -> None:
    """Writes down where this server is reached."""
    path = lock_file(folder, owner).with_suffix(".json")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(Server(url, os.getpid())), stream)


def withdraw(folder: Path, owner: str) -> None:
    """The server is not reached any more."""
    lock_file(folder, owner).with_suffix(".json").unlink(missing_ok=True)


def running(folder: Path) -> list[Server]:
    """The servers that live; what one left that is gone is deleted.

    Raises:
        PermissionError: the folder belongs to another user.
    """
    try:
        files = sorted((folder / "servers").iterdir())  # `glob` hides on some versions of Python that it may not look
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for path in files:
        if path.suffix != ".json":
            continue
        try:
            with FileLock(path.with_suffix(".lock"), timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            found.append(Server(**json.loads(path.read_text())))
    return found
