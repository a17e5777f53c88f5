"""A project whose visualization counts how often it is executed, and does to its process whatever a fault needs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from serving import Server, tiny_project
from visitors import Visitor

PROJECT = Path(__file__).with_name("project")
SETTINGS = 'VISUALIZATION_FOLDERS = ["plugins"]\nimport dying\n'


def make_project(folder: Path) -> Path:
    """Copies the project; its config file."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tiny_project(folder, SETTINGS)


def executions(folder: Path) -> Counter[str]:
    """How often each mark was executed in a project."""
    log = folder / "executions"
    return Counter(log.read_text().split() if log.exists() else [])


def start(visitor: Visitor, mark: str = "", **settings: Any) -> str:
    """Starts a run of a visitor's first picture; its id. What is executed leaves `mark`, the run's own unless given."""
    if not visitor.images:
        assert visitor.upload().status == 201
    answer = visitor.start("counted", mark=mark or uuid4().hex, **settings)
    assert answer.status == 202, answer.text
    found: str = answer.json["id"]
    return found


MakeServer = Callable[..., Server]
