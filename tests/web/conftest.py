"""The application with the engine of `browsing`, and visitors to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import MNIST, ExaminingClient, InProcessEngine, MakeVisitor, TinyModel, Visitor, delete_sessions
from flask import Flask

from picasso.app import create_app
from picasso.config import Config
from picasso.models.base import Model

DIGITS = tuple("0123456789")
CAPABILITIES = frozenset({"predict", "gradients", "logits", "activations"})
SAMPLES = [str(MNIST / "samples" / f"{name}.png") for name in ("zero", "three")]


@pytest.fixture(scope="session")
def shared_engine() -> InProcessEngine:
    """The engine of whichever application a test has."""
    return InProcessEngine()


@pytest.fixture(scope="session")
def shared_app(shared_engine: InProcessEngine, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application of all tests that want no other settings: with the example plugin."""
    folder = tmp_path_factory.mktemp("web")
    config = Config(DATA_DIR=folder / "data", VISUALIZATION_FOLDERS=[MNIST.parent / "plugin"], SAMPLE_IMAGES=SAMPLES)
    app = create_app(config, shared_engine)
    app.test_client_class = ExaminingClient
    return app


@pytest.fixture
def engine(shared_engine: InProcessEngine) -> InProcessEngine:
    """The engine of the application."""
    return shared_engine


@pytest.fixture
def visitor(shared_app: Flask, engine: InProcessEngine) -> Iterator[Visitor]:
    """A visitor to the shared application, whose model is ready; nobody was there before, and nothing is left."""
    engine.begin(shared_app)
    engine.open(TinyModel(DIGITS, CAPABILITIES))
    yield Visitor(shared_app)
    delete_sessions(engine.store)


@pytest.fixture
def make_visitor(tmp_path: Path, engine: InProcessEngine) -> MakeVisitor:
    """Makes an application with these settings, and a visitor to it.

    `plugins` are files for a folder of visualizations; `model` is False while it is to be loading; `others` are more
    models by reference.
    """

    def make(
        *,
        plugins: dict[str, str] | None = None,
        model: bool = True,
        others: dict[str, Model] | None = None,
        read_again: Callable[[], Config] | None = None,
        labels: tuple[str, ...] = DIGITS,
        capabilities: frozenset[str] = CAPABILITIES,
        **settings: Any,
    ) -> Visitor:
        folders = list(settings.pop("VISUALIZATION_FOLDERS", []))
        if plugins is not None:
            for name, text in plugins.items():
                path = tmp_path / "plugins" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            folders.append(tmp_path / "plugins")
        settings.setdefault("SAMPLE_IMAGES", SAMPLES)
        config = Config(DATA_DIR=tmp_path / "data", VISUALIZATION_FOLDERS=folders, **settings)
        app = create_app(config, engine, read_again)
        app.test_client_class = ExaminingClient
        engine.begin(app)
        if model:
            engine.open(TinyModel(labels, capabilities), **(others or {}))
        return Visitor(app)

    return make
