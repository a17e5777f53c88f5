"""`picasso new`: writes a visualization that works, to be changed into one's own."""

from __future__ import annotations

import keyword
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from picasso.config import Config
from picasso.errors import ConfigError
from picasso.visualizations.base import name_of, spaced
from picasso.visualizations.discovery import discover, may_hold_one

SCAFFOLD = Path(__file__).parent / "scaffold"  # it is hidden_halves.py, HiddenHalves.html and a test
LONGEST = 60  # letters of a name, which becomes part of file names and addresses


def write_visualization(name: str, config: Config, folder: Path | None = None) -> list[str]:
    """Writes a class, a template and a test into a folder of their own.

    Args:
        name: of the module, "my_view"; the class is MyView.
        folder: a folder of visualizations; the config's first one unless given. It is made where it is not there.

    Returns:
        What was written, and what to do next, in lines.

    Raises:
        ConfigError: the name cannot be had, no folder is known, or it cannot be written.
    """
    where = folder or next(iter(config.VISUALIZATION_FOLDERS), None)
    if where is None:
        raise ConfigError(
            "The config names no folder for visualizations. Write a line such as "
            'VISUALIZATION_FOLDERS = ["my_visualizations"] into config.py, or name a folder with --folder.',
            field="VISUALIZATION_FOLDERS",
        )
    class_name = "".join(word.capitalize() for word in name.split("_"))
    _check(name, class_name, where, config)
    place = where / name
    try:
        _write(place, {"hidden_halves": name, "HiddenHalves": class_name})
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror or error}.") from error
    return [
        f"{place} has a visualization that works, called {spaced(class_name)!r}:",
        f"  {name}.py: the class, which computes; {class_name}.html: the template, which shows",
        f"  test_{name}.py: its test, run by: python -m pytest {place}",
        _next_step(where, config),
    ]


def _check(name: str, class_name: str, where: Path, config: Config) -> None:
    """Raises a `ConfigError` where a name cannot be had."""
    plain = name.isascii() and name.isidentifier() and name.islower() and not keyword.iskeyword(name)
    if not plain or len(name) > LONGEST:
        raise ConfigError(f"{name[:80]!r} cannot be a module's name. Write lower-case letters, digits and _: my_view.")
    place = where / name
    if not may_hold_one(place / f"{name}.py", where) or not class_name[0].isalpha():
        raise ConfigError(f"A module called {name!r} is not taken for a visualization. Choose another name.")
    if place.exists() or place.with_suffix(".py").exists():
        raise ConfigError(f"There is a {name} in {where} already. Choose another name, or delete that one.")
    folders = [one for one in dict.fromkeys((*config.VISUALIZATION_FOLDERS, where)) if one.is_dir()]
    taken = discover(folders, frameworks=False).visualizations.get(name_of(class_name))
    if taken is not None:
        raise ConfigError(f"There is a visualization {taken.name} already, in {taken.file}. Choose another name.")
    known = find_spec(name)
    if known is not None and known.origin is not None:
        raise ConfigError(
            f"{name!r} is the name of a module that Python finds at {known.origin}: a test would import that. Choose "
            "another name."
        )


def _write(place: Path, names: dict[str, str]) -> None:
    """Copies the scaffold under other names. The folder is there whole or not at all: a server may be watching."""
    unfinished = place.with_name(f".{place.name}-{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        for path in SCAFFOLD.iterdir():
            if path.is_file():
                target, text = path.name, path.read_text(encoding="utf-8")
                for old, new in names.items():
                    target, text = target.replace(old, new), text.replace(old, new)
                (unfinished / target).write_text(text, encoding="utf-8")
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _next_step(where: Path, config: Config) -> str:
    if where.resolve() not in [folder.resolve() for folder in config.VISUALIZATION_FOLDERS]:
        named = f"VISUALIZATION_FOLDERS = [{str(where.resolve())!r}]"
        return f"Name its folder in your config: {named}. Then start the server."
    return "It is on the start page of a server that was started with --reload-plugins; of another after a restart."
