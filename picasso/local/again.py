"""Repeating a run from its manifest, and saying whether anything is not as it was."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picasso.errors import Cancelled, ImageRefused, NotFound, PicassoError
from picasso.images.reading import Limits
from picasso.local.differences import differences
from picasso.local.explaining import Explainer, Told, silent
from picasso.local.explanation import Explanation
from picasso.local.folder import ResultsFolder
from picasso.local.opened import OpenModel
from picasso.local.past import PastResult, PastRun
from picasso.local.pictures import Failure, Picture, Source, file_state, from_bytes

ROUNDING = 1e-4  # of an array's largest value: float32 sums in another order, in a network, differ by less


@dataclass(frozen=True)
class Distance:
    """How far an array is from what it was.

    Attributes:
        absolute, share: as `distance` has them.
        shapes: then, and now.
    """

    result: str
    array: str
    absolute: float
    share: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def is_rounding(self) -> bool:
        """Whether no more than rounding made it another."""
        return self.share <= ROUNDING


@dataclass
class Repetition:
    """What came of repeating a run.

    Attributes:
        differences: what decided it and is not as it was, as sentences: model, settings, versions, machine.
        images, arrays: how many were computed again; `identical`: how many of the arrays are the same to the last bit.
        largest: the array that differs most, as a share; None where none differs.
        lost: arrays that are only there, or only here.
        failures: images that were not found, or cannot be explained any more.
    """

    differences: list[str]
    images: int = 0
    arrays: int = 0
    identical: int = 0
    largest: Distance | None = None
    lost: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether the arrays are what they were, but for rounding."""
        return not self.lost and (self.largest is None or self.largest.is_rounding)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; a share that is not finite is null."""
        largest: dict[str, Any] = asdict(self.largest) if self.largest else {}
        for key in ("absolute", "share") if largest else ():
            largest[key] = largest[key] if np.isfinite(largest[key]) else None
        return {
            "same": self.same,
            "differences": self.differences,
            "images": self.images,
            "arrays": self.arrays,
            "identical": self.identical,
            "largest": largest or None,
            "lost": self.lost,
            "failures": [one.as_dict() for one in self.failures],
        }

    def take(self, then: PastResult, now: Explanation) -> None:
        """Compares the arrays of an image."""
        self.images += 1
        self.lost += [f"{then.name}/{name}" for name in sorted({*then.arrays} ^ {*now.arrays})]
        for name in then.arrays.keys() & now.arrays.keys():
            try:
                before = then.arrays[name]()
            except (OSError, KeyError, ValueError):  # not there, in no archive, not an array
                self.lost.append(f"{then.name}/{name}")
                continue
            self.arrays += 1
            absolute, share = distance(before, now.arrays[name])
            if absolute == 0:
                self.identical += 1
            elif self.largest is None or share > self.largest.share:
                self.largest = Distance(then.name, name, absolute, share, (before.shape, now.arrays[name].shape))


def distance(then: NDArray[Any], now: NDArray[Any]) -> tuple[float, float]:
    """The largest difference of two arrays, and that as a share of the largest value of the first.

    Infinite where their shapes differ, or one has a number where the other has none.
    """
    if then.shape != now.shape or not np.array_equal(np.isfinite(then), np.isfinite(now)):
        return np.inf, np.inf
    before, after = (values[np.isfinite(values)].astype(np.float64) for values in (then, now))
    absolute = float(np.abs(before - after).max(initial=0))
    size = float(np.abs(before).max(initial=0))
    return absolute, absolute / size if size else (np.inf if absolute else 0.0)


def explainer_of(past: PastRun, model: OpenModel, **more: Any) -> Explainer:
    """What repeats a run with a model that is open; raises as `Explainer` does."""
    run = past.run
    classes = run.get("classes", [])
    settings = {name: value for name, value in run["settings"].items() if not (classes and name == "classes")}
    return Explainer(model, run["visualization"]["name"], settings, classes=classes, seed=run["seed"], **more)


def repeat(
    past: PastRun,
    explainer: Explainer,
    given: Iterable[Source] = (),
    results: ResultsFolder | None = None,
    told: Told = silent,
) -> Repetition:
    """Explains the images of a run again, those together that were, and compares all arrays.

    Args:
        given: image files among which those are looked for that are not where they were.
        results: where the new results are written.

    Raises:
        Cancelled: the explainer was told to stop.
    """
    found = Repetition(list(differences(past.run, explainer.run)))
    search = _Search(past, explainer.limits, iter(given))
    for group in past.groups():
        there: list[tuple[PastResult, Picture]] = []
        for one in group:
            try:
                there.append((one, search.picture(one)))
            except PicassoError as error:
                found.failures.append(Failure(one.name, None, error))
        if there:
            found.failures += _again(there, explainer, found, results, told)
    return found


def _again(
    group: list[tuple[PastResult, Picture]],
    explainer: Explainer,
    found: Repetition,
    results: ResultsFolder | None,
    told: Told,
) -> list[Failure]:
    """Explains the images of a group that are there; those that cannot be explained any more."""
    before = found.images
    try:
        again = explainer.together([one for _, one in group], lambda done, doing: told(before + done, doing))
    except Cancelled:
        raise
    except PicassoError as error:
        return [Failure(picture.name, picture.path, error) for _, picture in group]
    for (then, _), now in zip(group, again, strict=True):
        found.take(then, now)
        if results is not None:
            results.add(now)
    return []


class _Search:
    """Finds the images of a run: where they were, or among files that a person names."""

    def __init__(self, past: PastRun, limits: Limits, given: Iterator[Source]) -> None:
        self._past, self._limits, self._given = past, limits, given
        self._known: dict[str, Path] = {}  # of the files that were looked at, by digest

    def picture(self, wanted: PastResult) -> Picture:
        """The image of a result.

        Raises:
            NotFound: it is nowhere.
        """
        for place in wanted.places:
            if place.is_file() and (picture := self._read(wanted, place)):
                return picture
        while wanted.digest not in self._known:
            source = next(self._given, None)
            if source is None:
                places = " or ".join(str(place) for place in wanted.places) or "any file"
                raise NotFound(
                    f"The image of {wanted.name} is not in {places} (any more). Name it, or the folder that it is in: "
                    "it is known by its content."
                )
            with suppress(ImageRefused, OSError):
                path = Path(str(source[1]))
                picture = from_bytes(source[0], path.read_bytes(), self._limits)
                self._known |= dict.fromkeys(self._past.digests(path.read_bytes(), picture.image), path)
        picture = self._read(wanted, self._known[wanted.digest])
        assert picture is not None
        return picture

    def _read(self, wanted: PastResult, place: Path | zipfile.Path) -> Picture | None:
        """The image in a file, if it is that one."""
        try:
            content = place.read_bytes()
            picture = from_bytes(wanted.filename, content, self._limits)
        except (ImageRefused, OSError):
            return None
        if wanted.digest not in self._past.digests(content, picture.image):
            return None
        path = place.absolute() if isinstance(place, Path) else None
        return replace(picture, name=wanted.name, path=path, file=file_state(path) if path else None)
