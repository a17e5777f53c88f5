"""When two runs must give the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from picasso import __version__
from picasso.models.info import ModelInfo
from picasso.runs.run import StoredImage
from picasso.visualizations.base import BaseVisualization


def run_key(
    info: ModelInfo | None,
    visualization: type[BaseVisualization],
    source: str,
    settings: Mapping[str, Any],
    images: Sequence[StoredImage],
    seed: int,
    classes: Sequence[int] = (),
) -> str | None:
    """A digest of everything that decides a result; None while the model is not known.

    The names of the images count, because results show them.

    Args:
        source: the digest of the visualization's own source, as it was or will be run.
        classes: those that a person chose to have explained.
    """
    if info is None:
        return None
    parts = [
        __version__,
        info.fingerprint,
        info.functions,
        dict(info.versions),
        info.labels,
        visualization.name,
        visualization.version,
        source,
        dict(settings),
        [(image.filename, image.digest) for image in images],
        seed,
        *classes,
    ]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
