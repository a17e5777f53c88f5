"""A project whose server is up in a moment, and visitors to it.

Workers open the tiny model of `picasso.testing` in the place of a file, without TensorFlow. Its visualizations count
how often they are executed, and do to their process whatever a fault needs.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from laboratory import MNIST, wait_for
from serving import start_serving

CONFIG = """
import dying

MODEL_PATH = "tiny.model"
MODEL_PREPROCESS = "tiny:preprocess"
VISUALIZATION_FOLDERS = ["plugins"]
DATA_DIR = "data"
"""
TINY = """
from picasso.models import opening
from picasso.testing.model import TinyModel

opening._open = lambda config, path: TinyModel()

def preprocess(images):
    raise AssertionError("the tiny model has its own")
"""
DYING = '''
"""In a server that is told DIE_AT=n: ends it with SIGKILL at its n-th step.

A step is a statement that changes the database, or a change of a file in the data folder. At the end, `steps` has how
many there were.
"""

import atexit, itertools, os, signal, sqlite3, sys
from pathlib import Path

WRITING = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "ALTER", "CREATE")
FILES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
DATA = str(Path(__file__).with_name("data"))
DIE_AT = int(os.environ.get("DIE_AT", 0))
steps = itertools.count(1)

def step():
    if next(steps) == DIE_AT:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    if event in FILES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
        if str(arguments[0]).startswith(DATA):
            step()

def connect(*arguments, connect=sqlite3.connect, **more):
    connection = connect(*arguments, **more)
    connection.set_trace_callback(lambda statement: step() if statement.startswith(WRITING) else None)
    return connection

if "DIE_AT" in os.environ:
    sqlite3.connect = connect
    sys.addaudithook(watch)
    atexit.register(lambda: Path(__file__).with_name("steps").write_text(str(next(steps) - 1)))
'''
PLUGIN = """
import ctypes, os, time
from pathlib import Path

import numpy as np

from picasso.visualizations.base import BaseVisualization, Field, Settings

class {name}(BaseVisualization):
    description = "For tests"

    class settings(Settings):
        mark: str = Field("", description="What is written down when it is executed")
        seconds: float = Field(0.0, ge=0, le=600, description="How long it takes")

    def make_visualization(self, inputs, output_dir, settings):
        with Path(__file__).parent.with_name("executions").open("a") as log:
            log.write(settings.mark + "\\n")
{body}
        return [{{"mark": settings.mark, "pid": os.getpid(), "maps": [np.ones((9, 9))] * 3}} for _ in inputs]
"""
BODIES = {
    "Counted": """
end = time.monotonic() + settings.seconds
while time.monotonic() < end:
    self.progress(1 - (end - time.monotonic()) / settings.seconds, "Counting")
    time.sleep(0.05)""",
    "Exits": "os._exit(3)",
    "Killed": "os.kill(os.getpid(), 9)",
    "Aborts": "os.abort()",
    "Segfaults": "ctypes.string_at(0)",
    "TakesMemory": """
taken = []
while True:
    taken.append(b"x" * 2**24)
    time.sleep(0.01)""",
    "DiesOnce": """
mark = Path(__file__).with_name("died")
if not mark.exists():
    mark.touch()
    os._exit(3)""",
    "Hangs": """
self.progress(0.5, "Hanging")
while True:
    time.sleep(0.1)""",
    # One call in C that never lets another thread of this process run.
    "HoldsTheLock": """
self.progress(0.5, "Hanging")
time.sleep(1)
ctypes.PyDLL(None).sleep(600)""",
}


def make_project(folder: Path) -> Path:
    """Writes a project; its config file."""
    plugins = folder / "plugins"
    plugins.mkdir(parents=True)
    for name, body in BODIES.items():
        lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
        (plugins / f"{name.lower()}.py").write_text(PLUGIN.format(name=name, body=lines))
        (plugins / f"{name}.html").write_text('{% extends "result.html" %}')
    for name, content in {"config": CONFIG, "tiny": TINY, "dying": DYING}.items():
        (folder / f"{name}.py").write_text(content)
    (folder / "tiny.model").touch()
    return folder / "config.py"


def executions(folder: Path) -> Counter[str]:
    """How often each mark of a project's visualizations was executed."""
    log = folder / "executions"
    return Counter(log.read_text().split() if log.exists() else [])


