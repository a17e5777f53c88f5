"""Starting Python commands and `picasso serve` as processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
from visitors import Visitor
from waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
TINY = Path(__file__).with_name("tiny_project")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This environment without settings of Picasso, with a data folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}
    return kept | {"PICASSO_DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1"} | more


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python command, to its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(folder, **environ),
        capture_output=True,
        text=True,
        timeout=120,
    )


def tiny_project(folder: Path, settings: str = "") -> Path:
    """Copies the project whose model is there in a moment, without TensorFlow; its config, with these lines besides."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    config = folder / "config.py"
    config.write_text(f"{config.read_text()}{settings}")
    return config


@dataclass
class Server:
    """`picasso serve`; it may be started again and again, at the same address.

    Attributes:
        folder: where it works, and writes its log.
        options: of its command line.
        environ: of its environment, besides what this process has.
        prefix: what its command line begins with.
        port: 0 until it has one, which it keeps, so that cookies stay valid.
        address: without the slash at its end; "" where it ended before it said it.
        link: the address as it says it: with its token, if it has one.
    """

    folder: Path
    options: Sequence[str] = ()
    environ: dict[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    port: int = 0
    address: str = ""
    link: str = ""
    process: subprocess.Popen[str] = field(init=False)
    name: str = field(default_factory=lambda: uuid4().hex)

    def start(self, **environ: str) -> bool:
        """Starts it; False where it ended before it said its address."""
        own = self.environ | environ | {"SERVER_NAME": self.name}
        with (self.folder / "stderr").open("a") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "picasso", "serve", *self.options, "--port", str(self.port)],
                cwd=self.folder,
                env=environment(self.folder, **own),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Tests that a shell started in the background ignore Ctrl-C, and so would what they start.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        assert self.process.stdout is not None
        said = re.match(r"Picasso is at ((http://[^/\s]+)/\S*) ", self.process.stdout.readline())
        self.link, self.address = said.groups() if said else ("", "")
        self.port = urlsplit(self.address).port or self.port
        return bool(said)

    def ready(self) -> Visitor:
        """Waits until its model is open; a visitor."""
        visitor = Visitor(self)
        wait_for(lambda: visitor.get("/health/ready").status == 200)
        return visitor

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended."""
        self.process.send_signal(number)

    def processes(self) -> list[psutil.Process]:
        """Those that live: itself, and those that it started, also where it is gone."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                zombie = process.status() == psutil.STATUS_ZOMBIE
                if not zombie and process.environ().get("SERVER_NAME") == self.name:
                    found.append(process)
        return found

    def ended(self) -> int:
        """Waits until it has ended and nothing of it is left; its exit status."""
        status = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        wait_for(lambda: not self.processes(), 30)
        return status

    def stop(self) -> None:
        """Tells it to end, if it has not ended, and ends it at once where it does not."""
        with suppress(subprocess.TimeoutExpired):
            self.tell(signal.SIGTERM)
            self.process.wait(30)
        self.kill()

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        self.tell(signal.SIGKILL)
        self.ended()

    def log(self) -> str:
        """What it said of errors."""
        return (self.folder / "stderr").read_text()


@contextmanager
def serving(folder: Path, *options: str, prefix: Sequence[str] = (), port: int = 0, **environ: str) -> Iterator[Server]:
    """`picasso serve`, up to the line with its address; afterwards it is told to end, if it has not, and ends well."""
    server = Server(folder, options, environ, prefix, port)
    started = server.start()
    try:
        assert started, server.log()
        yield server
    finally:
        server.stop()
    assert server.process.returncode == 0, server.log()
