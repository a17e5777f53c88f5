"""Engines of `laboratory`: one for a module, or one of its own for a test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from laboratory import Laboratory, descendants, mnist_config, wait_for, workers


@pytest.fixture
def make_laboratory(tmp_path: Path) -> Iterator[Callable[..., Laboratory]]:
    """Makes an engine of its own for one test; afterwards no process of it is left."""
    before = descendants()
    made: list[Laboratory] = []

    def make(*, start: bool = True, **settings: Any) -> Laboratory:
        laboratory = Laboratory(mnist_config(tmp_path, **settings))
        made.append(laboratory)
        if start:
            laboratory.engine.start()
        return laboratory

    yield make
    for laboratory in made:
        laboratory.engine.close()
    wait_for(lambda: not workers(descendants() - before), 30)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """One engine for a whole module."""
    before = descendants()
    folder = tmp_path_factory.mktemp("laboratory")
    made = Laboratory(mnist_config(folder))
    made.engine.start()
    assert made.ready().state == "ready"
    yield made
    made.engine.close()
    wait_for(lambda: not workers(descendants() - before), 30)
    shutil.rmtree(folder, ignore_errors=True)
