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
def engine() -> InProcessEngine:
    """The engine of whichever application a test has."""
    return InProcessEngine()


@pytest.fixture(scope="session")
def applications() -> dict[str, Flask]:
    """Those that were made already, by their settings; each is like new for every test."""
    return {}


@pytest.fixture
def make_visitor(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, engine: InProcessEngine, applications: dict[str, Flask]
) -> Iterator[MakeVisitor]:
    """Gives an application with these settings, and a visitor to it; nobody was there before, and nothing is left.

    `plugins` are files for a folder of visualizations; `model` is False while it is to be loading; `others` are more
    models by reference. With plugins, or a config to `read_again`, the application is the test's own.
    """
    stores = []

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
        settings = {"SAMPLE_IMAGES": SAMPLES, **settings}
        own = plugins is not None or read_again is not None
        app = None if own else applications.get(repr(settings))
        if app is None:
            folder = tmp_path if own else tmp_path_factory.mktemp("web")
            if plugins is not None:
                settings["VISUALIZATION_FOLDERS"] = [*settings.get("VISUALIZATION_FOLDERS", []), folder / "plugins"]
            for name, text in (plugins or {}).items():
                path = folder / "plugins" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            app = create_app(Config(DATA_DIR=folder / "data", **settings), engine, read_again)
            app.test_client_class = ExaminingClient
            if not own:
                applications[repr(settings)] = app
        engine.begin(app)
        if model:
            engine.open(TinyModel(labels, capabilities), **(others or {}))
        stores.append(engine.store)
        return Visitor(app)

    yield make
    for store in stores:
        delete_sessions(store)


@pytest.fixture
def visitor(make_visitor: MakeVisitor) -> Visitor:
    """A visitor to an application with the example plugin and a ready model."""
    return make_visitor(VISUALIZATION_FOLDERS=[MNIST.parent / "plugin"])
