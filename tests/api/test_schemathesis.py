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
from programs import API, MakeProgram, Program
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from waitress import create_server

schemathesis.openapi.format("binary", strategies.sampled_from([picture(seed) for seed in range(3)]))

EXAMPLES = 10  # of each kind for each route
WAYS = 40  # along the links from one route to another
# What succeeds however the requests come out; how far links are followed is a matter of chance.
CERTAIN = {f"{method} {API}/{name}" for name in ("images", "runs") for method in ("GET", "POST")}
# No document can say what a model allows (a window is not larger than the input), nor which keys were used before.
ALLOWED_AT_THE_MOMENT = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422"]}}


@contextmanager
def served(program: Program) -> Iterator[str]:
    """The address of the application, served as `picasso serve` does it."""
    server = create_server(program.app, host="127.0.0.1", port=0, threads=4)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()


def led(document: dict[str, Any], images: list[str]) -> dict[str, Any]:
    """The document with what leads to runs and their files: the images there are; runs are done at once here."""
    asked = document["components"]["schemas"]["RunAsked"]["properties"]
    asked["images"]["items"]["enum"] = images
    asked["model"]["enum"] = document["components"]["schemas"]["ToExplain"]["properties"]["model"]["enum"] = ["model"]
    upload, start = (document["paths"][f"{API}/{name}"]["post"]["responses"] for name in ("images", "runs"))
    upload["201"]["links"]["Explain"]["x-schemathesis"] = {"merge_body": False}
    read = document["paths"][f"{API}/runs/{{run}}"]["get"]["responses"]
    start["202"]["links"] |= read["200"]["links"]
    return document


def failures(recorder: Any) -> list[str]:
    """What checks found wrong, each with the request that shows it."""
    return [
        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
        for checks in recorder.checks.values()
        for check in checks
        if check.failure_info
    ]


def successes(recorder: Any) -> list[str]:
    """The routes that were asked for what there is, and did it."""
    return [
        recorder.cases[name].value.operation.label
        for name, interaction in recorder.interactions.items()
        if interaction.response is not None
        and interaction.response.status_code < 300
        and interaction.request.method == recorder.cases[name].value.operation.method.upper()
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Hypothesis and Schemathesis about themselves
def test_schemathesis_finds_nothing(make_program: MakeProgram) -> None:
    program = make_program(MAX_IMAGES=100_000)  # what a session may hold is no matter of a single request
    images = [program.add(f"{seed}.png", seed) for seed in range(3)]
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {program.token}"},
            "seed": 1,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {"stateful": {"generation": {"max-examples": WAYS}}},
            "operations": [
                {"include-operation-id": ["upload", "start_run", "explain"], "checks": ALLOWED_AT_THE_MOMENT},
            ],
        }
    )
    found: list[str] = []
    succeeded: Counter[str] = Counter()
    with served(program) as address:
        schema = schemathesis.openapi.from_dict(led(program.get("openapi.json"), images), config=config)
        schema.config.update(base_url=address)
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                found.append(str(event.info))
            assert not isinstance(event, events.FatalError), event
            if isinstance(event, events.ScenarioFinished):
                found += failures(event.recorder)
                succeeded.update(successes(event.recorder))
    assert found == [], "\n".join(sorted(set(found)))
    assert not CERTAIN - succeeded.keys(), succeeded
