"""Schemathesis makes requests from the OpenAPI document, right and wrong ones, and follows its links."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from browsing import picture
from hypothesis import strategies
from programs import API, Program
from schemathesis.config import ProjectConfig, SchemathesisConfig
from schemathesis.engine import events, from_schema

schemathesis.openapi.format("binary", strategies.sampled_from([picture(seed) for seed in range(3)]))

SECONDS = 45
# What a model allows, no document of the program can say: a name that there is not, a window larger than the input.
LIMITS_OF_THE_MODEL = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422"]}}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Hypothesis and Schemathesis about themselves
def test_schemathesis_finds_nothing(program: Program) -> None:
    program.start("occlusion", program.add())
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {program.token}"},
            "seed": 1,
            "max-time": SECONDS,
            "generation": {"max-examples": 15, "deterministic": True, "database": "none"},
            "phases": {"stateful": {"generation": {"max-examples": 25}}},
            "operations": [
                {"include-operation-id": ["start_run", "explain"], "checks": LIMITS_OF_THE_MODEL},
            ],
        }
    )
    schema = schemathesis.openapi.from_wsgi(f"{API}/openapi.json", program.app, config=config)
    found, asked = [], Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.append(str(event.info if hasattr(event, "info") else event.exception))
        if isinstance(event, events.ScenarioFinished):
            for name, checks in event.recorder.checks.items():
                asked[event.recorder.label] += 1
                found += [f"{check.name}: {check.failure_info.failure}" for check in checks if check.failure_info]
    print(asked)
    assert found == []
