"""What becomes of a run that a worker was given: its result is kept, it fails and says why, or it is queued again."""

from __future__ import annotations

import logging
import time

from picasso import metrics
from picasso.config import MEBIBYTE
from picasso.disk import no_space
from picasso.errors import NotFound, PicassoError, TooLarge, WorkerLost
from picasso.runs.keys import run_key
from picasso.runs.looking import Outcome
from picasso.runs.manifest import make_manifest
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.visualizations.discovery import Registry

log = logging.getLogger(__name__)

ATTEMPTS = 2  # a run whose worker dies is tried once more


def finish(store: Store, registry: Registry, run: Run, outcome: Outcome, limit: int) -> None:
    """A worker gave an outcome: the run is done and its result kept, or it has failed.

    Args:
        limit: bytes that the run's session may keep in all.
    """
    if outcome.error is not None:
        fail(store, run, outcome.error)
        return
    try:
        _keep(store, registry, run, outcome, limit)
    except (NotFound, TooLarge) as error:  # NotFound: most often the session was deleted, and the run with it
        fail(store, run, error)
    except Exception as error:  # whatever a visualization gave, the runs behind it go on
        store.drop_results(run)
        full = no_space(error, "The result was not kept")
        log.warning("The result could not be kept: %s", error, exc_info=full is None)
        fail(store, run, full or PicassoError(f"The result could not be kept: {type(error).__name__}: {error}"))


def lose_worker(store: Store, run: Run, reason: str) -> None:
    """The worker that had a run has died: the run is queued once more, and fails when that happens again.

    Args:
        reason: how the worker ended, in words; "" where that is not known.
    """
    if run.attempts + 1 < ATTEMPTS:
        queue_again(store, run, run.attempts + 1)
        return
    reason = reason or "it ran out of memory, or the model or the visualization crashed it"
    sentence = (
        f"The worker process died twice during this run: {reason}. Try fewer or smaller pictures, or other settings."
    )
    fail(store, run, WorkerLost(sentence))


def queue_again(store: Store, run: Run, attempts: int) -> None:
    """A running run waits for a worker once more.

    Args:
        attempts: how many of its tries count so far.
    """
    store.change_run(
        run.id, (State.RUNNING,), state=State.QUEUED, progress=0.0, message="", started=None, attempts=attempts
    )


def fail(store: Store, run: Run, error: PicassoError) -> None:
    """A running run has failed."""
    store.change_run(
        run.id,
        (State.RUNNING,),
        state=State.FAILED,
        finished=time.time(),
        message="",
        error_code=error.code,
        error=error.message,
    )


def _keep(store: Store, registry: Registry, run: Run, outcome: Outcome, limit: int) -> None:
    """Writes a result, and that the run is done.

    Raises:
        NotFound: the session, a picture or the visualization is gone.
        TooLarge: the session may not keep so much.
    """
    images = [store.image(run.session, image) for image in run.images]
    visualization = registry.get(run.visualization)
    whole = outcome.stopped is None
    key = run_key(outcome.info, visualization, outcome.source, outcome.settings, images, run.seed) if whole else None
    files = {name: data for packed in outcome.results for name, data in packed.files.items()}
    files |= {f"output.{name}": data for name, data in outcome.outputs.items()}
    size = sum(map(len, files.values()))
    if store.session_bytes(run.session) + size > limit:
        raise TooLarge(
            f"The result has {size / MEBIBYTE:,.0f} MiB, and this session may keep {limit / MEBIBYTE:,.0f} MiB "
            "in all. Choose fewer pictures or a larger stride, or start over."
        )
    manifest = make_manifest(run, key, visualization, images, outcome)
    store.write_results(run, files, manifest)
    metrics.MODEL_CALLS.labels(run.visualization).inc(outcome.calls)
    store.finish_run(run, manifest)
