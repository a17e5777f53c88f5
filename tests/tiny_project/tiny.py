"""Has workers open the tiny model of `picasso.testing` in the place of a file, without TensorFlow."""

from __future__ import annotations

from typing import Any

from picasso.models import opening
from picasso.testing.model import TinyModel

opening._open = lambda config, path: TinyModel()


def preprocess(images: Any) -> Any:
    """What the config names, so that workers import this module."""
    raise AssertionError("the tiny model has its own")
