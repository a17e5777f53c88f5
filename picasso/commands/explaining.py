"""What `picasso explain` does: a model is opened once, images stream through it, results are told as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from picasso.commands.reporting import Report, report_repetition
from picasso.commands.terminal import asked_to_end, hushed_start, progress, stdout_alone
from picasso.errors import Cancelled, NotFound
from picasso.local.again import explainer_of, repeat
from picasso.local.explaining import Explainer
from picasso.local.files import image_files
from picasso.local.folder import ResultsFolder
from picasso.local.keeping import explain_files
from picasso.local.opened import open_model
from picasso.local.past import read_past
from picasso.local.pictures import Source


@dataclass(frozen=True)
class Given:
    """What the command line says of images and of what becomes of the results."""

    images: tuple[str, ...]
    out: Path | None
    as_json: bool

    def sources(self) -> Iterator[Source]:
        """The images, one after the other; each time anew."""
        return image_files(self.images, self.out)


def explain_images(
    given: Given,
    visualization: str,
    settings: dict[str, str],
    classes: Sequence[str],
    seed: int | None,
    model: str | None,
    config_file: Path | None,
) -> None:
    """Explains all images.

    Raises:
        PicassoError: nothing can be explained; or what went wrong with the first image of those that could not be.
    """
    if next(given.sources(), None) is None:  # before a model is opened for nothing
        raise NotFound(f"There are no image files in {', '.join(given.images)}.")
    with ExitStack() as stack:
        report = Report(stack.enter_context(stdout_alone()), given.out, given.as_json)
        with hushed_start():
            opened = open_model(model, config=config_file)
        stop = stack.enter_context(asked_to_end())
        explainer = Explainer(opened, visualization, settings, classes=classes, seed=seed, stop=stop)
        results = stack.enter_context(ResultsFolder(given.out).of(explainer.run)) if given.out else None
        try:
            with progress(lambda: sum(1 for _ in given.sources())) as told:
                for found in explain_files(explainer, given.sources(), results, told):
                    report.take(found)
        except Cancelled as error:
            report.ended = error
        report.finish(explainer.run)


def repeat_run(given: Given, manifest: Path, model: str | None, config_file: Path | None) -> None:
    """Repeats a run, with the model that it was made with unless another is named.

    Raises:
        Differs: the arrays are not what they were.
        PicassoError: it cannot be repeated; or what went wrong with the first image of those that could not be.
    """
    past = read_past(manifest)
    opened_with = past.run.get("opened_with") or {}
    if model is not None or config_file is not None:
        opened_with = {"model": model, "config": config_file}
    with ExitStack() as stack:
        stdout = stack.enter_context(stdout_alone())
        with hushed_start():
            opened = open_model(**opened_with)
        explainer = explainer_of(past, opened, stop=stack.enter_context(asked_to_end()))
        results = stack.enter_context(ResultsFolder(given.out).of(explainer.run)) if given.out else None
        with progress(lambda: sum(len(group) for group in past.groups())) as told:
            found = repeat(past, explainer, given.sources(), results, told)
        report_repetition(found, explainer.run, stdout, given.as_json)