class Gone(Exception):
    """The server does not answer: it was ended."""


@dataclass
class Visitor:
    """Somebody with a session and a picture: a program, by its token, and a browser, by its cookie."""

    server: Server
    token: str = ""
    images: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def ask(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        """Status and body of an answer.

        Raises:
            Gone: there is none.
        """
        headers = {"Content-Type": kind} if kind else {}
        if self.token and path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.server.address}{path.lstrip('/')}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, HTTPException) as error:
            raise Gone(str(error)) from error

    def json(self, method: str, path: str, content: Any = None) -> Any:
        """The content of an answer that must be a success; None for one without content."""
        body = None if content is None else json.dumps(content).encode()
        status, data = self.ask(method, f"/api/v1/{path}", body, "application/json" if body else "")
        assert 200 <= status < 300, (status, data)
        return json.loads(data) if data else None

    def upload(self, name: str = "three.png") -> str:
        """Adds a picture; its id."""
        edge = uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        png = (MNIST / "samples" / "three.png").read_bytes()
        body = head.encode() + png + f"\r\n--{edge}--\r\n".encode()
        status, data = self.ask("POST", "/api/v1/images", body, f"multipart/form-data; boundary={edge}")
        assert status == 201, data
        answer = json.loads(data)
        self.token = answer["session"]["token"]
        self.images.append(answer["images"][0]["id"])
        return self.images[-1]

    def start(self, visualization: str = "counted", mark: str = "", seconds: float = 0.0) -> str:
        """Starts a run; its id. What is executed leaves `mark`, the run's own unless given."""
        if not self.images:
            self.upload()
        settings = {"mark": mark or uuid4().hex, "seconds": seconds}
        content = {"visualization": visualization, "images": self.images[:1], "settings": settings}
        found: str = self.json("POST", "runs", content)["id"]
        return found

    def run(self, run: str) -> dict[str, Any]:
        """A run as it is now."""
        found: dict[str, Any] = self.json("GET", f"runs/{run}")
        return found

    def wait(self, run: str, *states: str) -> dict[str, Any]:
        """Waits until a run is in one of these states; any finished one unless given."""
        wanted = states or ("done", "failed", "cancelled", "interrupted")
        found: dict[str, Any] = wait_for(lambda: now if (now := self.run(run))["state"] in wanted else None)
        return found

    def page(self, path: str) -> str:
        """A page as text; it must be one that could be made."""
        status, data = self.ask("GET", path)
        assert status == 200, data
        return data.decode()

    def run_again(self, run: str) -> str:
        """Uses the button on a run's page; the new run."""
        assert f'action="/runs/{run}/again"' in self.page(f"/runs/{run}/")
        before = self.known()
        assert self.ask("POST", f"/runs/{run}/again", b"")[0] == 200  # the page of the new run
        (new,) = self.known() - before
        return new

    def known(self) -> set[str]:
        """The runs of this session."""
        return {run["id"] for run in self.json("GET", "runs?limit=100")["runs"]}


@dataclass
class Server:
    """`picasso serve` for a project; it may be started again and again, at the same address."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    address: str = ""
    process: subprocess.Popen[str] | None = None
    port: int = 0  # the same at every start, so that cookies stay valid
    name: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, **environ: str) -> bool:
        """Starts it; False where it ended before it said its address."""
        options = ("--config", str(self.folder / "config.py"), "--port", str(self.port))
        self.process, self.address = start_serving(
            self.folder, *options, SERVER_NAME=self.name, **self.environ, **environ
        )
        return bool(self.address)

    def ready(self) -> Visitor:
        """Waits until its model is open; a visitor."""
        visitor = Visitor(self)
        wait_for(lambda: visitor.ask("GET", "/api/v1/health/ready")[0] == 200)
        return visitor

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal."""
        assert self.process is not None
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
        assert self.process is not None
        status = self.process.wait(60)
        self.process.communicate()
        wait_for(lambda: not self.processes(), 30)
        return status

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        if self.process is not None and self.process.poll() is None:
            self.tell(signal.SIGKILL)
            self.ended()

    def log(self) -> str:
        """What it said of errors."""
        return (self.folder / "stderr").read_text()


MakeServer = Callable[..., Server]
