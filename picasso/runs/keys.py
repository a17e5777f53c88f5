"""When two runs must give the same numbers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from picasso import __version__
from picasso.models.info import ModelInfo
from picasso.runs.run import StoredImage
from picasso.visualizations.base import BaseVisualization


def run_key(
    info: ModelInfo | None,
    visualization: type[BaseVisualization],
    settings: Mapping[str, Any],
    images: Sequence[StoredImage],
    seed: int,
    classes: Sequence[int] = (),
) -> str | None:
    """A digest of everything that decides a result; None while the model is not known.

    Args:
        classes: those that a person chose to have explained.

    The names of the images count, because results show them; so does the visualization's own source.
    """
    if info is None:
        return None
    source = Path(inspect.getfile(visualization))
    parts = [
        __version__,
        info.fingerprint,
        info.functions,
        dict(info.versions),
        info.labels,
        visualization.name,
        visualization.version,
        sha256(source.read_bytes()).hexdigest() if source.is_file() else "",
        dict(settings),
        [(image.filename, image.digest) for image in images],
        seed,
        *classes,
    ]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
