"""What is counted while the web process lives, for Prometheus (`web/scraping.py` writes it out).

Labels have values out of short lists that no visitor can lengthen: routes as they are declared, visualizations that are
installed, states, codes of errors.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

SECONDS_OF_REQUESTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10, 60)
SECONDS_OF_RUNS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 900, 3600)

disable_created_metrics()  # type: ignore[no-untyped-call]  # each series would have another: when it began
REGISTRY = CollectorRegistry()

REQUESTS = Counter("picasso_requests", "Requests answered", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "picasso_request_seconds",
    "Seconds from a request's arrival in the application to its answer",
    ["route"],
    buckets=SECONDS_OF_REQUESTS,
    registry=REGISTRY,
)
RUNS_ENDED = Counter("picasso_runs_ended", "Runs that ended", ["visualization", "outcome"], registry=REGISTRY)
RUN_SECONDS = Histogram(
    "picasso_run_seconds",
    "Seconds from a run's start in a worker to its end",
    ["visualization"],
    buckets=SECONDS_OF_RUNS,
    registry=REGISTRY,
)
MODEL_CALLS = Counter(
    "picasso_model_calls", "Images that runs which are done sent through a model", ["visualization"], registry=REGISTRY
)
UPLOADS = Counter("picasso_uploads", "Uploaded files, by what came of them", ["outcome"], registry=REGISTRY)
