"""The application with the engine of `tests/web`, and programs that talk to it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import MNIST, InProcessEngine, TinyModel
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from programs import CAPABILITIES, MakeProgram, Program

from picasso.app import create_app
from picasso.config import Config
from picasso.models.base import Model

Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache(tempfile.mkdtemp())}  # compiled by an earlier one


@pytest.fixture(scope="session")
def shared_engine() -> InProcessEngine:
    """The engine of the application that most tests share."""
    return InProcessEngine()


@pytest.fixture(scope="session")
def shared_app(shared_engine: InProcessEngine, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An application with a ready model."""
    return make_app(shared_engine, tmp_path_factory.mktemp("api"))


@pytest.fixture
def engine(shared_engine: InProcessEngine) -> Iterator[InProcessEngine]:
    """The shared engine; afterwards it is as before, and nothing of the test is left."""
    yield shared_engine
    shared_engine.waiting, shared_engine.error = False, None
    shared_engine.partials.clear()
    for folder in (shared_engine.store.folder / "sessions").iterdir():
        shared_engine.store.delete_session(folder.name)


@pytest.fixture
def program(shared_app: Flask, engine: InProcessEngine) -> Program:
    """A program at the shared application."""
    return Program(shared_app)


@pytest.fixture
def own_engine() -> InProcessEngine:
    """The engine of an application that a test has for itself."""
    return InProcessEngine()


@pytest.fixture
def make_program(tmp_path: Path, own_engine: InProcessEngine) -> MakeProgram:
    """Makes an application with these settings, and a program that uses it.

    `model` is False while it is to be loading; `others` are more models by reference.
    """
    return lambda **settings: Program(make_app(own_engine, tmp_path, **settings))


def make_app(
    engine: InProcessEngine,
    folder: Path,
    *,
    model: bool = True,
    others: dict[str, Model] | None = None,
    capabilities: frozenset[str] = CAPABILITIES,
    **settings: Any,
) -> Flask:
    """An application over that engine."""
    settings.setdefault("VISUALIZATION_FOLDERS", [MNIST.parent / "plugin"])
    config = Config(DATA_DIR=folder / "data", **settings)
    app = create_app(config, engine)
    engine.begin(app)
    if model:
        engine.open(TinyModel(tuple("0123456789"), capabilities), **(others or {}))
    return app
