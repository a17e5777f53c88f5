"""A cluster's scheduler that goes away and comes back: runs wait, and pages say for what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from counting import MakeServer, start
from waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    made.add_worker("one", "--no-nanny")
    yield made
    made.close()


def test_runs_wait_for_a_scheduler_that_comes_back(make_server: MakeServer, cluster: Cluster) -> None:
    server = make_server(PICASSO_SCHEDULER=cluster.address)
    server.start()
    visitor = server.ready()
    assert visitor.wait(start(visitor))["state"] == "done"
    running, queued = start(visitor, seconds=2), start(visitor)
    visitor.wait(running, "running")

    cluster.kill("scheduler")
    cluster.kill("one")
    wait_for(lambda: "runs wait until it is there" in visitor.page(f"/runs/{running}/"))
    late = start(visitor)
    assert {visitor.run(run)["state"] for run in (running, queued, late)} == {"queued"}
    assert visitor.get("/api/v1/health/live").status == 200
    answer = visitor.get("/api/v1/health/ready")
    assert answer.status == 503
    assert cluster.address in answer.body.decode()
    for path in ("/", "/runs", "/visualizations/counted", "/visualizations/occlusion"):
        visitor.page(path)
    assert visitor.json("DELETE", f"runs/{queued}")["state"] == "cancelled"

    cluster.start_scheduler()
    cluster.add_worker("two", "--no-nanny")
    assert [visitor.wait(run)["state"] for run in (running, late)] == ["done", "done"]
    assert visitor.run(queued)["state"] == "cancelled"
    server.ready()
