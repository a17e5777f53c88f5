"""The application with the engine of `tests/web`, under the settings of each test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import MNIST, ExaminingClient, InProcessEngine, MakeVisitor, TinyModel, Visitor

from picasso.app import create_app
from picasso.config import Config

CAPABILITIES = frozenset({"predict", "gradients", "logits", "activations"})


def make(folder: Path, *, labels: tuple[str, ...] = tuple("0123456789"), **settings: Any) -> Visitor:
    """A visitor to an application of its own."""
    settings.setdefault("SAMPLE_IMAGES", [str(MNIST / "samples" / "zero.png")])
    config = Config(DATA_DIR=folder / "data", **settings)
    engine = InProcessEngine()
    app = create_app(config, engine)
    engine.begin(app)
    engine.open(TinyModel(labels, CAPABILITIES))
    app.test_client_class = ExaminingClient
    return Visitor(app)


@pytest.fixture
def make_visitor(tmp_path: Path) -> MakeVisitor:
    """Makes an application with these settings, and a visitor to it."""
    return lambda **settings: make(tmp_path, **settings)


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An application with the usual settings, for tests that leave no trace in it but sessions."""
    return make(tmp_path_factory.mktemp("security"), VISUALIZATION_FOLDERS=[MNIST.parent / "plugin"]).app


@pytest.fixture
def visitor(shared_app: Any) -> Visitor:
    """A visitor to that application."""
    return Visitor(shared_app)
