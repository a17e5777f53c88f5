"""The HTTP server under load: what is quick does not wait behind what takes long, and what cannot wait is told so."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import request
from waiting import wait_for

from picasso import lanes
from picasso.access import HEADER
from picasso.app import create_app
from picasso.config import Config
from picasso.serving import STALLED, make_server
from picasso.testing.engine import InProcessEngine
from picasso.web.security import FULL

PATIENCE = 30  # seconds
TOKEN = "t" * 22
KNOWN = {HEADER: TOKEN}
GET = f"GET {{}} HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEADER}: {TOKEN}\r\n\r\n"
LARGE = 20 * 2**20  # bytes: more than waitress keeps for a connection before a thread waits, 16 MB


@dataclass
class Held:
    """A server of which some requests, to /held and uploads, are not answered before `opened`."""

    server: Any = None
    port: int = 0
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> tuple[str, int] | None:
        """Before each request."""
        if request.path == "/large":
            return "x" * LARGE, 200
        if request.path not in ("/held", "/images") or FULL in request.environ:
            return None
        self.opened.wait(PATIENCE)
        return "", 204

    def ask(self, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
        """Status, Retry-After, body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, headers=KNOWN)
            answer = connection.getresponse()
            return answer.status, answer.headers["Retry-After"], answer.read()

    def connect(self, sent: bytes) -> socket.socket:
        """A connection that has sent something, and takes no answer yet."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(sent)
        return connection

    def later(self, seconds: float) -> None:
        """Has the server look at its connections as if so much time had passed."""
        self.server.trigger.pull_trigger(lambda: self.server.maintenance(time.time() + seconds))

    def all_left(self, seconds: float) -> None:
        """Waits until it has no connection any more, looking at them as if so much time had passed, again and again."""
        wait_for(lambda: self.later(seconds) or not self.connections())

    def connections(self) -> int:
        """How many there are."""
        return len(self.server.active_channels)

    def fill(self, stack: ExitStack, lane: str, path: str, method: str) -> list[HTTPConnection]:
        """As many requests as a lane takes; their answers are waited for later."""
        sent = []
        for _ in range(lanes.LANES[lane].threads + lanes.LANES[lane].waiting):
            sent.append(stack.enter_context(closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE))))
            sent[-1].request(method, path, headers=KNOWN)
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
    found, engine, config = Held(), InProcessEngine(), Config(DATA_DIR=tmp_path, ACCESS_TOKEN=TOKEN)
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
    with suppress(OSError):  # another thread may have woken the server, so that it has closed what would wake it
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


# Connections of which nothing comes


def test_who_sends_many_requests_ahead_is_left(held: Held) -> None:
    with closing(held.connect(GET.format("/static/nothing.js").encode() * 100)) as connection:
        answers = b""
        with suppress(ConnectionError):
            while part := connection.recv(2**16):
                answers += part
        assert answers.count(b"HTTP/1.1") < 10
    assert held.ask("/status")[0] == 200


def test_who_takes_no_answer_is_left_after_a_while(held: Held) -> None:
    threads = lanes.LANES["others"].threads
    with ExitStack() as stack:
        for _ in range(threads):
            stack.enter_context(closing(held.connect(GET.format("/large").encode())))
        wait_for(lambda: sum(one.total_outbufs_len > 0 for one in held.server.active_channels.values()) == threads)
        held.later(STALLED / 3)
        assert held.ask("/health/live")[0] == 200
        assert held.connections() >= threads
        held.all_left(STALLED + 1)
        assert held.ask("/status")[0] == 200


def test_headers_that_do_not_end_are_waited_for_a_while(held: Held) -> None:
    with closing(held.connect(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")) as connection:
        wait_for(lambda: held.connections() == 1)
        held.later(STALLED / 3)
        connection.sendall(b"A: b\r\n")  # a line now and then does not help
        assert held.connections() == 1
        held.all_left(STALLED + 1)


def test_idle_connections_make_room(held: Held) -> None:
    held.server.adj.connection_limit = 30
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(closing(held.connect(b"G")))
            assert held.connections() <= 30
        assert held.ask("/health/live")[0] == 200


def test_the_body_of_a_stranger_is_not_received(held: Held) -> None:
    head = "POST /api/v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000000\r\n"
    for known, lines in ((False, ""), (True, f"{HEADER}: {TOKEN}\r\n")):
        with closing(held.connect(f"{head}{lines}\r\n".encode() + b"x" * 1000)) as connection:
            connection.settimeout(0.3 if known else PATIENCE)
            if known:
                with pytest.raises(TimeoutError):  # it waits for the rest
                    connection.recv(100)
            else:
                assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
