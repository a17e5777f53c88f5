"""Whether the files that make a model have changed since it was opened, and whether somebody is writing them now."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from picasso.config import LABEL_FILES, Config
from picasso.runs.memory import weight_files
from picasso.runs.own_code import imported

Looks = dict[Path, tuple[int, int]]  # file -> (date in nanoseconds, size)
FRESH_SECONDS = 1.0  # a file that was last changed before this is not being written
STEP_SECONDS = 0.2
PATIENCE_SECONDS = 30.0


def look(files: Iterable[Path]) -> Looks:
    """The dates and sizes of those files that are there."""
    looks = {}
    for file in files:
        with suppress(OSError):
            status = file.stat()
            looks[file] = (status.st_mtime_ns, status.st_size)
    return looks


def data_files(config: Config) -> list[Path]:
    """The model's files, and the one with its labels."""
    labels = config.MODEL_LABELS
    named = [Path(labels)] if isinstance(labels, str) and labels.endswith(LABEL_FILES) else []
    return [*weight_files(config), *named]


def look_at_code(config: Config, since: float) -> Looks:
    """The user's modules that are imported by now, as they were when they were imported.

    Args:
        since: when opening the model began, in seconds since 1970. What was written after that may have been imported
            before: it counts as changed.
    """
    looks = look(imported(config).values())
    return {file: seen if seen[0] / 1e9 < since else (0, 0) for file, seen in looks.items()}


def wait_until_written(config: Config) -> None:
    """Waits until no file of the model was changed within the last second; for 30 seconds at most."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ages = [time.time() - date / 1e9 for date, _ in look(data_files(config)).values()]
        if not any(abs(age) < FRESH_SECONDS for age in ages):  # a date in the future is a clock that goes wrong
            return
        time.sleep(STEP_SECONDS)
