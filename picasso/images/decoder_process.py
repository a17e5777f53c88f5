"""The process that reads what strangers send: it may crash, hang or run out of memory, and costs one image then.

`picasso.images.decoder` starts it and talks to it through its standard input and output. A message is a line of JSON
and as many bytes as the line says. Neither side unpickles: a decoder that an image took over can send data only.

Before the first image it gives up what it does not need: files, other processes, core dumps. For each image it has so
much memory more than at its start, and so many seconds, after which the system ends it even where nobody waits for it
any more. Linux has all of these limits; macOS has no limit of memory, and Windows none but the time, which
`picasso.images.decoder` keeps too. It ends when its input ends: no server leaves one behind, however that ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageCms, ImageColor, ImageFilter, ImagePalette

from picasso.errors import ImageRefused, TooLarge
from picasso.images.reading import Limits, encode_png, read_image
from picasso.priority import give_way

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

OUT_OF_MEMORY = re.compile("out of memory|decoder error -9$")  # what Pillow's OSError says then
IMAGES_EACH = 200  # that a process reads before another takes its place, so that what leaks does not grow
MAX_LINE = 2**16  # bytes; the notes and the sentence about an image have some hundred
FORGONE = ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC")

_NEEDED_LATER = (ImageCms, ImageColor, ImageFilter, ImagePalette)  # which Pillow imports when it first uses them


@dataclass(frozen=True)
class Decoded:
    """An image as it is kept: a PNG without metadata, its (width, height), the file's format, what was changed."""

    png: bytes
    size: tuple[int, int]
    format: str
    notes: tuple[str, ...]


def decode(data: bytes, name: str, limits: Limits) -> Decoded:
    """Reads a file in this process, as `read_image` does and with its errors; `name` is used in messages only."""
    read = read_image(data, name, limits)
    return Decoded(encode_png(read.image), read.image.size, read.format, read.notes)


def send(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Writes a message. Raises OSError where nobody reads it."""
    stream.write(json.dumps(header | {"bytes": len(body)}).encode() + b"\n")
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Reads a message. Raises EOFError where there is none to its end, ValueError where it is no message."""
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    size = header.pop("bytes")
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return header, body


def main() -> None:
    """Reads images until there are no more, or one used up the memory, or there were enough."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    give_way()
    Image.init()  # all of Pillow that is imported later otherwise: there will be no files to open
    at_start = _address_space()
    for descriptor in (1, 2):  # the C library for TIFF writes a line about every damaged file
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    _give_up(FORGONE)
    send(answers, {})
    for number in range(1, IMAGES_EACH + 1):
        try:
            last = _serve(requests, answers, at_start, number == IMAGES_EACH)
        except EOFError:
            return
        if last:
            return


def _serve(requests: IO[bytes], answers: IO[bytes], at_start: int | None, last: bool) -> bool:
    """Reads one image, and keeps nothing of it. Whether this process ends now. Raises EOFError where there is none."""
    header, data = receive(requests)
    name, limits = header["name"], Limits(**header["limits"])
    _allow(at_start, limits)
    answer, png, exhausted = _answer(data, name, limits)
    send(answers, answer | {"last": last or exhausted}, png)
    _hurry(0)
    return last or exhausted


def _answer(data: bytes, name: str, limits: Limits) -> tuple[dict[str, Any], bytes, bool]:
    """What is said of an image, its PNG, and whether the memory was used up."""
    try:
        found = decode(data, name, limits)
    except (ImageRefused, MemoryError) as error:
        cause = error.__cause__ or error
        exhausted = isinstance(cause, MemoryError) or OUT_OF_MEMORY.search(str(cause)) is not None
        if isinstance(error, ImageRefused) and not exhausted:
            return {"code": error.code, "message": error.message}, b"", False
        sentence = (
            f'"{name}" needs more than {limits.max_memory // 2**20:,} MiB of memory to be read. Make it smaller, or '
            "save it as PNG or JPEG, and try again."
        )
        return {"code": TooLarge.code, "message": sentence}, b"", True
    return {"size": found.size, "format": found.format, "notes": found.notes}, found.png, False


def _allow(at_start: int | None, limits: Limits) -> None:
    """Sets how much memory and time the next image may take."""
    if at_start is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = at_start + limits.max_memory
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))
    _hurry(limits.max_seconds)


def _hurry(seconds: float) -> None:
    """Has the system end this process after so many seconds, also in the middle of a C function; never if 0."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _give_up(limits: tuple[str, ...]) -> None:
    """Sets these limits of the system to 0, as far as it has them."""
    for name in limits:
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (0, 0))


def _address_space() -> int | None:
    """The bytes of it that this process has; None where the system does not tell or could not limit it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return None
