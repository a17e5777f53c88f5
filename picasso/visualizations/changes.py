"""Which files the visualizations in folders are made of, and how they are read again after a change."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from importlib.util import cache_from_source
from pathlib import Path

from picasso.visualizations.discovery import PICTURES, Registry, discover

PLACES = ("*", "*/*", "*/templates/*")  # where discovery looks
SUFFIXES = {".py", ".html", *PICTURES}
INSTALLED = {"site-packages", "dist-packages"}


def files_in(folders: Iterable[Path]) -> set[Path]:
    """The classes, templates and pictures in these folders, and what the classes have imported from there."""
    folders = list(folders)
    beside = (path for folder in folders for place in PLACES for path in folder.glob(place))
    return {path for path in beside if path.suffix in SUFFIXES} | set(imported_from(folders).values())


def imported_from(folders: Iterable[Path]) -> dict[str, Path]:
    """The modules of this process that lie in these folders, by name; but for packages that are installed there."""
    inside = tuple(f"{root}{os.sep}" for folder in folders for root in (folder, folder.resolve()))
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return {
        name: Path(file)
        for name, file in files.items()
        if isinstance(file, str)
        and file.startswith(inside)
        and name.partition(".")[0] not in ("__main__", "picasso")
        and not INSTALLED & set(Path(file).parts)
    }


def forget(folders: Iterable[Path]) -> None:
    """The next import reads the modules in these folders from their files again."""
    folders = list(folders)
    files = files_in(folders)
    for name in imported_from(folders):
        sys.modules.pop(name, None)
    for path in files:
        if path.suffix == ".py":
            with suppress(OSError):  # compiled code is taken for current by its source's date in whole seconds
                Path(cache_from_source(str(path))).unlink(missing_ok=True)
    importlib.invalidate_caches()


def read_again(folders: Iterable[Path], before: Registry, *, frameworks: bool = True) -> Registry:
    """What there is now, in a process that found `before`."""
    folders = list(folders)
    forget(folders)
    homes = {name: (str(cls.file), str(cls.template)) for name, cls in before.visualizations.items()}
    return replace(discover(folders, frameworks=frameworks), homes=before.homes | homes)
