"""Image files that a person names: single ones, folders, patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from picasso.images.reading import FORMATS
from picasso.local.pictures import Source

ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)


def image_files(named: Iterable[str], without: Path | None = None) -> Iterator[Source]:
    """The image files that these name, one after the other; never all of them in memory.

    A folder means all files in it, at any depth, whose names end as those of images do, in order; hidden ones are left
    out. A pattern ("photos/*.jpg") that is not a file itself means all that it fits. A file is taken whatever its name.

    Args:
        without: a folder that is not looked into: where results are written.

    Yields:
        Each file's path within the folder that was named, or its name, and the file.
    """
    out = without.resolve() if without else None
    for text in named:
        path = Path(text).expanduser()
        if path.is_dir():
            yield from ((file.relative_to(path).as_posix(), file) for file in _in_folder(path, out))
        elif path.exists() or not glob.has_magic(text):
            yield path.name, path
        else:
            for one in sorted(glob.iglob(str(path), recursive=True)):  # noqa: PTH207 - leaves out hidden files, as shells do
                if Path(one).is_file():
                    yield Path(one).name, Path(one)


def _in_folder(folder: Path, without: Path | None) -> Iterator[Path]:
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if path.resolve() != without:
                yield from _in_folder(path, without)
        elif path.suffix.lower() in ENDINGS:
            yield path
