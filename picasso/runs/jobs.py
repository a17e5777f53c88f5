"""Making the job of a run: what travels to the worker."""

from __future__ import annotations

from picasso.errors import NotFound
from picasso.runs.files import read_kept
from picasso.runs.run import Run, distinct_names
from picasso.runs.store import Store
from picasso.runs.worker import Job

PICTURES_GONE = "The pictures of this run are not there any more. Upload them again."


def make_job(store: Store, run: Run) -> Job:
    """A run with the bytes of its pictures.

    Raises:
        NotFound: a picture is gone.
    """
    try:
        images = [store.image(run.session, image) for image in run.images]
        pictures = tuple(
            (name, read_kept(store.image_path(image)))
            for name, image in zip(distinct_names(images), images, strict=True)
        )
    except (OSError, NotFound) as error:
        raise NotFound(PICTURES_GONE) from error
    return Job(run.id, run.visualization, run.settings, pictures, run.seed, run.model)
