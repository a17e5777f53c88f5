"""What a worker needs to know: the config, and on another machine also the files that it names."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from picasso.config import Config
from picasso.models.files import model_files
from picasso.models.graph_files import is_there

CODE_SUFFIXES = {".py", ".html", ".json", ".txt", ".csv"}
MAX_CODE_BYTES = 2**20  # larger files beside the config are data, not code
MODEL = "model"
FILE_KEYS = ("MODEL_LABELS", "MODEL_WEIGHTS")  # settings that may name one more file


@dataclass(frozen=True)
class Parcel:
    """The config on its way to a worker.

    Attributes:
        search_path: folders for `sys.path`, as they are here.
        roots: for a worker elsewhere, the files of each folder: {folder here: {relative path: content}}.
    """

    config: Config
    search_path: list[str] = field(default_factory=list)
    roots: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @classmethod
    def local(cls, config: Config) -> Parcel:
        """For a worker process on this machine: nothing is copied."""
        return cls(config, list(sys.path))

    @classmethod
    def packed(cls, config: Config) -> Parcel:
        """For workers elsewhere: with the config's functions, plugin folders and the model's files."""
        roots = {str(folder): _code(folder) for folder in config.VISUALIZATION_FOLDERS if folder.is_dir()}
        search_path = []
        for name in config.functions().values():
            folder = _folder_of(name)
            if folder is not None:
                search_path.append(str(folder))
                roots[str(folder)] = roots.get(str(folder), {}) | _package(folder, name)
        for path in (getattr(config, key) for key in FILE_KEYS):
            if isinstance(path, str | Path) and Path(path).is_file():
                roots[str(path)] = {Path(path).name: Path(path).read_bytes()}
        model = config.MODEL_PATH
        if model is not None and is_there(model):
            files = model_files(model, config.MODEL_CHECKPOINT)
            roots[MODEL] = {file.relative_to(model.parent).as_posix(): file.read_bytes() for file in files}
        return cls(config, sorted(set(search_path)), roots)

    def unpack(self, base: Path) -> Config:
        """Called in the worker: puts files and search path in place.

        Args:
            base: a folder of the worker's own; what is on this machine already is not written again.

        Returns:
            The config with paths that hold here.
        """
        places = {}
        for number, (folder, files) in enumerate(self.roots.items()):
            if folder == MODEL and self.config.MODEL_PATH is not None and is_there(self.config.MODEL_PATH):
                continue
            places[folder] = base / "picasso" / str(number)
            for name, content in files.items():
                path = places[folder] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for folder in self.search_path:
            place = str(places.get(folder, folder))
            if place not in sys.path:
                sys.path.append(place)
        changes: dict[str, object] = {
            "VISUALIZATION_FOLDERS": [places.get(str(folder), folder) for folder in self.config.VISUALIZATION_FOLDERS]
        }
        if MODEL in places and self.config.MODEL_PATH is not None:
            changes["MODEL_PATH"] = places[MODEL] / self.config.MODEL_PATH.name
        for key in FILE_KEYS:
            value = getattr(self.config, key)
            if str(value) in places:
                changes[key] = type(value)(places[str(value)] / Path(value).name)
        return self.config.model_copy(update=changes)


def _folder_of(name: str) -> Path | None:
    """The folder of `sys.path` in which the module of "module:function" lies, unless it is an installed package."""
    top = name.partition(":")[0].partition(".")[0]
    if not top.isidentifier():  # a file with labels
        return None
    for entry in sys.path:
        folder = Path(entry or ".").resolve()
        if (folder / top).is_dir() or (folder / f"{top}.py").is_file():
            installed = {"site-packages", "dist-packages"} & set(folder.parts) or folder == Path(sys.prefix)
            return None if installed else folder
    return None


def _package(folder: Path, name: str) -> dict[str, bytes]:
    """The files of the top-level module or package that "module:function" lies in, and the modules beside it."""
    top = name.partition(":")[0].partition(".")[0]
    files = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    if (folder / top).is_dir():
        files |= {f"{top}/{path}": content for path, content in _code(folder / top).items()}
    return files


def _code(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix in CODE_SUFFIXES
        and "__pycache__" not in path.parts
        and path.stat().st_size <= MAX_CODE_BYTES
    }
