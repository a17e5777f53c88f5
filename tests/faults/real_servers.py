"""Real servers with real worker processes, and visitors to them."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

SERVER = Path(__file__).with_name("tiny_server.py")
PATIENCE = 120.0  # seconds; how long a test waits for what should come much sooner


@dataclass
class Answer:
    """What came."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What a person reads of a page."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.body.decode())).split())


class Visitor:
    """A browser; or a program, once it has the token of a session."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""
        self.headers: dict[str, str] = {}
        self.jar = http.cookiejar.CookieJar()
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar)).open

    def ask(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> Answer:
        """Sends a request."""
        headers = self.headers | ({"Content-Type": kind} if kind else {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._open(request, timeout=60) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers)

    def get(self, path: str) -> Answer:
        """A page, or what REST answers."""
        return self.ask("GET", path)

    def form(self, path: str, **fields: Any) -> Answer:
        """Sends a form; a field may be a list, or a file (content, name)."""
        values = {
            name: FileStorage(BytesIO(value[0]), value[1]) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }
        boundary, data = encode_multipart(values)
        return self.ask("POST", path, data, f"multipart/form-data; boundary={boundary}")

    def post(self, path: str, content: Any) -> Answer:
        """Sends JSON."""
        return self.ask("POST", path, json.dumps(content).encode(), "application/json")

    def upload(self, name: str = "a.png", seed: int = 0, size: tuple[int, int] = (12, 16)) -> Answer:
        """By REST; keeps the token of the session."""
        answer = self.form("/api/v1/images", file=(picture(seed, size), name))
        if answer.status == 201:
            self.token = answer.json["session"]["token"]
        return answer

    def start(self, visualization: str, *images: str, **settings: Any) -> Answer:
        """A run."""
        return self.post("/api/v1/runs", {"visualization": visualization, "images": list(images), "settings": settings})

    def finished(self, run: str) -> Any:
        """A run once it has ended."""

        def ended() -> Any:
            found = self.get(f"/api/v1/runs/{run}")
            assert found.status == 200, found.text
            return found.json if found.json["state"] not in ("queued", "running") else None

        return wait_for(ended)


def picture(seed: int = 0, size: tuple[int, int] = (12, 16)) -> bytes:
    """A PNG of noise, which cannot be made smaller."""
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def wait_for(what: Callable[[], Any]) -> Any:
    """What `what` gives once it is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"Not within {PATIENCE:g} seconds: {what}")


@contextmanager
def server(
    folder: Path, data: Path, *options: str, prefix: list[str] | None = None, wait: bool = True, **environ: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server over the data folder `data`, its model open; its address without the last slash, and process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}
    environment = kept | {"PICASSO_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"} | environ
    log = folder / "stderr"
    with log.open("a") as stderr:
        process = subprocess.Popen(
            [*(prefix or []), sys.executable, str(SERVER), *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        found = re.match(r"Picasso is at (http://[^/\s]+)/", process.stdout.readline())
        assert found, log.read_text()
        if wait:
            visitor = Visitor(found[1])
            wait_for(lambda: visitor.get("/health/ready").status == 200)
        yield found[1], process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
