"""Servers of a project that counts, and an engine over it: processes that faults are done to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "runs"))

from counting import MakeServer, make_project
from laboratory import Laboratory
from serving import Server

from picasso.config import load_config


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes a server that is not started, over a project of its own unless given; afterwards it is ended."""
    made: list[Server] = []

    def make(folder: Path | None = None, **environ: str) -> Server:
        config = make_project(tmp_path / f"project{len(made)}") if folder is None else folder / "config.py"
        made.append(Server(config.parent, ["--config", str(config)], environ))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """An engine over the project, for a module; its worker may have little memory."""
    folder = tmp_path_factory.mktemp("project") / "project"
    path = list(sys.path)
    config = load_config(make_project(folder), {"WORKER_MEMORY_LIMIT": "700MiB"}, {})
    made = Laboratory(config)
    made.engine.start()
    made.ready()
    yield made
    made.engine.close()
    sys.path[:] = path
