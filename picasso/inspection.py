"""What Picasso understood of a model, for `picasso inspect`: facts, capabilities, what was assumed, a config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picasso.config import Config
from picasso.models.info import ModelInfo
from picasso.models.summary import facts, ready_config
from picasso.runs.catalogue import Catalogue, find_model
from picasso.visualizations.discovery import discover

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Inspection:
    """A model that was opened, and what there is to say of it.

    Attributes:
        info: what is known about it.
        visualizations: each one's title, with the reason why the model cannot do it, or None.
        config: a config file for it, as Python source.
        process_bytes: memory of this process with the model open, after scoring one batch.
        others: names of the config's other models, each of which can be inspected.
    """

    info: ModelInfo
    visualizations: tuple[tuple[str, str | None], ...]
    config: str
    process_bytes: int
    others: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with all labels and layers."""
        return self.info.as_dict() | {
            "labels": list(self.info.labels),
            "layers": [vars(layer) for layer in self.info.layers],
            "visualizations": dict(self.visualizations),
            "process_bytes": self.process_bytes,
            "config": self.config,
            "other_models": list(self.others),
        }


def inspect_named(named: str | None, config_file: Path | None) -> Inspection:
    """Inspects the file of that name or, where there is none, the model of that name in MODELS.

    Args:
        named: a path, a name of MODELS or "name@output"; None for the default model.

    Raises:
        ConfigError: the configuration is wrong.
        ModelError: there is no such file or model, or it cannot be opened.
    """
    return inspect(*find_model(named, config_file))


def inspect(config: Config, reference: str = "") -> Inspection:
    """Opens a model of the config in this process and looks at it from all sides.

    Args:
        reference: "name" or "name@output" of MODELS; the default model unless given.

    Raises:
        ConfigError: the configuration names nothing that exists.
        ModelError: the model cannot be opened.
    """
    from picasso.models.opening import open_model

    catalogue = Catalogue(config)
    others = tuple(name for name in catalogue.names if name != catalogue.split(reference)[0])
    config = catalogue.config(reference)
    model = open_model(config)
    model.warm_up()
    height, width, channels = model.info.input_shape
    model.predict(np.zeros((model.batch, height, width, channels), np.float32))
    registry = discover(config.VISUALIZATION_FOLDERS, frameworks=True)
    reasons = tuple((cls.title, cls.unsupported_reason(model.info)) for cls in registry.visualizations.values())
    used = psutil.Process().memory_info().rss
    return Inspection(model.info, reasons, ready_config(config, model), used, others)


def show(inspection: Inspection, console: Console) -> None:
    """Prints an inspection for people."""
    info = inspection.info
    console.print(Text(info.name, style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in facts(info):
        table.add_row(what, Text(value))
    table.add_row("Memory", f"{inspection.process_bytes / MEBIBYTE:,.0f} MiB for the process that holds it")
    if inspection.others:
        table.add_row("Other models", Text(f"{', '.join(inspection.others)} (picasso inspect NAME)"))
    console.print(table)
    _list(console, "Ways to look", [f"{title}: {reason or 'yes'}" for title, reason in inspection.visualizations])
    _list(console, "Warnings", info.warnings)
    _list(console, "Assumed (see below for the lines that change it)", [one.sentence for one in info.assumptions])
    console.print(Text("\nconfig.py", style="bold"))
    console.print(Text(inspection.config), soft_wrap=True)


def _list(console: Console, title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines:
        console.print(Text(f"\n{title}", style="bold"))
    for line in lines:
        console.print(Text(f"- {line}"))
