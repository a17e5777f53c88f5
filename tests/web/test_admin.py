"""The administrator's page, and the metrics."""

from __future__ import annotations

import re
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from prometheus_client.parser import text_string_to_metric_families

from picasso.errors import PluginError
from picasso.runs.run import State

DOCS = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
XSS = "<img src=x onerror=alert(1)>"


Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


def numbers(visitor: Visitor) -> Numbers:
    """Every sample of the metrics, by name and labels."""
    answer = visitor.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(found: Numbers, name: str, **labels: str) -> float:
    """One of them; 0 where it has not been counted yet."""
    return found.get((name, frozenset(labels.items())), 0.0)


def test_what_happens_is_counted(visitor: Visitor, engine: InProcessEngine) -> None:
    counted = [
        ("picasso_uploads_total", {"outcome": "accepted"}, 1),
        ("picasso_uploads_total", {"outcome": "damaged_image"}, 1),
        ("picasso_runs_ended_total", {"visualization": "hidden-halves", "outcome": "done"}, 1),
        ("picasso_runs_ended_total", {"visualization": "occlusion", "outcome": "cancelled"}, 1),
        ("picasso_run_seconds_count", {"visualization": "hidden-halves"}, 1),
        ("picasso_requests_total", {"method": "POST", "route": "/images", "status": "303"}, 1),
        ("picasso_request_seconds_count", {"route": "none"}, 2),
        ("picasso_sessions", {}, 1),
        ("picasso_runs", {"state": "queued"}, 1),
        ("picasso_runs", {"state": "done"}, 1),
    ]
    before = numbers(visitor)
    image = visitor.add("cat.png")
    visitor.upload(("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(50)), ("dog.png", b""))
    visitor.start("hidden-halves", image)
    engine.waiting = True
    engine.cancel(visitor.start("occlusion", image))
    visitor.start("saliency", image)
    for path in ("/nothing/1", "/nothing/2"):
        visitor.get(path)
    after = numbers(visitor)
    for name, labels, count in counted:
        assert value(after, name, **labels) - value(before, name, **labels) == count, (name, labels)
    assert value(after, "picasso_queue_oldest_seconds") > 0
    assert value(after, "picasso_memory_bytes", process="web") > 10e6
    assert value(after, "picasso_workers", state="idle") == 1


def test_the_docs_name_every_metric(visitor: Visitor) -> None:
    documented = set(re.findall("`(picasso_[a-z_]+)", DOCS.read_text(encoding="utf-8")))
    while "picasso_data_bytes" not in (text := visitor.get("/metrics").text):  # which is being counted
        time.sleep(0.01)
    assert documented == set(re.findall("^# TYPE (picasso_[a-z_]+)", text, re.M))


def test_nobody_can_add_series(visitor: Visitor) -> None:
    found: list[set[Any]] = []
    for number in range(3):
        program = {"Accept": "application/json"}  # quicker than pages
        visitor.get(f"/{number}", headers=program)
        visitor.client.open(f"/runs/{number}/", method=f"FORGED{number}", headers=program)
        visitor.post("/runs", {"visualization": f"no-{number}"}, headers=program)
        visitor.post("/images", {"file": (BytesIO(b"x"), f"{number}.png")}, headers=program)
        found.append(set(numbers(visitor)))
    assert found[1] == found[2]


def test_the_page_of_a_server_that_has_nothing_to_do(make_visitor: MakeVisitor) -> None:
    page = make_visitor(model=False).page("/admin")
    assert "No worker process" in page.text
    assert page.all("div", id="server")[0]["hx-get"] == "/admin"
    assert page.all("meta", content="10")  # without JavaScript


def test_runs_of_all_visitors_without_their_pictures(visitor: Visitor, engine: InProcessEngine) -> None:
    other = Visitor(visitor.app)
    engine.waiting = True
    failing = visitor.start("occlusion", visitor.add("holiday.png"), visitor.add("holiday.png", 1))
    engine.end(failing, State.FAILED, PluginError(f"holiday.png and holiday (2).png cannot be {XSS}."))
    other.start("saliency", other.add("secret.png"))
    page = visitor.page("/admin")
    assert f"… and … cannot be {XSS}." in page.text
    assert page.all("img") == []
    for hidden in ("holiday", "secret", visitor.session, other.session, failing.id):
        assert hidden not in page.text
    for shown in ("Saliency", "queued", "failed", failing.id[:8], "Tiny", "Worker 1"):
        assert shown in page.text
    visitor.post("/start-over")  # what a deleted session had is gone here too
    assert "… and …" not in visitor.page("/admin").text


def test_what_is_broken_is_said(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(plugins={"bad.py": "1 / 0"})
    page = visitor.page("/admin")
    assert "Broken visualizations" in page.text
    assert "bad.py" in page.text
    assert "ZeroDivisionError" in page.text


def test_a_scrape_reads_no_rows_of_runs(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10,000 runs as with ten: every question about all of them is answered by an index."""
    store = visitor.services.store
    asked: list[str] = []
    with store.database.transaction() as db:
        db.set_trace_callback(asked.append)
    visitor.get("/metrics")
    with store.database.transaction() as db:
        db.set_trace_callback(None)
        plans = [
            row["detail"]
            for text in asked
            if text.startswith("SELECT") and "FROM runs" in text
            for row in db.execute(f"EXPLAIN QUERY PLAN {text}")
        ]
    assert len(plans) >= 2
    assert [plan for plan in plans if "COVERING INDEX runs_by_state" not in plan and "TEMP" not in plan] == []


def test_health_waits_for_nobody(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the table, nor for whoever holds the lock on it."""

    def refuse() -> None:
        raise AssertionError("the table was read")

    monkeypatch.setattr(visitor.services.store.database, "transaction", refuse)
    for path in ("/health/live", "/health/ready", "/api/v1/health/live", "/api/v1/health/ready"):
        assert visitor.get(path).status_code == 200, path
