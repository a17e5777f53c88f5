"""A model that is open in this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picasso.config import DEFAULT_FILE, SETTINGS_VARIABLE, Config
from picasso.models import opening
from picasso.models.base import Model
from picasso.models.info import ModelInfo
from picasso.runs.catalogue import Catalogue, find_model
from picasso.visualizations.discovery import Registry, discover


@dataclass(frozen=True)
class OpenModel:
    """A model that is open in this process, and the ways to look at it.

    Attributes:
        model: preprocesses images and gives scores, gradients, activations (`picasso.models.base.Model`).
        visualizations: all that were found, by name, and those that are broken.
        config: its settings.
        opened_with: what `open_model` was given, to open it again.
    """

    model: Model
    visualizations: Registry
    config: Config
    opened_with: dict[str, Any]

    @property
    def info(self) -> ModelInfo:
        """What is known about it: its name, input, labels, what it can do, what was assumed."""
        return self.model.info

    def __repr__(self) -> str:
        height, width, channels = self.info.input_shape
        return f"<{self.info.name}: {width} x {height}, {channels} channels, {self.info.classes:,} classes>"


def open_model(model: str | Path | None = None, *, config: str | Path | None = None, **settings: Any) -> OpenModel:
    """Opens a model in this process, which imports its framework.

    Args:
        model: its file or folder, or a name of the config's MODELS; the configured model unless given.
        config: a config file; `PICASSO_SETTINGS` or `./config.py` unless given.
        settings: what a config file may say, by the same names: `MODEL_LABELS=["cat", "dog"]`.

    Raises:
        ConfigError: a setting is unknown or wrong.
        ModelError: the model is not there or cannot be opened.
    """
    named = None if model is None else str(model)
    found, reference = find_model(named, config, settings)
    opened = opening.open_model(Catalogue(found).config(reference))
    opened.warm_up()
    opened_with = {
        "model": str(Path(named).absolute()) if named and Path(named).exists() else named,
        "config": _config_file(named, config),
        **settings,
    }
    return OpenModel(opened, discover(found.VISUALIZATION_FOLDERS), found, opened_with)


def _config_file(model: str | None, config: str | Path | None) -> str | None:
    """The config file that has to be named to open the same again from another folder.

    One that nobody named says nothing of a model that was, so it would say too much if it were named.
    """
    used = config or os.environ.get(SETTINGS_VARIABLE)
    if used is None and model is None and Path(DEFAULT_FILE).is_file():
        used = DEFAULT_FILE
    return None if used is None else str(Path(used).expanduser().absolute())
