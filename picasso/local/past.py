"""What an earlier run gave, read again: a folder of `picasso explain --out`, or a server's bundle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from picasso.errors import InvalidRequest, NotFound
from picasso.images.reading import encode_png, shown_name
from picasso.local.folder import ResultsFolder
from picasso.local.pictures import digest_of
from picasso.runs.artifacts import REFERENCE, load_array
from picasso.runs.found import read_result
from picasso.runs.store import MANIFEST


@dataclass(frozen=True)
class PastResult:
    """An image's result as it was written.

    Attributes:
        name: of the result; `filename`: of the image.
        digest: of the image; see `PastRun.digests`.
        places: files that may be that image.
        arrays: reads each, by its name without ".npy".
    """

    name: str
    filename: str
    digest: str
    places: tuple[Path | zipfile.Path, ...]
    arrays: Mapping[str, Callable[[], NDArray[Any]]]


@dataclass(frozen=True)
class PastRun:
    """A run as it was written.

    Attributes:
        run: what decided it, as `Explanation.run` has it.
        groups: its results, those together that were computed at once; each time anew.
        digests: what an image file may be known by there, given its content and its picture.
    """

    run: dict[str, Any]
    groups: Callable[[], Iterator[list[PastResult]]]
    digests: Callable[[bytes, Image.Image], set[str]]


def read_past(path: Path) -> PastRun:
    """Reads the manifest of a run.

    Args:
        path: a manifest.json, the folder that it lies in, or a bundle.zip.

    Raises:
        NotFound: there is none.
        InvalidRequest: it is no manifest of a run.
    """
    if path.is_dir():
        path = path / MANIFEST
    if not path.is_file():
        raise NotFound(f"There is no manifest {path}. Name the manifest.json of a run, or a bundle.zip.")
    folder: Path | zipfile.Path = path.parent
    try:
        if zipfile.is_zipfile(path):
            folder = zipfile.Path(path)
            manifest = json.loads((folder / MANIFEST).read_bytes())
        else:
            manifest = json.loads(path.read_bytes())
        manifest["visualization"]["name"], manifest["settings"], manifest["seed"], manifest["model"]["fingerprint"]
        if manifest.get("stopped") is not None:
            raise InvalidRequest(f"The run of {path} was ended early, with what it had: it cannot be repeated.")
        if "images" in manifest:
            results = _of_a_server(manifest, folder)
            groups = [[one] for one in results] if manifest.get("failed") else [results]
            return PastRun(manifest, lambda: iter(groups), _digests_of_png)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InvalidRequest(
            f"{path} is not the manifest of a run: {_lacking(error)}. Name the manifest.json that "
            "`picasso explain --out` wrote, the folder that it is in, or a bundle.zip."
        ) from error
    return PastRun(
        manifest, lambda: _of_a_folder(ResultsFolder(path.parent)), lambda _content, image: {digest_of(image)}
    )


def _lacking(error: Exception) -> str:
    """What a file lacks of a manifest, given what came of reading it."""
    if isinstance(error, FileNotFoundError):
        return f"there is no {MANIFEST} in it"
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror or error})"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return "it is no JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else "it is built otherwise"


def _of_a_server(manifest: Mapping[str, Any], folder: Path | zipfile.Path) -> list[PastResult]:
    """A server's run: all images at once, their pictures beside the manifest where it lies in its bundle.

    Not those of which it has no result; the others were then computed one by one."""
    found = []
    failed = manifest.get("failed") or {}
    for number, (image, content) in enumerate(zip(manifest["images"], manifest["results"], strict=True)):
        if image["id"] in failed:
            continue
        files = read_result(content, number).files
        arrays = {name: file[REFERENCE] for name, file in files.items() if file["kind"] == "array"}
        filename = shown_name(image["filename"])
        place = folder / "inputs" / f"{number}.png"
        name = f"{number}-{filename}"  # two may have one name
        found.append(PastResult(name, filename, image["digest"], (place,), _loaded(folder, arrays)))
    return found


def _of_a_folder(results: ResultsFolder) -> Iterator[list[PastResult]]:
    """The groups in which a folder's results were computed, as far as they are there."""
    for name in results.names():
        record = results.record(name)
        assert record is not None
        there = [one for one in record["together"] if results.has(one)]
        there = there if name in there else [name]  # somebody renamed it
        if there[0] == name:
            yield [_of_a_record(results, one) for one in there]


def _of_a_record(results: ResultsFolder, name: str) -> PastResult:
    record = results.record(name)
    assert record is not None
    folder = results.path / name
    arrays = {one["name"]: one["name"] for one in record["artifacts"] if one["kind"] == "array"}
    places = () if record["path"] is None else (Path(record["path"]),)
    return PastResult(name, record["filename"], record["digest"], places, _loaded(folder, arrays))


def _loaded(folder: Path | zipfile.Path, files: Mapping[str, str]) -> dict[str, Callable[[], NDArray[Any]]]:
    def reader(file: str) -> Callable[[], NDArray[Any]]:
        return lambda: load_array((folder / PurePath(file).name).read_bytes())  # never one elsewhere

    return {name.removesuffix(".npy"): reader(file) for name, file in files.items()}


def _digests_of_png(content: bytes, image: Image.Image) -> set[str]:
    """A server knows an image by the PNG that it keeps of it, which another version of Pillow may write otherwise."""
    return {sha256(content).hexdigest(), sha256(encode_png(image)).hexdigest()}
