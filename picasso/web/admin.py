"""The administrator's page, and the same for Prometheus: how the server is, and nothing of what visitors look at."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Response, render_template
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from picasso.runs.overview import overview, reason
from picasso.runs.run import Run, State
from picasso.web.blueprint import Answer, blueprint
from picasso.web.scraping import exposition
from picasso.web.security import require_administrator
from picasso.web.services import services

UNFINISHED = (State.QUEUED, State.RUNNING)
FAILED = (State.FAILED, State.INTERRUPTED)
SHOWN = 20  # runs in each list
SHORT = 8  # digits of an id that tell runs apart; the log has whole ones


@dataclass(frozen=True)
class RunLine:
    """A run as the administrator sees it.

    Attributes:
        title, model: what pages call them.
        since: seconds since it was asked for, started or ended, whichever was last.
        reason: why it failed; "" where it did not.
    """

    run: Run
    title: str
    model: str
    since: float
    reason: str


@dataclass(frozen=True)
class ModelLine:
    """A model as the administrator sees it. `error` is "" where nothing is wrong."""

    label: str
    state: str
    error: str
    versions: tuple[tuple[str, str], ...]


@blueprint.get("/admin")
def administration() -> Answer:
    """How the server is, for the administrator: processes, disk, models, all visitors' runs without their pictures."""
    require_administrator()
    found = services()
    unfinished = found.store.runs_in(UNFINISHED, SHOWN, newest=False)
    unfinished.sort(key=lambda run: run.state is State.QUEUED)  # those that run first
    lines = list(_lines(unfinished))
    return render_template(
        "admin.html",
        now=overview(found.store, found.engine, found.disk),
        config=found.config,
        up=time.time() - found.started,
        draining=found.draining.is_set(),
        unfinished=lines,
        failures=list(_lines(found.store.runs_in(FAILED, SHOWN, newest=True))),
        runs_of_workers={line.run.id: line for line in lines},
        labels={choice.reference: choice.label for choice in found.engine.roster.choices()},
        models=list(_models()),
        broken=found.registry.broken,
        python=platform.python_version(),
        short=SHORT,
    )


@blueprint.get("/metrics")
def metrics() -> Answer:
    """Numbers for Prometheus, for the administrator."""
    require_administrator()
    found = services()
    text = exposition(overview(found.store, found.engine, found.disk), found.started)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _lines(runs: list[Run]) -> Iterator[RunLine]:
    registry, roster = services().registry.visualizations, services().engine.roster
    labels = {reference: roster.label(reference) for reference in {run.model for run in runs}}
    for run in runs:
        since = max(0.0, time.time() - (run.finished or run.started or run.created))
        why = reason(services().store, run) if run.error else ""
        title = registry[run.visualization].title if run.visualization in registry else run.visualization
        yield RunLine(run, title, labels[run.model], since, why)


def _models() -> Iterator[ModelLine]:
    roster = services().engine.roster
    for choice in roster.choices():
        status = services().engine.status(choice.reference)
        versions = status.info.versions if status.info else ()
        yield ModelLine(choice.label, status.state, status.error.message if status.error else "", versions)
