"""The user's own modules, which the config names as "module:function": where they are, and how they are read anew."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from picasso.config import Config

CODE_SUFFIXES = {".py", ".html", ".json", ".txt", ".csv"}
MAX_CODE_BYTES = 2**20  # larger files beside the config are data, not code


def folder_of(name: str) -> Path | None:
    """The folder of `sys.path` in which the module of "module:function" lies, unless it is an installed package."""
    top = name.partition(":")[0].partition(".")[0]
    if not top.isidentifier() or top == __name__.partition(".")[0]:  # a file with labels, or Picasso itself
        return None
    for entry in sys.path:
        folder = Path(entry or ".").resolve()
        if (folder / top).is_dir() or (folder / f"{top}.py").is_file():
            installed = {"site-packages", "dist-packages"} & set(folder.parts) or folder == Path(sys.prefix)
            return None if installed else folder
    return None


def package_files(folder: Path, name: str) -> dict[str, bytes]:
    """The files of the top-level module or package that "module:function" lies in, and the modules beside it."""
    top = name.partition(":")[0].partition(".")[0]
    files = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    if (folder / top).is_dir():
        files |= {f"{top}/{path}": content for path, content in code_in(folder / top).items()}
    return files


def code_in(folder: Path) -> dict[str, bytes]:
    """The small text files of a folder, at any depth, by their path in it."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # an editor is replacing it: that is a change of its own
            if (
                path.suffix in CODE_SUFFIXES
                and "__pycache__" not in path.parts
                and path.is_file()
                and path.stat().st_size <= MAX_CODE_BYTES
            ):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def imported(config: Config) -> dict[str, Path]:
    """The user's modules that are imported in this process, by name: those that functions of the config lie in, the
    rest of their packages, and the modules beside them."""
    found: dict[str, Path] = {}
    for name in config.functions().values():
        folder = folder_of(name)
        if folder is not None:
            found |= _imported_from(folder, name.partition(":")[0].partition(".")[0])
    return found


def _imported_from(folder: Path, top: str) -> dict[str, Path]:
    found = {}
    resolved: dict[str, Path] = {}  # with TensorFlow, thousands of modules lie in some hundred folders
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name == "__main__":
            continue
        parent, base = os.path.split(file)
        if parent not in resolved:
            resolved[parent] = Path(parent).resolve()
        path = resolved[parent] / base
        beside = resolved[parent] == folder
        if beside or (name.partition(".")[0] == top and path.is_relative_to(folder / top)):
            found[name] = path
    return found


def forget(config: Config) -> None:
    """The next import reads the user's modules from their files again."""
    for name in imported(config):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
