"""Results between a visualization, the store and a template.

A visualization returns dictionaries with arrays and pictures anywhere in them. `pack` takes those out into files
(`.npy`, never pickled, and `.png`) and leaves JSON with references; `unpack` puts an `Artifact` where each was.
"""

from __future__ import annotations

import io
import itertools
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from picasso.errors import PluginError
from picasso.images.reading import encode_png

REFERENCE = "$file"
READING = threading.Lock()  # NumPy parses headers with `ast`, which counts in one place for all threads in CPython 3.11


@dataclass(frozen=True)
class Packed:
    """One result as JSON-able `content`, and its `files` by name."""

    content: Any
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """A file of a result, as a template sees it.

    Attributes:
        url: where the browser gets it; `{{ artifact }}` writes this.
        kind: "array" (.npy) or "image" (.png).
        shape: of the array, or (height, width) of the image.
        load: reads an array's values (float32 or as kept).
    """

    url: str
    kind: str
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]

    def __str__(self) -> str:
        return self.url

    def png(self, **parameters: Any) -> str:
        """The address of a 2-D array drawn as a picture: `low`, `high` (the values at the ends), `colours`."""
        path, _, version = self.url.partition("?")
        return f"{path}.png?{urlencode(parameters)}" + (f"&{version}" if version else "")


def pack(result: Any, prefix: str) -> Packed:
    """Takes arrays and pictures out of a result.

    Args:
        result: what `make_visualization` returned for one input.
        prefix: begins the name of every file, so that results do not collide.

    Raises:
        PluginError: it holds something that is no text, number, list, dictionary, array or picture.
    """
    files: dict[str, bytes] = {}
    return Packed(_pack(result, prefix, files), files)


def _pack(value: Any, name: str, files: dict[str, bytes]) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None  # NaN is not JSON
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, np.ndarray):
        return _pack_array(value, _free(name, ".npy", files), files)
    if isinstance(value, Image.Image):
        name = _free(name, ".png", files)
        files[name] = encode_png(value if value.mode in ("L", "RGB", "RGBA") else value.convert("RGB"))
        return {REFERENCE: name, "kind": "image", "shape": [value.height, value.width]}
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        if REFERENCE in value:
            raise PluginError(f"A result may not use the key {REFERENCE!r}; it marks files.")
        return {str(key): _pack(item, f"{name}.{_safe(str(key))}", files) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}.{index}", files) for index, item in enumerate(value)]
    raise PluginError(
        f"The result holds a {type(value).__name__}; it can hold text, numbers, lists, dictionaries, numpy arrays and "
        "PIL images."
    )


def _pack_array(value: NDArray[Any], name: str, files: dict[str, bytes]) -> Any:
    if value.dtype.kind not in "biuf":
        raise PluginError(f"The result holds an array of {value.dtype}; it can hold arrays of numbers.")
    if value.dtype == np.float64:
        value = value.astype(np.float32)
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    files[name] = buffer.getvalue()
    return {REFERENCE: name, "kind": "array", "shape": list(value.shape)}


def _free(name: str, suffix: str, files: Mapping[str, bytes]) -> str:
    """A file name that no other has: keys that differ only in special characters or case are the same in a name."""
    taken = {file.casefold() for file in files}
    names = (f"{name}{suffix}" if count == 1 else f"{name}~{count}{suffix}" for count in itertools.count(1))
    return next(free for free in names if free.casefold() not in taken)


def _safe(key: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in key)[:40]


def unpack(content: Any, url: Callable[[str], str], read: Callable[[str], bytes]) -> Any:
    """Puts an `Artifact` in place of every reference.

    Args:
        content: JSON as `pack` left it.
        url: the address of a file by its name.
        read: the bytes of a file by its name.
    """
    return filled(
        content,
        lambda file: Artifact(
            url(file[REFERENCE]), file["kind"], tuple(file["shape"]), lambda: load_array(read(file[REFERENCE]))
        ),
    )


def filled(content: Any, make: Callable[[dict[str, Any]], Any]) -> Any:
    """A copy of JSON as `pack` left it, with what `make` gives for it in the place of every reference."""
    if isinstance(content, list):
        return [filled(item, make) for item in content]
    if not isinstance(content, dict):
        return content
    if REFERENCE in content:
        return make(content)
    return {key: filled(item, make) for key, item in content.items()}


def load_array(data: bytes) -> NDArray[Any]:
    """An array from `.npy` bytes, never unpickling."""
    with READING:
        return np.load(io.BytesIO(data), allow_pickle=False)  # type: ignore[no-any-return]
