"""Schemathesis makes requests from the OpenAPI document, right and wrong ones, and follows its links."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from browsing import picture
from hypothesis import strategies
from programs import API, Program
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from waitress import create_server

schemathesis.openapi.format("binary", strategies.sampled_from([picture(seed) for seed in range(3)]))

SECONDS = 400
# What a model allows, no document of the program can say: a name that there is not, a window larger than the input.
LIMITS_OF_THE_MODEL = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422"]}}


@contextmanager
def served(program: Program) -> Iterator[str]:
    """The address of the application, served as `picasso serve` does it."""
    server = create_server(program.app, host="127.0.0.1", port=0, threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


def failures(recorder: Any) -> list[str]:
    """What checks found wrong, each with the request that shows it."""
    return [
        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
        for checks in recorder.checks.values()
        for check in checks
        if check.failure_info
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Hypothesis and Schemathesis about themselves
def test_schemathesis_finds_nothing(program: Program) -> None:
    program.start("occlusion", program.add())
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {program.token}"},
            "seed": 1,
            "max-time": SECONDS,
            "generation": {"max-examples": 60, "deterministic": True, "database": "none"},
            "phases": {"stateful": {"generation": {"max-examples": 80}}},
            "operations": [
                {"include-operation-id": ["start_run", "explain"], "checks": LIMITS_OF_THE_MODEL},
            ],
        }
    )
    found: list[str] = []
    asked: Counter[str] = Counter()
    with served(program) as address:
        schema = schemathesis.openapi.from_url(f"{address}{API}/openapi.json", config=config)
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                found.append(str(event.info))
            assert not isinstance(event, events.FatalError), event
            if isinstance(event, events.ScenarioFinished):
                asked[event.recorder.label] += len(event.recorder.cases)
                found += failures(event.recorder)
                [
                    asked.update([(event.recorder.label, i.response.status_code if i.response else None)])
                    for i in event.recorder.interactions.values()
                ]
    print(asked)
    print("\n".join(sorted(set(found))))
    assert found == [], "\n".join(sorted(set(found)))
