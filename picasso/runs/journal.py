"""What is written down and counted of a run, whoever asked for it and whatever ended it.

There is a line when it is queued, and one when it has ended. What an error says may name pictures: its code is kept.
"""

from __future__ import annotations

import logging
import sqlite3

from picasso import metrics

log = logging.getLogger(__name__)


def queued(run: str, visualization: str, images: int) -> None:
    """A run was asked for."""
    log.info("Run queued", extra={"run": run, "visualization": visualization, "images": images})


def ended(run: sqlite3.Row) -> None:
    """Called once for a run, with its row."""
    seconds = None
    metrics.RUNS_ENDED.labels(run["visualization"], run["state"]).inc()
    if run["started"] is not None and run["finished"] is not None:
        seconds = max(0.0, run["finished"] - run["started"])  # the clock may have been set back
        metrics.RUN_SECONDS.labels(run["visualization"]).observe(seconds)
    about = {name: run[name] for name in ("visualization", "state", "error_code", "attempts")}
    log.info("Run ended", extra={"run": run["id"], "seconds": seconds, **about})
