"""The Dask worker plugin: Dask sends it to every worker, also to those that come later or are started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from picasso import logs
from picasso.errors import ModelError
from picasso.runs import worker
from picasso.runs.lifeline import tie_to_server
from picasso.runs.parcel import Parcel


class PicassoWorker(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Makes a Dask worker one of Picasso's."""

    name = "picasso"

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel

    def setup(self, worker: Any) -> None:
        """Called by Dask in the worker process, again when a new parcel is registered."""
        _setup(self.parcel, Path(worker.local_directory))  # Dask deletes that folder with the worker


def _setup(parcel: Parcel, folder: Path) -> None:
    if parcel.here:
        tie_to_server()
    try:
        config = parcel.unpack(folder)
    except OSError as error:
        raise ModelError(f"What the config needs could not be written on the worker: {error}.") from error
    logs.set_up(config)
    worker.setup(config, parcel.token, parcel.plugins)
