"""What is written beside a run's results: everything that decided them."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from picasso import __version__
from picasso.models.info import ModelInfo
from picasso.runs.looking import Outcome
from picasso.runs.run import Run, StoredImage
from picasso.visualizations.base import BaseVisualization

FORMAT = 1


def decided_by(
    info: ModelInfo | None,
    visualization: type[BaseVisualization],
    settings: Mapping[str, Any],
    seed: int,
    classes: Sequence[int] = (),
) -> dict[str, Any]:
    """JSON-able: what, beside the images, decides a result, and where it was computed.

    Args:
        classes: those that a person chose to have explained.
    """
    return {
        "format": FORMAT,
        "picasso": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "model": info.as_dict() if info else None,
        "labels": info.labels if info else (),
        "visualization": {"name": visualization.name, "title": visualization.title, "version": visualization.version},
        "settings": dict(settings),
        "classes": list(classes),
        "seed": seed,
    }


def make_manifest(
    run: Run,
    key: str | None,
    visualization: type[BaseVisualization],
    images: Sequence[StoredImage],
    outcome: Outcome,
) -> dict[str, Any]:
    """JSON-able: what decided a run's results, its images, cost, and the packed results.

    "stopped" says how far the run was, 0..1, when it was ended early with what it had; null where it was not. "failed"
    says, by the ids of images, why there is null in the place of their results.
    """
    return decided_by(outcome.info, visualization, outcome.settings, run.seed) | {
        "run": run.id,
        "key": key,
        "images": [
            {"id": image.id, "filename": image.filename, "digest": image.digest, "size": [image.width, image.height]}
            for image in images
        ],
        "created": run.created,
        "written": time.time(),
        "seconds": outcome.seconds,
        "model_calls": outcome.calls,
        "stopped": outcome.stopped,
        "failed": {images[number].id: sentence for number, sentence in outcome.failed.items()},
        "results": [packed.content for packed in outcome.results],
        "outputs": sorted(outcome.outputs),
    }
