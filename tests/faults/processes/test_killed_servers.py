"""A server that is killed at any moment: nothing done is lost, nothing is half there, no run runs twice."""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from counting import MakeServer, executions, start
from long_forms import everything
from serving import Server
from visitors import FINISHED, Gone, Visitor
from waiting import wait_for

pytestmark = pytest.mark.slow
log = logging.getLogger(__name__)
MOMENTS = 50 if everything() else 6


@dataclass
class Known:
    """What a visitor was told of a run."""

    visitor: Visitor
    run: str
    mark: str
    done: Any = None  # its results, once they were seen
    deleting: bool = False


@dataclass
class Ledger:
    """All runs that were accepted."""

    server: Server
    known: list[Known] = field(default_factory=list)

    def start(self, visitor: Visitor, seconds: float = 0.1) -> Known:
        """A new run."""
        mark = f"run-{len(self.known)}-{time.monotonic_ns()}"
        self.known.append(Known(visitor, start(visitor, mark, seconds=seconds), mark))
        return self.known[-1]

    def visit(self) -> None:
        """What people do, in an order that has every kind of change: uploads, runs, a cancel, deletions, a reload."""
        visitor = self.server.ready()
        first, second, third = (self.start(visitor) for _ in range(3))
        first.done = visitor.wait(first.run)["results"]
        assert visitor.upload("another.png").status == 201
        self.delete(first)
        visitor.ask("POST", "/model/reload", b"")
        long = self.start(visitor, 60)
        second.done = visitor.wait(second.run)["results"]
        third.done = visitor.wait(third.run)["results"]
        visitor.wait(long.run, "running")
        self.delete(long)  # which cancels it
        fourth = self.start(visitor)
        fourth.done = visitor.wait(fourth.run)["results"]
        visitor.json("DELETE", f"images/{visitor.images.pop()}")
        self.start(visitor, 0.5)

    def delete(self, known: Known) -> None:
        """Cancels a run, or deletes it."""
        known.deleting = True
        known.visitor.json("DELETE", f"runs/{known.run}")

    def check(self, known: Known) -> str:
        """The state of a run, about which everything must be right; "" where it was deleted."""
        if known.deleting and known.visitor.get(f"/api/v1/runs/{known.run}").status == 404:
            return ""
        now = known.visitor.run(known.run)
        state: str = now["state"]
        folder = next(self.server.folder.glob(f"data/sessions/*/runs/{known.run}"), None)
        if state == "done":
            assert known.done in (None, now["results"])
            known.visitor.page(f"/runs/{known.run}/")
            for artifact in now["results"][0]["artifacts"]:
                assert known.visitor.get(artifact["url"]).status == 200
        else:
            assert known.done is None, "what was done is lost"
            assert state in {"queued", "running", "interrupted"} or (state == "cancelled" and known.deleting), now
            assert now["results"] == []
            if state in FINISHED:
                assert folder is None, "half a result is left"
            if state == "interrupted":
                assert "Run it again" in known.visitor.page(f"/runs/{known.run}/")
        return state

    def ended(self, known: Known) -> tuple[str, ...]:
        """The state in which a run ended, if it has."""
        state = self.check(known)
        return (state,) if state in {"", *FINISHED} else ()

    def settle(self) -> dict[str, int]:
        """Waits until every run has ended; how many ended in which way, each having been executed once at most."""
        ends: dict[str, int] = {}
        for known in self.known:
            (state,) = wait_for(lambda known=known: self.ended(known))
            counts = executions(self.server.folder)
            assert counts[known.mark] == 1 if state == "done" else counts[known.mark] <= 1, (known, state)
            ends[state or "deleted"] = ends.get(state or "deleted", 0) + 1
        return ends


def run_again(known: Known) -> str:
    """Uses the button on a run's page; the new run."""
    assert f'action="/runs/{known.run}/again"' in known.visitor.page(f"/runs/{known.run}/")
    before = {run["id"] for run in known.visitor.runs()}
    assert known.visitor.ask("POST", f"/runs/{known.run}/again", b"").status == 200  # the page of the new run
    (new,) = {run["id"] for run in known.visitor.runs()} - before
    return str(new)


@pytest.mark.timeout(3600)
def test_a_server_that_is_killed_at_any_moment(make_server: MakeServer) -> None:
    server = make_server()
    ledger = Ledger(server)
    server.start(DIE_AT="0")
    began = time.monotonic()
    ledger.visit()
    seconds = time.monotonic() - began
    ledger.settle()  # in order: what is under way is not started again
    server.tell(signal.SIGTERM)
    assert server.ended() == 0
    steps = int((server.folder / "steps").read_text())
    assert steps > 50

    chance = random.Random(7)
    for number in range(MOMENTS):
        part = chance.uniform(number / MOMENTS, (number + 1) / MOMENTS)  # from the start to the end of a visit
        by_step = number % 3 != 2  # else at a time: most often while something is computed
        began_well = server.start(DIE_AT=str(1 + int(part * steps)) if by_step else "0")
        if not by_step:
            threading.Timer(part * seconds, server.tell, [signal.SIGKILL]).start()
        try:
            if began_well:
                for known in ledger.known[-10:]:
                    ledger.check(known)
                ledger.visit()
            server.tell(signal.SIGKILL)  # it got further than it was to get
        except Gone:
            pass
        assert server.ended() == -signal.SIGKILL
        log.info("moment %d, %.2f of a visit: %d runs so far", number, part, len(ledger.known))

    assert server.start()
    server.ready()
    ends = ledger.settle()
    log.info("%d moments: %s", MOMENTS, ends)
    assert ends["done"] >= MOMENTS
    for known in [known for known in ledger.known if ledger.check(known) == "interrupted"][:2]:
        again = run_again(known)
        assert known.visitor.wait(again)["state"] == "done"
        assert executions(server.folder)[known.mark] <= 2


def test_a_worker_in_a_call_that_never_returns_ends_with_its_server(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    visitor = server.ready()
    run = start(visitor, fault="holds-the-lock")
    wait_for(lambda: visitor.run(run)["message"] == "Hanging")
    time.sleep(1.5)  # by now it is inside the call
    server.kill()
