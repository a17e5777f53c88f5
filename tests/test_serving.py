"""The HTTP server under load: what is quick does not wait behind what takes long, and what cannot wait is told so."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import request

from picasso import lanes
from picasso.app import create_app
from picasso.config import Config
from picasso.serving import make_server
from picasso.testing.engine import InProcessEngine
from picasso.web.security import FULL

PATIENCE = 30  # seconds


@dataclass
class Held:
    """A server of which some requests, to /held and uploads, are not answered before `opened`."""

    server: Any = None
    port: int = 0
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> tuple[str, int] | None:
        """Before each request."""
        if request.path not in ("/held", "/images") or FULL in request.environ:
            return None
        self.opened.wait(PATIENCE)
        return "", 204

    def ask(self, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
        """Status, Retry-After, body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers["Retry-After"], answer.read()

    def fill(self, stack: ExitStack, lane: str, path: str, method: str) -> list[HTTPConnection]:
        """As many requests as a lane takes; their answers are waited for later."""
        sent = []
        for _ in range(lanes.LANES[lane].threads + lanes.LANES[lane].waiting):
            sent.append(stack.enter_context(closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE))))
            sent[-1].request(method, path)
        deadline = time.monotonic() + PATIENCE
        while self.server.task_dispatcher.waiting()[lane] < lanes.LANES[lane].waiting:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return sent


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The application behind the real server, with short queues."""
    few = {name: lanes.Lane(lane.threads, 3) for name, lane in lanes.LANES.items()}
    monkeypatch.setattr(lanes, "LANES", few)
    found, engine, config = Held(), InProcessEngine(), Config(DATA_DIR=tmp_path)
    app = create_app(config, engine)
    engine.begin(app)
    app.before_request(found.hold)
    listener = socket.create_server(("127.0.0.1", 0))
    found.server, found.port = make_server(app, listener, config), listener.getsockname()[1]
    thread = threading.Thread(target=found.server.run)
    thread.start()
    yield found
    found.opened.set()
    found.server.task_dispatcher.shutdown()
    found.server.trigger.pull_trigger(lambda: found.server.asyncore.close_all(found.server._map))
    thread.join(10)
    engine.store.close()


@pytest.mark.parametrize(("lane", "path", "method"), [("others", "/held", "GET"), ("uploads", "/images", "POST")])
def test_a_full_lane_refuses_and_leaves_the_others_alone(held: Held, lane: str, path: str, method: str) -> None:
    with ExitStack() as stack:
        sent = held.fill(stack, lane, path, method)
        status, again, page = held.ask(path, method)
        assert (status, again) == (503, "5")
        assert b"Too many are asking this server at once" in page
        assert b"<h1>" in page
        for health in ("/health/live", "/api/v1/health/live"):
            assert held.ask(health)[0] == 200
        status, again, answer = held.ask("/status" if lane == "uploads" else "/api/v1/models")
        if lane == "uploads":
            assert status == 200
        else:
            assert (status, again, json.loads(answer)["error"]["code"]) == (503, "5", "busy")
        held.opened.set()
        assert {connection.getresponse().status for connection in sent} == {204}
    assert held.ask("/status")[0] == 200
