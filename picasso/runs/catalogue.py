"""The models that can be chosen, and what they are called.

A reference is "name", a model of the config, or "name@output", the same model with another of its outputs explained.
The name of a checkpoint is "training@step" (see `picasso.checkpoints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picasso.config import MODEL_AND_OUTPUT, Config, load_config
from picasso.errors import ModelError, NotFound


class Catalogue:
    """The models of a config, by reference."""

    def __init__(self, config: Config) -> None:
        self._configs = config.models()
        self.names = tuple(self._configs)

    @property
    def default(self) -> str:
        """The model that is used unless one is chosen."""
        return self.names[0]

    def split(self, reference: str) -> tuple[str, str]:
        """The model's name and the output that was chosen; "" for the one that the config or the model says.

        Args:
            reference: "" counts as the default.

        Raises:
            NotFound: there is no such model (any more); the sentence lists those there are.
        """
        reference = reference or self.default
        if reference in self._configs:
            return reference, ""
        for name in sorted(self.names, key=len, reverse=True):  # "digits@469@species": not the output of "digits"
            output = reference.removeprefix(f"{name}{MODEL_AND_OUTPUT}")
            if output and output != reference:
                return name, output
        raise NotFound(f"There is no model {reference[:80]!r} (any more). There are: {', '.join(self.names)}.")

    def config(self, reference: str) -> Config:
        """What to open for a reference: a config of one model.

        Raises:
            NotFound: there is no such model.
        """
        name, output = self.split(reference)
        config = self._configs[name]
        return config.model_copy(update={"MODEL_OUTPUT": output}) if output else config

    def digest(self, reference: str) -> str | None:
        """Tells what a reference means in this config apart from what it means in others; None where it is unknown."""
        try:
            return self.config(reference).model_digest()
        except NotFound:
            return None


def reference_to(name: str, output: str) -> str:
    """The reference to an output of a model."""
    return f"{name}{MODEL_AND_OUTPUT}{output}" if output else name


def find_model(
    named: str | None, config_file: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[Config, str]:
    """The config and the reference of a model that a person names: its file or, where there is none, one of MODELS.

    Args:
        named: a path, a name of MODELS or "name@output"; None for the config's default model.
        overrides: settings that count more than the config file's.

    Raises:
        ConfigError: the configuration is wrong.
        ModelError: there is no such file or model.
    """
    overrides = overrides or {}
    if named is None:
        return load_config(config_file, overrides), ""
    if not Path(named).exists() and (config := load_config(config_file, overrides)).MODELS:
        catalogue = Catalogue(config)
        if catalogue.digest(named) is None:
            names = ", ".join(catalogue.names)
            raise ModelError(f"There is no file {named}, and no model of that name: MODELS has {names}.")
        return config, named
    return load_config(config_file, {**overrides, "MODEL_PATH": Path(named)}), ""
