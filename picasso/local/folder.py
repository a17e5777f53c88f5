"""A folder of results, as `picasso explain --out` and `Explanation.save` write it.

FOLDER/manifest.json         what decided all of them: model, visualization, settings, classes, seed, versions
FOLDER/<image>/result.json   an image's own part: where it is, its classes, the names of its files
FOLDER/<image>/*.npy, *.png  arrays, and maps over the picture

A result is written beside its place and then renamed, with everything in it: what is there is whole. So a run that was
killed goes on where it stopped, whatever the moment.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from picasso.disk import no_space
from picasso.errors import Conflict, PicassoError
from picasso.images.reading import Limits
from picasso.local.differences import differences
from picasso.local.pictures import file_state, take
from picasso.runs.files import write_whole
from picasso.runs.store import MANIFEST

if TYPE_CHECKING:
    from picasso.local.explanation import Explanation

RESULT = "result.json"
UNFINISHED = ".unfinished"  # what is being written; nothing in it is a result
LOCK = ".lock"


class ResultsFolder:
    """A folder for the results of one model, visualization and settings, of any number of images."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._promised: set[str] = set()  # names of results that are not written yet

    @contextmanager
    def of(self, run: Mapping[str, Any]) -> Iterator[ResultsFolder]:
        """The folder, to be written to by nobody else meanwhile; made if it is not there.

        Args:
            run: what decides the results, as `Explanation.run` has it.

        Raises:
            Conflict: it has results of another run or other files, or somebody else writes to it.
            PicassoError: it cannot be written.
        """
        lock = FileLock(self.path / LOCK)
        with self._written():
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / MANIFEST).exists() and any(not one.name.startswith(".") for one in self.path.iterdir()):
                raise Conflict(
                    f"{self.path} has other files in it, and no results of Picasso. Choose an empty folder, or one "
                    "that is not there yet.",
                    field="out",
                )
            lock.acquire(timeout=0)
        try:
            with self._written():
                self._claim(run)
                shutil.rmtree(self.path / UNFINISHED, ignore_errors=True)
            yield self
        finally:
            shutil.rmtree(self.path / UNFINISHED, ignore_errors=True)
            lock.release()

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Makes sentences of what may happen to files."""
        try:
            yield
        except Timeout as error:
            raise Conflict(
                f"Another process is writing to {self.path}. Wait for it, or choose another folder.", field="out"
            ) from error
        except OSError as error:
            full = no_space(error, f"{self.path} was not written", "Make room there; the same command then goes on.")
            reason = error.strerror or error
            raise full or PicassoError(f"{self.path} cannot be written: {reason}.", field="out") from error

    def _claim(self, run: Mapping[str, Any]) -> None:
        path = self.path / MANIFEST
        if not path.exists():
            write_whole(path, as_json(run, indent=1).encode())
            return
        there = self.manifest()
        if there["key"] == run["key"]:
            return
        found = "; ".join(differences(there, run)) or "a library or the visualization's own code has changed"
        raise Conflict(
            f"{self.path} has results of another run: {found}. Choose another folder, or delete that one.", field="out"
        )

    def manifest(self) -> dict[str, Any]:
        """What decided the results.

        Raises:
            Conflict: it is no folder of results.
        """
        try:
            found = json.loads((self.path / MANIFEST).read_bytes())
            if found["key"] and found["model"]["fingerprint"] and "images" not in found:
                return found  # type: ignore[no-any-return]
        except (ValueError, KeyError, TypeError):
            pass  # somebody else's manifest.json
        raise Conflict(f"{self.path / MANIFEST} is not that of a folder of results. Choose another.", field="out")

    def place_for(self, name: str, path: Path) -> tuple[str, dict[str, Any] | None]:
        """The name of the result of an image file, and that result's record if it is there already.

        Raises:
            Conflict: it is there, but the image has changed since.
        """
        for free in _numbered(name):
            if free in self._promised:
                continue
            if not (self.path / free).exists():
                self._promised.add(free)
                return free, None
            record = self.record(free)
            if record is not None and record["path"] == str(path):
                _check_unchanged(record, path, self.path / free)
                return free, record
        raise AssertionError  # there are endless names

    def has(self, name: str) -> bool:
        """Whether there is a result of that name."""
        return (self.path / name / RESULT).is_file()

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of a result; None where there is none of that name."""
        try:
            return json.loads((self.path / name / RESULT).read_bytes())  # type: ignore[no-any-return]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self) -> Iterator[str]:
        """The names of all results, in order."""
        return _results_in(self.path, self.path)

    def add(self, explanation: Explanation) -> Path:
        """Writes a result, unless it is there; returns its folder.

        Raises:
            Conflict: there is one of another image of that name.
        """
        name = explanation.picture.name
        place, record = self.path / name, self.record(name)
        self._promised.discard(name)
        if record is not None:
            if record["digest"] != explanation.picture.digest:
                raise Conflict(f"{place} is the result of another image of that name. Choose another folder.")
            return place
        beside = self.path / UNFINISHED / secrets.token_hex(8)
        with self._written():
            beside.mkdir(parents=True)
            for file, data in explanation.files().items():
                (beside / file).write_bytes(data)
            (beside / RESULT).write_text(as_json(explanation.record, indent=1), encoding="utf-8")
            place.parent.mkdir(parents=True, exist_ok=True)
            beside.rename(place)
        return place


def as_json(content: Any, indent: int | None = None) -> str:
    """JSON without NaN, in ASCII: a file's name need not be text. Paths are written as text."""
    return json.dumps(content, indent=indent, allow_nan=False, default=str)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}~{number}"
        number += 1


def _results_in(folder: Path, root: Path) -> Iterator[str]:
    for path in sorted(one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()):
        if path.name == UNFINISHED:
            continue
        if (path / RESULT).is_file():
            yield path.relative_to(root).as_posix()
        else:
            yield from _results_in(path, root)


def _check_unchanged(record: Mapping[str, Any], path: Path, place: Path) -> None:
    """Raises a `Conflict` where an image is not any more what its result was made of."""
    if list(file_state(path)) == record["file"]:
        return
    if take((record["name"], path), Limits()).digest != record["digest"]:
        raise Conflict(f"{path} has changed since its result was written. Delete {place} to have it explained again.")
