"""A server that is told to end: nothing is lost, whatever was under way and however often it is told."""

from __future__ import annotations

import signal

import pytest
from counting import MakeServer, executions, start
from waiting import wait_for

pytestmark = pytest.mark.slow
DRAINING = 6  # seconds


def test_a_server_that_is_told_to_end(make_server: MakeServer) -> None:
    server = make_server()
    server.start(PICASSO_DRAIN_SECONDS=str(DRAINING))
    visitor = server.ready()
    short, long = start(visitor, "short", seconds=2), start(visitor, "long", seconds=3)
    visitor.wait(short, "running")
    server.tell(signal.SIGTERM)
    wait_for(lambda: visitor.get("/api/v1/health/ready").status == 503)
    assert "about to end" in visitor.get("/health/ready").json["error"]["message"]
    late = start(visitor, "late")  # visitors are still answered
    assert visitor.wait(short)["state"] == "done"
    assert server.ended() == 0
    assert executions(server.folder) == {"short": 1}

    server.start()  # told twice, and by Ctrl-C, while a run is under way
    visitor.wait(long, "running")
    wait_for(lambda: executions(server.folder)["long"] == 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        server.tell(number)
    assert server.ended() == 0

    server.start(PICASSO_DRAIN_SECONDS="600")  # told once more while it waits for its last runs
    server.ready()
    assert {visitor.run(run)["state"] for run in (long, late)} <= {"queued", "running"}
    visitor.wait(long, "running")
    server.tell(signal.SIGTERM)
    wait_for(lambda: visitor.get("/health/ready").status == 503)
    assert visitor.wait(long)["state"] == "done"
    assert visitor.run(late)["state"] == "queued"
    server.tell(signal.SIGINT)
    assert server.ended() == 0

    server.start()
    assert visitor.wait(late)["state"] == "done"
    assert executions(server.folder) == {"short": 1, "long": 2, "late": 1}
    assert "Traceback" not in server.log()
