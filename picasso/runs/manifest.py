"""What is written beside a run's results: everything that decided them."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import Any

from picasso import __version__
from picasso.runs.run import Run, StoredImage
from picasso.runs.worker import Outcome
from picasso.visualizations.base import BaseVisualization

FORMAT = 1


def make_manifest(
    run: Run,
    key: str | None,
    visualization: type[BaseVisualization],
    images: Sequence[StoredImage],
    outcome: Outcome,
) -> dict[str, Any]:
    """JSON-able: model, its labels, images, visualization, settings, seed, versions, cost, and the packed results.

    "stopped" says how far the run was, 0..1, when it was ended early with what it had; null where it was not.
    """
    return {
        "format": FORMAT,
        "picasso": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "run": run.id,
        "key": key,
        "model": outcome.info.as_dict() if outcome.info else None,
        "labels": outcome.info.labels if outcome.info else (),
        "visualization": {"name": visualization.name, "title": visualization.title, "version": visualization.version},
        "settings": outcome.settings,
        "seed": run.seed,
        "images": [
            {"id": image.id, "filename": image.filename, "digest": image.digest, "size": [image.width, image.height]}
            for image in images
        ],
        "created": run.created,
        "written": time.time(),
        "seconds": outcome.seconds,
        "model_calls": outcome.calls,
        "stopped": outcome.stopped,
        "results": [packed.content for packed in outcome.results],
        "outputs": sorted(outcome.outputs),
    }
