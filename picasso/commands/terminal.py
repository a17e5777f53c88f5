"""What commands that compute share: who writes to stdout, progress, Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from picasso.errors import PicassoError

STDERR = 2  # the number by which C++ code knows it, whatever `sys.stderr` is
LOG_LEVEL, SILENT = "TF_CPP_MIN_LOG_LEVEL", "3"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stdout_alone() -> Iterator[TextIO]:
    """Only what is written to the stream that this gives goes to stdout.

    Whatever else is printed meanwhile, by a visualization, a library or a framework's C++ code, goes to stderr.
    """
    ours = sys.stdout
    try:
        number, stderr = ours.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError, ValueError):  # not a file of the system: C cannot write to it
        with redirect_stdout(sys.stderr):
            yield ours
        return
    ours.flush()
    kept = os.dup(number)
    os.dup2(stderr, number)
    try:
        with redirect_stdout(sys.stderr), os.fdopen(kept, "w", encoding=ours.encoding, closefd=False) as stream:
            yield stream
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextmanager
def hushed_start() -> Iterator[None]:
    """While a framework starts: what its C++ code says on stderr is shown only where that ends in an unknown error.

    TF_CPP_MIN_LOG_LEVEL, which `picasso.models` sets, does not silence that. Who sets it lower wants to read it.
    """
    if os.environ.get(LOG_LEVEL, SILENT) < SILENT:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, os.fdopen(os.dup(STDERR), "w") as stderr:
        os.dup2(said.fileno(), STDERR)
        try:
            with Console(file=stderr).status("Opening the model"):
                yield
        except Exception as error:
            if not isinstance(error, PicassoError):
                said.seek(0)
                stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), STDERR)


@contextmanager
def progress(total: Callable[[], int]) -> Iterator[Callable[[float, str], None]]:
    """A bar on stderr where that is a terminal, else nothing; gives what is to be told how far it is.

    Args:
        total: counts what there is to do; called only where there is a bar.
    """
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        if bar.disable:
            yield lambda _done, _doing: None
            return
        task = bar.add_task("", total=total())
        yield lambda done, doing: bar.update(task, completed=done, description=doing)


@contextmanager
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """Gives what says whether Ctrl-C was pressed, or SIGTERM came. The second time ends the process at once."""
    asked = threading.Event()

    def ask(_number: int, _frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
