"""A visualization that notes that it is executed, and does to its process what a fault does."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from picasso.visualizations.base import BaseVisualization, Field, Input, Settings

PROJECT = Path(__file__).parents[1]


class Counted(BaseVisualization):
    description = "For tests"

    class settings(Settings):
        mark: str = Field("", description="What is written down when it is executed")
        seconds: float = Field(0.0, ge=0, le=600, description="How long it takes")
        fault: str = Field("", description="What happens then, by its name in FAULTS")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> list[Any]:
        with (PROJECT / "executions").open("a") as log:
            log.write(f"{settings.mark}\n")
        end = time.monotonic() + settings.seconds
        while time.monotonic() < end:
            self.progress(1 - (end - time.monotonic()) / settings.seconds, "Counting")
            time.sleep(0.05)
        if settings.fault:
            FAULTS[settings.fault](self)
        return [{"mark": settings.mark, "pid": os.getpid(), "maps": [np.ones((9, 9))] * 3} for _ in inputs]


def take_memory(_: Counted) -> None:
    taken = []
    while True:
        taken.append(b"x" * 2**24)
        time.sleep(0.01)


def die_once(_: Counted) -> None:
    mark = PROJECT / "died"
    if not mark.exists():
        mark.touch()
        os._exit(3)


def hang(running: Counted) -> None:
    running.progress(0.5, "Hanging")
    while True:
        time.sleep(0.1)


def hold_the_lock(running: Counted) -> None:
    """One call in C that never lets another thread of this process run."""
    running.progress(0.5, "Hanging")
    time.sleep(1)
    ctypes.PyDLL(None).sleep(600)


FAULTS = {
    "exits": lambda _: os._exit(3),
    "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "aborts": lambda _: os.abort(),
    "segfaults": lambda _: ctypes.string_at(0),
    "takes-memory": take_memory,
    "dies-once": die_once,
    "hangs": hang,
    "holds-the-lock": hold_the_lock,
}
