"""Results as programs get them: the predictions, the files, a map drawn over its picture, everything in one archive."""

from __future__ import annotations

import io
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from flask import url_for
from numpy.typing import NDArray
from PIL import Image

from picasso.api.schemas import Artifact, Drawing, InlineArtifact, InlineResult, Prediction, Result
from picasso.errors import InvalidRequest, NotFound
from picasso.images import colours
from picasso.images.reading import encode_png
from picasso.runs.artifacts import REFERENCE, load_array
from picasso.runs.requests import file_of, so_far
from picasso.runs.run import Run, State
from picasso.runs.store import MANIFEST, read_kept
from picasso.sessions import image_bytes
from picasso.web.services import services

Read = Callable[[], bytes]


@dataclass(frozen=True)
class Found:
    """One result of a run: its content with files as {"artifact": name}, the files' references, its predictions."""

    number: int
    content: Any
    files: dict[str, dict[str, Any]]
    predictions: list[Prediction]


def found_by(run: Run) -> list[Found]:
    """The results of a run; while it is under way, those that are there already."""
    contents = _manifest(run)["results"] if run.state is State.DONE else [one.content for one in _partial(run)]
    return [_found(number, content) for number, content in enumerate(contents)]


def _manifest(run: Run) -> dict[str, Any]:
    manifest = services().store.manifest(run)
    if manifest is None:
        raise NotFound("The files of this run are gone. Run it again.")
    return manifest


def _partial(run: Run) -> list[Any]:
    return so_far(services().engine, run)


def _found(number: int, content: Any) -> Found:
    files: dict[str, dict[str, Any]] = {}
    predictions: dict[int, Prediction] = {}
    return Found(number, _walk(content, f"{number}.", files, predictions), files, list(predictions.values()))


def _walk(value: Any, prefix: str, files: dict[str, dict[str, Any]], predictions: dict[int, Prediction]) -> Any:
    """A copy of JSON without the references in it; collects those, and the classes with their scores, in order."""
    if isinstance(value, list):
        return [_walk(item, prefix, files, predictions) for item in value]
    if not isinstance(value, dict):
        return value
    if REFERENCE in value:
        name = value[REFERENCE].removeprefix(prefix)
        files[name] = value
        return {"artifact": name}
    if {"index", "label", "score"} <= value.keys() and isinstance(value["index"], int):
        one = Prediction(index=value["index"], label=str(value["label"]), score=value["score"])
        predictions.setdefault(one.index, one)
    return {key: _walk(item, prefix, files, predictions) for key, item in value.items()}


def shown(run: Run, found: Found) -> Result:
    """A result with the addresses of its files."""

    def address(name: str) -> str:
        return url_for("api.artifact", run=run.id, number=found.number, name=name)

    image = services().store.image(run.session, run.images[found.number])
    return Result(
        number=found.number,
        image=image.id,
        filename=image.filename,
        predictions=found.predictions,
        artifacts=[
            Artifact(
                name=name,
                kind=file["kind"],
                shape=file["shape"],
                url=address(name),
                drawn=address(_drawn_name(name)) if _is_map(found, file) else None,
            )
            for name, file in found.files.items()
        ],
        content=found.content,
    )


def inline(run: Run, found: Found) -> InlineResult:
    """A result with its files in it."""
    return InlineResult(
        filename=services().store.image(run.session, run.images[found.number]).filename,
        predictions=found.predictions,
        artifacts=[
            InlineArtifact(
                name=name, kind=file["kind"], shape=file["shape"], data=b64encode(_read(run, file)).decode("ascii")
            )
            for name, file in found.files.items()
        ],
        content=found.content,
    )


def _is_map(found: Found, file: dict[str, Any]) -> bool:
    """Whether an array lies over the picture: (height, width), those of what the model saw if the result says that."""
    shape = file["shape"]
    if file["kind"] != "array" or len(shape) != 2 or 0 in shape:
        return False
    view = _view(found)
    return view is None or view["shape"] == shape


def _view(found: Found) -> dict[str, Any] | None:
    """The picture that the model saw, if the result says so."""
    view = found.content.get("view") if isinstance(found.content, dict) else None
    file = found.files.get(view["artifact"]) if isinstance(view, dict) and "artifact" in view else None
    return file if file is not None and file["kind"] == "image" else None


def _drawn_name(name: str) -> str:
    return f"{name.removesuffix('.npy')}.png"


def _read(run: Run, file: dict[str, Any]) -> bytes:
    return file_of(services().store, services().engine, run, file[REFERENCE])


def artifact_bytes(run: Run, number: str, name: str, drawing: Drawing) -> bytes:
    """A file of a result by its name; with `.png` for `.npy`, a map drawn over its picture.

    Raises:
        NotFound: there is no such result or file.
        InvalidRequest: the range is empty.
    """
    for found in found_by(run):
        if str(found.number) != number:
            continue
        if name in found.files:
            return _read(run, found.files[name])
        for other, file in found.files.items():
            if _is_map(found, file) and _drawn_name(other) == name:
                return _over_its_picture(run, found, load_array(_read(run, file)), drawing)
    raise NotFound("This run has no such file.")


def _over_its_picture(run: Run, found: Found, values: NDArray[Any], drawing: Drawing) -> bytes:
    """A map over what the model saw, PNG."""
    signed = bool(np.nanmin(values, initial=0) < 0)
    limit = float(np.nanmax(np.abs(values), initial=0))
    low = drawing.low if drawing.low is not None else -limit if signed else 0.0
    high = drawing.high if drawing.high is not None else limit
    if low > high:
        raise InvalidRequest(f"'low' should be at most 'high', got {low:g} and {high:g}.", field="low")
    layer = colours.draw(values, low, high, drawing.colours or ("coolwarm" if signed else "inferno"))
    return encode_png(colours.over(_picture(run, found, layer.size), layer, drawing.opacity))


def _picture(run: Run, found: Found, size: tuple[int, int]) -> Image.Image:
    """What the model saw, if the result says so; else the image itself, brought to the size of the map."""
    view = _view(found)
    if view is not None:
        return Image.open(io.BytesIO(_read(run, view)), formats=["PNG"])
    stored = image_bytes(services().store, services().store.image(run.session, run.images[found.number]))
    return Image.open(io.BytesIO(stored), formats=["PNG"]).resize(size)


def bundled(run: Run) -> Iterator[bytes]:
    """A finished run as a ZIP archive, part by part: the manifest, its images, all its files."""
    store, engine = services().store, services().engine
    manifest = _manifest(run)
    images = [store.image(run.session, image) for image in run.images]
    files: list[tuple[str, Read]] = [(MANIFEST, partial(read_kept, store.run_folder(run) / MANIFEST))]
    files += [(f"inputs/{number}.png", partial(image_bytes, store, image)) for number, image in enumerate(images)]
    files += [(name, partial(file_of, store, engine, run, name)) for name in sorted(manifest["files"])]
    return _zipped(files, time.gmtime(run.finished))


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def _zipped(files: Iterable[tuple[str, Read]], moment: time.struct_time) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, read in files:
            entry = zipfile.ZipInfo(name, moment[:6])
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, read(), compresslevel=1)
            yield sink.take()
    yield sink.take()
