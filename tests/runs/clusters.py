"""A Dask cluster of real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Cluster:
    """Processes started from the command line, as an operator does, in a folder of their own."""

    folder: Path
    port: int = 0
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start_scheduler()

    @property
    def address(self) -> str:
        """The scheduler's."""
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Starts the scheduler, again at the same address."""
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def add_worker(self, name: str, *options: str) -> None:
        """Starts a worker."""
        self._start(name, "worker", self.address, "--nthreads", "1", "--name", name, "--no-dashboard", *options)

    def _start(self, name: str, *command: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        # picasso is installed where workers run; the repository is nobody's working directory there.
        environ = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        with (folder / "log").open("a") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "dask", *command],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )

    def pids(self, name: str) -> set[int]:
        """A process and those that it started."""
        process = psutil.Process(self.processes[name].pid)
        return {one.pid for one in (process, *process.children(recursive=True))}

    def kill(self, name: str) -> None:
        """Ends a scheduler or worker as a power cut does: a worker's nanny too."""
        for pid in self.pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.processes.pop(name).wait()

    def close(self) -> None:
        """Ends everything."""
        for name, process in list(self.processes.items()):
            if process.poll() is None:
                self.kill(name)
