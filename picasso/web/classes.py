"""Classes as results list them, and the same class in another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from picasso.errors import NotFound
from picasso.runs.run import Run
from picasso.web.views import run_labels


@dataclass(frozen=True)
class Class:
    """A class as one model has it; other models may have it at another place."""

    index: int
    label: str


def same_class(cls: Class, labels: Sequence[str], others: Sequence[str]) -> Class | None:
    """A class of one model as another has it: of the same name, and of the same number where there are several.

    Where the names are not known, the same number. None where the other model has no such class.
    """
    if not others or (cls.index < len(others) and others[cls.index] == cls.label):
        return cls
    mine = [index for index, label in enumerate(labels) if label == cls.label]
    theirs = [index for index, label in enumerate(others) if label == cls.label]
    if not theirs:
        return None
    nth = mine.index(cls.index) if cls.index in mine else 0
    return Class(theirs[min(nth, len(theirs) - 1)], cls.label)


def ranked(result: Any) -> list[Class]:
    """The classes that a result lists, the best first."""
    if result is None:
        return []
    found = result.get("predictions") or result.get("maps") or []
    return [Class(one.get("index", at), one["label"]) for at, one in enumerate(found)]


def known_labels(run: Run) -> tuple[str, ...]:
    """The names of all classes of the model that made a run; empty where they are not known (any more)."""
    try:
        return tuple(run_labels(run))
    except NotFound:
        return ()
