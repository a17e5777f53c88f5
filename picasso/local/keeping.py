"""Explaining image files into a folder of results, going on where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from picasso.errors import PicassoError
from picasso.local.explaining import Explainer, Told, silent
from picasso.local.folder import ResultsFolder
from picasso.local.pictures import Failure, Source


@dataclass(frozen=True)
class Kept:
    """An image's record, as `Explanation.record` has it; `new` where it was not there before."""

    record: dict[str, Any]
    new: bool


def explain_files(
    explainer: Explainer, sources: Iterable[Source], results: ResultsFolder | None = None, told: Told = silent
) -> Iterator[Kept | Failure]:
    """Explains files one after the other, in constant memory, and writes each result as soon as it is there.

    Args:
        sources: files.
        results: where they are written, held by `ResultsFolder.of`. What is there already is not computed again.
        told: as for `Explainer.stream`; what was there already counts as explained.

    Raises:
        Cancelled: the explainer was told to stop; what was written stays.
    """
    waiting: list[Source] = []
    most, done = explainer.at_once, 0
    for name, given in sources:
        path = Path(str(given)).absolute()
        try:
            place, record = results.place_for(name, path) if results else (name, None)
        except PicassoError as error:
            yield Failure(name, path, error)
            continue
        if record is not None:
            done += 1
            told(done, "")
            yield Kept(record, new=False)
            continue
        waiting.append((place, path))
        if len(waiting) == most:
            yield from _explained(explainer, waiting, results, partial(_further, told, done))
            done += len(waiting)
            waiting = []
    yield from _explained(explainer, waiting, results, partial(_further, told, done))


def _further(told: Told, before: int, done: float, doing: str) -> None:
    told(before + done, doing)


def _explained(
    explainer: Explainer, sources: Iterable[Source], results: ResultsFolder | None, told: Told
) -> Iterator[Kept | Failure]:
    for found in explainer.stream(sources, told):
        if isinstance(found, Failure):
            yield found
            continue
        if results is not None:
            results.add(found)
        yield Kept(found.record, new=True)
