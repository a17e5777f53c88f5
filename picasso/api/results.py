"""Results as programs get them: the predictions, the files, a map drawn over its picture, everything in one archive."""

from __future__ import annotations

import io
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from flask import url_for
from numpy.typing import NDArray
from PIL import Image

from picasso.api.schemas import Artifact, Drawing, InlineArtifact, InlineResult, Prediction, Problem, Result
from picasso.errors import InvalidRequest, NotFinite, NotFound
from picasso.images import colours
from picasso.images.reading import encode_png
from picasso.runs.artifacts import REFERENCE, load_array
from picasso.runs.files import read_kept
from picasso.runs.found import Found, read_result
from picasso.runs.requests import file_of, so_far
from picasso.runs.run import Run, State
from picasso.runs.store import MANIFEST
from picasso.sessions import image_bytes
from picasso.web.services import services

Read = Callable[[], bytes]


def found_by(run: Run) -> list[Found]:
    """The results of a run; while it is under way, those that are there already."""
    contents = _manifest(run)["results"] if run.state is State.DONE else [one.content for one in _partial(run)]
    return [read_result(content, number) for number, content in enumerate(contents)]


def _manifest(run: Run) -> dict[str, Any]:
    manifest = services().store.manifest(run)
    if manifest is None:
        raise NotFound("The files of this run are gone. Run it again.")
    return manifest


def _partial(run: Run) -> list[Any]:
    return so_far(services().engine, run)


def shown(run: Run, found: Found, failed: Mapping[str, str]) -> Result:
    """A result with the addresses of its files; or why there is none, as the manifest has it by the images' ids."""

    def address(name: str) -> str:
        return url_for("api.artifact", run=run.id, number=found.number, name=name)

    image = services().store.image(run.session, run.images[found.number])
    drawn = {name: picture for picture, name in found.drawn.items()}
    return Result(
        number=found.number,
        image=image.id,
        filename=image.filename,
        predictions=[Prediction(**one) for one in found.predictions],
        artifacts=[
            Artifact(
                name=name,
                kind=file["kind"],
                shape=file["shape"],
                url=address(name),
                drawn=address(drawn[name]) if name in drawn else None,
            )
            for name, file in found.files.items()
        ],
        content=found.content,
        error=Problem(code=NotFinite.code, message=failed[image.id], field=None) if image.id in failed else None,
    )


def inline(run: Run, found: Found) -> InlineResult:
    """A result with its files in it."""
    return InlineResult(
        filename=services().store.image(run.session, run.images[found.number]).filename,
        predictions=[Prediction(**one) for one in found.predictions],
        artifacts=[
            InlineArtifact(name=name, kind=file["kind"], shape=file["shape"], data=_in_base64(_read(run, file)))
            for name, file in found.files.items()
        ],
        content=found.content,
    )


def inline_outputs(run: Run) -> dict[str, str]:
    """The pictures that a finished run's visualization wrote to its output folder, in base64, by name."""
    store, engine = services().store, services().engine
    names = _manifest(run).get("outputs", [])
    return {name: _in_base64(file_of(store, engine, run, f"output.{name}")) for name in names}


def _in_base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


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
        if name in found.drawn:
            return _over_its_picture(run, found, found.drawn[name], drawing)
    raise NotFound("This run has no such file.")


def _over_its_picture(run: Run, found: Found, name: str, drawing: Drawing) -> bytes:
    """A map over what the model saw, PNG."""
    values: NDArray[Any] = load_array(_read(run, found.files[name]))
    picture = _picture(run, found, (values.shape[1], values.shape[0]))
    try:
        return encode_png(colours.draw_over(picture, values, **drawing.model_dump(), signed=found.signed.get(name)))
    except ValueError as error:
        raise InvalidRequest(str(error), field="low") from error


def _picture(run: Run, found: Found, size: tuple[int, int]) -> Image.Image:
    """What the model saw, if the result says so; else the image itself, brought to the size of the map."""
    if found.view is not None:
        return Image.open(io.BytesIO(_read(run, found.view)), formats=["PNG"])
    stored = image_bytes(services().store, services().store.image(run.session, run.images[found.number]))
    return Image.open(io.BytesIO(stored), formats=["PNG"]).resize(size)


def bundled(run: Run) -> Iterator[bytes]:
    """A finished run as a ZIP archive, part by part: the manifest, its images, all its files."""
    store, engine = services().store, services().engine
    manifest = _manifest(run)
    images = [store.image(run.session, image) for image in run.images]
    paths = [store.image_path(image) for image in images] + [store.run_folder(run) / name for name in manifest["files"]]
    if not all(path.is_file() for path in paths):  # said before the first part is sent
        raise NotFound("Some files of this run are gone. Run it again.")
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
