"""The application with the engine of `tests/web`, and programs that talk to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import MNIST, InProcessEngine, TinyModel
from programs import Program

from picasso.app import create_app
from picasso.config import Config
from picasso.models.base import Model
from picasso.runs.roster import Roster

MakeProgram = Callable[..., Program]
CAPABILITIES = frozenset({"predict", "gradients", "logits", "activations"})


@pytest.fixture
def engine() -> InProcessEngine:
    """The engine of the application."""
    return InProcessEngine()


@pytest.fixture
def make_program(tmp_path: Path, engine: InProcessEngine) -> MakeProgram:
    """Makes an application with these settings, and a program that uses it.

    `model` is False while it is to be loading; `others` are more models by reference.
    """

    def make(*, model: bool = True, others: dict[str, Model] | None = None, **settings: Any) -> Program:
        settings.setdefault("VISUALIZATION_FOLDERS", [MNIST.parent / "plugin"])
        config = Config(DATA_DIR=tmp_path / "data", **settings)
        if model:
            engine.open(config, TinyModel(tuple("0123456789"), CAPABILITIES), **(others or {}))
        else:
            engine.roster = Roster(config)
        app = create_app(config, engine)
        engine.store = app.extensions["picasso"].store
        return Program(app)

    return make


@pytest.fixture
def program(make_program: MakeProgram) -> Program:
    """A program at an application with a ready model."""
    return make_program()
