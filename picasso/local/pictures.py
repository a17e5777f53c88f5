"""The images that a person gives: files, PIL images, numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from picasso.errors import ImageRefused, InvalidRequest, NotFound, PicassoError
from picasso.images.reading import Limits, check_bytes, read_image, shown_name, take_image

ImageLike = str | Path | Image.Image | NDArray[np.uint8]
"""A file's path, a picture, or an array uint8 (height, width), (height, width, 1), (…, 3) or, with opacity, (…, 4)."""

Source = tuple[str, ImageLike]
"""An image and the name that its result has: a relative path, once in its run."""


@dataclass(frozen=True)
class Picture:
    """An image that was read.

    Attributes:
        name: of its result, once in its run.
        filename: as people know it.
        image: upright, mode "L" or "RGB".
        digest: sha-256 of its mode, size and pixels, hexadecimal: whatever file they came from.
        path: its file, if it came from one; absolute.
        file: what that file was like, as `file_state` has it.
        notes: sentences on what was converted.
    """

    name: str
    filename: str
    image: Image.Image
    digest: str
    path: Path | None = None
    file: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An image that could not be read or explained, and why."""

    name: str
    path: Path | None
    error: PicassoError

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with the error as REST gives it."""
        problem = {"code": self.error.code, "message": self.error.message, "field": self.error.field}
        return {"name": self.name, "path": None if self.path is None else str(self.path), "error": problem}


def take(source: Source, limits: Limits) -> Picture:
    """Reads an image.

    Raises:
        NotFound: there is no such file.
        ImageRefused: it is no image that Picasso reads, or damaged, or too large.
        InvalidRequest: an array is not of the kind that pictures are.
    """
    name, given = source
    if isinstance(given, str | Path):
        path = Path(given).absolute()
        if path.is_dir():
            raise ImageRefused(f'{path} is a folder. Name the images in it: Path("{given}").glob("*.jpg").')
        state = file_state(path)
        check_bytes(state[0], path.name, limits)  # before it is in memory
        with _about(path):
            content = path.read_bytes()
        return replace(from_bytes(name, content, limits), path=path, file=state)
    filename = shown_name(PurePath(name).name)
    read = take_image(given if isinstance(given, Image.Image) else _picture_of(given), filename)
    return Picture(name, filename, read.image, digest_of(read.image), notes=read.notes)


def from_bytes(name: str, content: bytes, limits: Limits) -> Picture:
    """Reads the content of an image file; raises `ImageRefused`."""
    filename = shown_name(PurePath(name).name)
    read = read_image(content, filename, limits)
    return Picture(name, filename, read.image, digest_of(read.image), notes=read.notes)


def digest_of(image: Image.Image) -> str:
    """Sha-256 of a picture's mode, size and pixels, hexadecimal."""
    digest = sha256(f"{image.mode} {image.width} {image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int]:
    """What tells quickly whether a file is as it was: bytes, and its date in nanoseconds.

    Raises:
        NotFound: there is no such file.
        ImageRefused: it cannot be looked at.
    """
    with _about(path):
        state = path.stat()
        return state.st_size, state.st_mtime_ns


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Makes sentences of what happens to a file."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.") from error
    except OSError as error:
        raise ImageRefused(f"{path} cannot be read: {error.strerror}.") from error


def _picture_of(array: Any) -> Image.Image:
    values = np.asarray(array)
    if values.dtype != np.uint8 or not 2 <= values.ndim <= 3 or values.size == 0:
        raise InvalidRequest(
            "An array that is an image has the dtype uint8 and the shape (height, width) or (height, width, channels), "
            f"got {values.dtype} {values.shape}. Values 0..1 become that with (255 * array).round().astype('uint8').",
            field="images",
        )
    if values.ndim == 3 and values.shape[2] not in (1, 3, 4):
        raise InvalidRequest(f"An image has 1, 3 or 4 channels, got an array {values.shape}.", field="images")
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)


def is_one(images: Any) -> bool:
    """Whether that is one image, and not several."""
    return isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4)


def named(images: Iterable[ImageLike]) -> Iterator[Source]:
    """Gives each image the name of its file; where it has none or another has that name too, one with its number.

    Raises:
        InvalidRequest: these are no images.
    """
    if not isinstance(images, Iterable):
        raise InvalidRequest(
            "An image is a path, a PIL picture or a numpy array, and several are a list of these, got "
            f"{type(images).__name__}.",
            field="images",
        )
    given: set[str] = set()
    for number, image in enumerate(images, 1):
        file = image if isinstance(image, str | Path) else getattr(image, "filename", "")
        name = PurePath(file).name or f"image-{number}"
        name = f"{name}~{number}" if name in given else name
        given.add(name)
        yield name, image
