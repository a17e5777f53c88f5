"""The metrics page: what was counted since the start, and how the server is now, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from picasso import __version__
from picasso.metrics import REGISTRY
from picasso.runs.overview import Overview

STATES_OF_WORKERS = ("idle", "running", "silent")


def exposition(now: Overview, started: float) -> bytes:
    """The page's text.

    Args:
        now: how the server is.
        started: when it was started, in seconds since 1970.
    """
    registry = CollectorRegistry()
    registry.register(_Now(now, started))
    return generate_latest(REGISTRY) + generate_latest(registry)


class _Now(Collector):
    """What is no count but a state: read when it is asked for, never kept up to date."""

    def __init__(self, now: Overview, started: float) -> None:
        self.now = now
        self.started = started

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        now = self.now
        yield _labelled("picasso_info", "The version, as a label", "version", {__version__: 1})
        yield _plain("picasso_start_time_seconds", "When the server was started, in seconds since 1970", self.started)
        yield _labelled("picasso_runs", "Runs that are kept, by state; the queue is state=queued", "state", now.runs)
        yield _plain("picasso_queue_oldest_seconds", "How long the oldest queued run has waited", now.oldest)
        yield _plain("picasso_sessions", "Sessions that are kept", now.sessions)
        states = Counter(dict.fromkeys(STATES_OF_WORKERS, 0))
        states.update(hand.state for hand in now.workers)
        yield _labelled("picasso_workers", "Worker processes, by what they are at", "state", states)
        yield CounterMetricFamily("picasso_workers_lost", "Worker processes that ended", value=now.lost)
        memory = {"web": now.memory} | {f"worker {number}": hand.memory for number, hand in enumerate(now.workers, 1)}
        yield _labelled("picasso_memory_bytes", "Resident memory of each process", "process", memory)
        if now.used is not None:
            yield _plain("picasso_data_bytes", "Bytes of the data folder, counted once a minute", now.used)
        yield _plain("picasso_disk_free_bytes", "Bytes that are free on the data folder's disk", now.free)
        yield _plain("picasso_disk_size_bytes", "Bytes of that disk", now.size)


def _plain(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _labelled(name: str, meaning: str, label: str, values: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family
