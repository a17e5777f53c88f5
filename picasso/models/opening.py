"""Opens the configured model with the adapter for its framework. Called in worker processes only."""

from __future__ import annotations

from pathlib import Path

from picasso.config import Config, import_function
from picasso.errors import ModelError
from picasso.models.base import Model
from picasso.models.files import require


def open_model(config: Config) -> Model:
    """The configured model, ready for use; made first by `MODEL_PREPARE` if its file is not there.

    Raises:
        ConfigError: the configuration names nothing that exists.
        ModelError: the file cannot be opened, or is not for this framework.
    """
    if config.MODEL_PREPARE and config.MODEL_PATH and not config.MODEL_PATH.exists():
        import_function(config.MODEL_PREPARE, "MODEL_PREPARE")(config.MODEL_PATH)
    path = require(config.MODEL_PATH)
    try:
        return _open(config, path)
    except ModelError as error:
        if config.MODEL_PREPARE is None:
            raise
        raise ModelError(f"{error.message} If it is damaged, delete {path}: it is made anew then.") from error


def _open(config: Config, path: Path) -> Model:
    from picasso.models.keras import KerasModel  # here, because it imports TensorFlow

    return KerasModel(config, path)
