"""Files of the data folder: for nobody else to read, written whole, and never through a link."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path


def make_folders(root: Path, *names: str) -> None:
    """A folder under `root`, and those that it is in, unless they are there: for nobody else on this machine."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = root
    for name in names:
        folder = folder / name
        folder.mkdir(exist_ok=True, mode=0o700)


def read_kept(path: Path) -> bytes:
    """The bytes of a file that was written here; a link to a file elsewhere is none.

    Raises:
        FileNotFoundError: it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(f"{path} is a link") from error
        raise
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def write_whole(path: Path, data: bytes) -> None:
    """Writes whole or not at all: to a name beside it, then renamed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove(*paths: Path) -> None:
    """Deletes files and folders, as far as they are there and that is possible."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
