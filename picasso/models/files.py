"""Model files: are they there, and which are they."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from picasso.config import Config, import_function
from picasso.errors import ConfigError, ModelError


def fingerprint(path: Path, *more: Path) -> str:
    """Sha-256 of a file, or of all files of a folder with their names, hexadecimal; `more` files are added to it."""
    digest = hashlib.sha256("".join(fingerprint(file) for file in more).encode())
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    for file in files:
        if file != path:
            digest.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            for chunk in iter(lambda: stream.read(2**20), b""):
                digest.update(chunk)
    return digest.hexdigest()


def require(path: Path | None) -> Path:
    """The model's path, which must be there.

    Raises:
        ConfigError: none is configured.
        ModelError: nothing is at that path.
    """
    if path is None:
        raise ConfigError(
            'No model is configured. Write MODEL_PATH = "path/to/model.keras" in config.py, or name a config file: '
            "picasso serve --config FILE.",
            field="MODEL_PATH",
        )
    if not path.exists():
        raise ModelError(f"The model file {path} does not exist. Check MODEL_PATH.", field="MODEL_PATH")
    return path


def functions_fingerprint(config: Config) -> str:
    """Sha-256 of how pictures become inputs and scores become names, hexadecimal; of the source, for own functions."""
    digest = hashlib.sha256()
    for key in ("MODEL_PREPROCESS", "MODEL_DECODE"):
        value = getattr(config, key)
        digest.update(f"{key}={value!r};".encode())
        if isinstance(value, str):
            source = inspect.getsourcefile(import_function(value, key))
            digest.update(Path(source).read_bytes() if source else b"")
    return digest.hexdigest()
