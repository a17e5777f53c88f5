"""What a worker needs to know: the config, and on another machine also the files that it names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from picasso.config import Config
from picasso.models.files import model_files
from picasso.models.graph_files import is_there
from picasso.runs.own_code import code_in, folder_of, package_files

MODEL = "model "  # before a model's path: its files are found by their names beside it, not in it
FILE_KEYS = ("MODEL_LABELS", "MODEL_WEIGHTS")  # settings that may name one more file


@dataclass(frozen=True)
class Parcel:
    """The config on its way to a worker.

    Attributes:
        search_path: folders for `sys.path`, as they are here.
        roots: for a worker elsewhere, the files of each folder: {folder here: {relative path: content}}.
        token: tells what was sent anew apart from what was sent before.
        plugins: counts how often the visualizations in folders have changed.
        here: for a worker process that the server started itself.
    """

    config: Config
    search_path: list[str] = field(default_factory=list)
    roots: dict[str, dict[str, bytes]] = field(default_factory=dict)
    token: str = ""
    plugins: int = 0
    here: bool = False

    @classmethod
    def local(cls, config: Config, token: str = "", plugins: int = 0) -> Parcel:
        """For a worker process on this machine: nothing is copied."""
        return cls(config, list(sys.path), token=token, plugins=plugins, here=True)

    @classmethod
    def packed(cls, config: Config, token: str = "", plugins: int = 0) -> Parcel:
        """For workers elsewhere: with the config's functions, plugin folders and the files of every model."""
        roots = {str(folder): code_in(folder) for folder in config.VISUALIZATION_FOLDERS if folder.is_dir()}
        search_path = set()
        for model in config.models().values():
            for name in model.functions().values():
                folder = folder_of(name)
                if folder is not None:
                    search_path.add(str(folder))
                    roots[str(folder)] = roots.get(str(folder), {}) | package_files(folder, name)
            for path in (getattr(model, key) for key in FILE_KEYS):
                if isinstance(path, str | Path) and Path(path).is_file():
                    roots[str(path)] = {Path(path).name: Path(path).read_bytes()}
            place = model.MODEL_PATH
            if place is not None and is_there(place):
                files = model_files(place, model.MODEL_CHECKPOINT)
                content = {file.relative_to(place.parent).as_posix(): file.read_bytes() for file in files}
                roots[f"{MODEL}{place}"] = roots.get(f"{MODEL}{place}", {}) | content
        return cls(config, sorted(search_path), roots, token, plugins)

    def unpack(self, base: Path) -> Config:
        """Called in the worker: puts files and search path in place.

        Args:
            base: a folder of the worker's own; what is on this machine already is not written again.

        Returns:
            The config with paths that hold here.
        """
        base = base / "picasso"
        places = {}
        for folder, files in self.roots.items():
            if folder.startswith(MODEL) and is_there(Path(folder.removeprefix(MODEL))):
                continue
            places[folder] = base / sha256(folder.encode()).hexdigest()[:16]
            _write(places[folder], files)
        sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(base)]
        for folder in self.search_path:
            place = str(places.get(folder, folder))
            if place not in sys.path:
                sys.path.append(place)
        changes = dict(_moved(vars(self.config), places))
        changes["MODELS"] = {name: entry | dict(_moved(entry, places)) for name, entry in self.config.MODELS.items()}
        folders = [places.get(str(folder), folder) for folder in self.config.VISUALIZATION_FOLDERS]
        return self.config.model_copy(update=changes | {"VISUALIZATION_FOLDERS": folders})


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """Makes a folder hold these files; those that are there already keep their date, so that nothing is read anew."""
    for path in list(place.rglob("*")):
        if path.is_file() and path.relative_to(place).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = place / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _moved(settings: Mapping[str, Any], places: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    """The settings that name something which lies elsewhere on this machine."""
    model = settings.get("MODEL_PATH")
    if model is not None and f"{MODEL}{model}" in places:
        yield "MODEL_PATH", places[f"{MODEL}{model}"] / Path(model).name
    for key in FILE_KEYS:
        value = settings.get(key)
        if str(value) in places:
            place = places[str(value)] / Path(str(value)).name
            yield key, str(place) if isinstance(value, str) else place
