"""The application with the engine of `browsing`, and visitors to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import MNIST, ExaminingClient, InProcessEngine, MakeVisitor, TinyModel, Visitor
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache

from picasso.app import create_app
from picasso.config import Config
from picasso.models.base import Model


class CompiledTemplates(BytecodeCache):
    """Templates that were compiled by an earlier application: there is one for each test."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


Flask.jinja_options = {"bytecode_cache": CompiledTemplates()}


@pytest.fixture
def engine() -> InProcessEngine:
    """The engine of the application."""
    return InProcessEngine()


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
        labels: tuple[str, ...] = tuple("0123456789"),
        capabilities: frozenset[str] = frozenset({"predict", "gradients", "logits", "activations"}),
        **settings: Any,
    ) -> Visitor:
        folders = list(settings.pop("VISUALIZATION_FOLDERS", []))
        if plugins is not None:
            for name, text in plugins.items():
                path = tmp_path / "plugins" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            folders.append(tmp_path / "plugins")
        settings.setdefault("SAMPLE_IMAGES", [str(MNIST / "samples" / f"{name}.png") for name in ("zero", "three")])
        config = Config(DATA_DIR=tmp_path / "data", VISUALIZATION_FOLDERS=folders, **settings)
        app = create_app(config, engine, read_again)
        app.test_client_class = ExaminingClient
        engine.begin(app)
        if model:
            engine.open(TinyModel(labels, capabilities), **(others or {}))
        return Visitor(app)

    return make


@pytest.fixture
def visitor(make_visitor: MakeVisitor) -> Visitor:
    """A visitor to an application with the example plugin and a ready model."""
    return make_visitor(VISUALIZATION_FOLDERS=[MNIST.parent / "plugin"])
