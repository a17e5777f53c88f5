"""Model files: are they there, and which are they."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from picasso.config import Config, import_function
from picasso.errors import ConfigError, ModelError
from picasso.models.graph_files import find_graph_files, graph_format, is_there

# Settings whose effect is in the model's fingerprint or among its labels, or which only name it.
NAMED_ELSEWHERE = {
    "MODEL_NAME",
    "MODEL_PATH",
    "MODEL_WEIGHTS",
    "MODEL_CHECKPOINT",
    "MODEL_CHECKPOINTS",
    "MODEL_PREPARE",
    "MODEL_LABELS",
}


def fingerprint(path: Path, files: list[Path] | None = None) -> str:
    """Sha-256 of a file, or of all files of a folder with their names, hexadecimal; only of `files`, where given."""
    digest = hashlib.sha256()
    folder = path if path.is_dir() else path.parent
    for file in _all_files(path, files):
        if file != path or files is not None:
            name = file.relative_to(folder) if file.is_relative_to(folder) else file.name
            digest.update(str(name).encode())
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(2**20), b""):
                digest.update(chunk)
    return digest.hexdigest()


def modified(path: Path, files: list[Path] | None = None) -> float:
    """The date of the newest of the model's files, seconds since 1970."""
    dates = [file.stat().st_mtime for file in _all_files(path, files)]
    return max(dates) if dates else path.stat().st_mtime


def model_files(path: Path, checkpoint: str | None = None) -> list[Path]:
    """The files that a worker elsewhere needs: the model's file, all of its folder, or those of one checkpoint.

    Of a checkpoint that is not whole, what there is: the worker that opens it says what is missing.
    """
    if graph_format(path) != "checkpoint":
        return _all_files(path, None)
    try:
        return find_graph_files(path, checkpoint).files  # only the newest: copies have no dates to choose by
    except ModelError:
        beside = path if path.is_dir() else path.parent
        parts = (item for item in beside.iterdir() if beside == path or item.name.startswith(f"{path.stem}."))
        return sorted(item for item in parts if item.is_file())


def _all_files(path: Path, files: list[Path] | None) -> list[Path]:
    if files is not None:
        return sorted(files)
    return [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())


def require(path: Path | None) -> Path:
    """The model's path, which must be there.

    Raises:
        ConfigError: none is configured.
        ModelError: nothing is at that path.
    """
    if path is None:
        raise ConfigError(
            "No model is configured. Name one: picasso serve --model path/to/model.keras. Or write "
            'MODEL_PATH = "path/to/model.keras" in config.py.',
            field="MODEL_PATH",
        )
    if not is_there(path):
        raise ModelError(f"The model file {path} does not exist. Check MODEL_PATH or --model.", field="MODEL_PATH")
    return path


def functions_fingerprint(config: Config) -> str:
    """Sha-256 of what, beside the model's files, decides its numbers: its settings, and the source of own functions."""
    digest = hashlib.sha256()
    for key in sorted(name for name in Config.model_fields if name.startswith("MODEL_")):
        if key not in NAMED_ELSEWHERE:
            digest.update(f"{key}={getattr(config, key)!r};".encode())
    for key, name in config.functions().items():
        if key not in NAMED_ELSEWHERE:
            digest.update(_source(import_function(name, key)))
    return digest.hexdigest()


def _source(function: Callable[..., Any]) -> bytes:
    try:
        source = inspect.getsourcefile(function)
    except TypeError:  # built in
        return b""
    return Path(source).read_bytes() if source else b""
