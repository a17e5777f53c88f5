"""A hundred visitors at once, for some seconds; `make load` has them come for long, in all their kinds."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from serving import serving
from waiting import PATIENCE

MNIST = Path(__file__).resolve().parents[2] / "examples" / "mnist-keras"
VISITORS = 100
SECONDS = 3  # after which nobody begins anew
WORK = {"class-probabilities": "classes", "occlusion": "window", "saliency": "samples"}


class Visitor:
    """A program that uploads, runs, reads and deletes; it waits where it is told to."""

    def __init__(self, url: str, number: int, stop: threading.Event) -> None:
        self.url, self.random, self.stop = url, Random(number), stop
        self.client = requests.Session()
        self.statuses: Counter[int] = Counter()
        self.states: Counter[str] = Counter()

    def ask(self, method: str, path: str, **sent: Any) -> requests.Response:
        """An answer that does not say to come again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.client.request(method, f"{self.url}{path}", timeout=PATIENCE, **sent)
            self.statuses[answer.status_code] += 1
            if answer.status_code not in (429, 503):
                assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
                return answer
            assert time.monotonic() < deadline
            time.sleep(int(answer.headers["Retry-After"]) * self.random.uniform(0.5, 1))

    def come(self) -> None:
        """Once, and again until it is time to stop."""
        while True:
            self.client.headers.pop("Authorization", None)
            self.client.cookies.clear()
            self.visit()
            if self.stop.is_set():
                return

    def visit(self) -> None:
        """One session, with one run to its end."""
        file = self.random.choice(sorted((MNIST / "samples").iterdir()))
        uploaded = self.ask("POST", "/api/v1/images", files={"file": (file.name, file.read_bytes())}).json()
        self.client.headers["Authorization"] = f"Bearer {uploaded['session']['token']}"
        name = self.random.choice(sorted(WORK))
        body = {
            "visualization": name,
            "images": [uploaded["images"][0]["id"]],
            "settings": {WORK[name]: self.random.randint(4, 10)},
        }
        run = self.ask("POST", "/api/v1/runs", json=body).json()
        deadline = time.monotonic() + PATIENCE
        while run["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, run
            time.sleep(0.3)
            run = self.ask("GET", run["url"]).json()
        self.states[run["state"]] += 1
        bundle = zipfile.ZipFile(io.BytesIO(self.ask("GET", run["bundle"]).content))
        assert bundle.testzip() is None
        assert "manifest.json" in bundle.namelist()
        self.ask("DELETE", run["url"])


def ask_for_health(url: str, stop: threading.Event) -> Counter[int]:
    """The statuses of the answers."""
    statuses: Counter[int] = Counter()
    while not stop.wait(0.1):
        statuses[requests.get(f"{url}/health/live", timeout=30).status_code] += 1
    return statuses


@pytest.mark.slow
def test_a_hundred_at_once_are_answered_and_nothing_is_lost(tmp_path: Path) -> None:
    stop, over = threading.Event(), threading.Event()
    config = str(MNIST / "config.py")
    with serving(tmp_path, "--config", config) as server, ThreadPoolExecutor(VISITORS + 1) as threads:
        server.ready()
        health = threads.submit(ask_for_health, server.address, over)
        visitors = [Visitor(server.address, number, stop) for number in range(VISITORS)]
        visits = [threads.submit(visitor.come) for visitor in visitors]
        try:
            stop.wait(SECONDS)
            stop.set()
            for one in visits:
                one.result()
        finally:
            stop.set()
            over.set()
        states = sum((visitor.states for visitor in visitors), Counter[str]())
        statuses = sum((visitor.statuses for visitor in visitors), Counter[int]())
        assert states.keys() == {"done"}
        assert states.total() >= VISITORS
        assert statuses.keys() <= {200, 201, 202, 204, 429, 503}
        assert health.result().keys() == {200}
        for visitor in visitors:
            visitor.client.close()
    assert "Traceback" not in server.log()
