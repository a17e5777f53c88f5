"""What servers leave behind that are gone, and what becomes of it."""

from __future__ import annotations

import time

from picasso.runs.catalogue import Catalogue
from picasso.runs.run import Run, State
from picasso.runs.store import Store

STOPPED = "The server stopped while this was running. Run it again."
OTHER_MODEL = "The server stopped before this began, and it has another model now. Run it again with that."


def take_over(store: Store, catalogue: Catalogue) -> None:
    """Makes the runs of servers that are gone this server's own; queued ones of models that it has go on."""
    for run in store.adopt_runs():
        if run.state is State.QUEUED and run.digest != catalogue.digest(run.model):
            _interrupt(store, run, OTHER_MODEL)


def settle(store: Store, run: Run) -> None:
    """Ends a running run that no worker has: it is done where its result was written whole, else interrupted."""
    manifest = store.manifest(run)
    if manifest is not None:
        store.finish_run(run, manifest)
        return
    store.drop_results(run)
    _interrupt(store, run, STOPPED)


def _interrupt(store: Store, run: Run, sentence: str) -> None:
    store.change_run(run.id, (run.state,), state=State.INTERRUPTED, finished=time.time(), error=sentence)
