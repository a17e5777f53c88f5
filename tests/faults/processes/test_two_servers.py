"""Two servers over one data folder: each run runs once, also when one of them is killed."""

from __future__ import annotations

import signal

import pytest
from counting import MakeServer, executions, start
from visitors import Visitor
from waiting import wait_for

pytestmark = pytest.mark.slow
EACH = 8


def test_two_servers_do_each_run_once(make_server: MakeServer) -> None:
    servers = [make_server()]
    servers.append(make_server(servers[0].folder))
    for server in servers:
        server.start()
    first = servers[0].ready()
    assert first.upload().status == 201
    second = Visitor(servers[1], first.token, first.images)
    servers[1].ready()
    marks = {}
    for number in range(EACH):
        for visitor in (first, second):
            mark = f"{visitor.server.name}-{number}"
            marks[start(visitor, mark, seconds=0.2)] = mark
    long = start(first, "cancelled by the other", seconds=60)
    wait_for(lambda: any(first.run(run)["state"] == "done" for run in marks))

    servers[0].tell(signal.SIGKILL)
    assert servers[0].ended() == -signal.SIGKILL
    ends = {run: second.wait(run)["state"] for run in marks}
    counts = executions(servers[0].folder)
    assert set(ends.values()) <= {"done", "interrupted"}
    assert list(ends.values()).count("interrupted") <= 1  # the one that its worker had
    for run, state in ends.items():
        assert counts[marks[run]] == 1 if state == "done" else counts[marks[run]] <= 1

    # The long one is the second server's now; another one over the folder may cancel it.
    second.wait(long, "running")
    servers[0].start()
    first = Visitor(servers[0], second.token)
    assert first.json("DELETE", f"runs/{long}")["state"] == "cancelled"
    following = start(second)
    assert second.wait(following)["state"] == "done"  # long before the minute is over
    assert first.run(long)["state"] == "cancelled"
    assert [run for run in second.runs() if run["state"] in ("queued", "running")] == []
