"""In a server that is told DIE_AT=n: ends it with SIGKILL at its n-th step.

A step is a statement that changes the database, or a change of a file in the data folder. At the end, `steps` has how
many there were.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

WRITING = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "ALTER", "CREATE")
FILES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
DATA = str(Path(__file__).with_name("data"))
DIE_AT = int(os.environ.get("DIE_AT", 0))
steps = itertools.count(1)


def step() -> None:
    """Counts one."""
    if next(steps) == DIE_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Is told of files, by Python."""
    creates = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
    if (event in FILES or creates) and str(arguments[0]).startswith(DATA):
        step()


def connect(*arguments: Any, connect: Any = sqlite3.connect, **more: Any) -> sqlite3.Connection:
    """A connection that tells of its statements."""
    connection: sqlite3.Connection = connect(*arguments, **more)
    connection.set_trace_callback(lambda statement: step() if statement.startswith(WRITING) else None)
    return connection


if "DIE_AT" in os.environ:
    sqlite3.connect = connect
    sys.addaudithook(watch)
    atexit.register(lambda: Path(__file__).with_name("steps").write_text(str(next(steps) - 1)))
