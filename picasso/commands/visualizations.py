"""`picasso visualizations`: the ways to look, and what a model can be looked at with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from picasso.models.info import ModelInfo
    from picasso.visualizations.base import BaseVisualization
    from picasso.visualizations.discovery import Registry


@click.command()
@click.option("--model", metavar="PATH", help="Say what this model can do; a file, or a name of the config's MODELS.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file; ./config.py unless given.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, with the settings' JSON Schema.")
def visualizations(model: str | None, config_file: Path | None, as_json: bool) -> None:
    """Lists the ways to look, with their settings and defaults.

    With --model, the model is opened: what it cannot do has its reason, and defaults are those of the model.

    \b
    Examples:
      picasso visualizations
      picasso visualizations --model my_model.keras
      picasso visualizations --json
    """
    from picasso.commands.terminal import stdout_alone
    from picasso.local.folder import as_json as written

    with stdout_alone() as stdout:
        registry, info = _found(model, config_file)
        if as_json:
            shown = [facts(one, info) for one in registry.visualizations.values()]
            broken = [vars(one) for one in registry.broken]
            stdout.write(written({"visualizations": shown, "broken": broken}, indent=1) + "\n")
            return
        from rich.console import Console

        _show(registry, info, Console(file=stdout))


def _found(model: str | None, config_file: Path | None) -> tuple[Registry, ModelInfo | None]:
    from picasso.commands.terminal import hushed_start
    from picasso.config import load_config
    from picasso.local.opened import open_model
    from picasso.visualizations.discovery import discover

    if model is None:
        return discover(load_config(config_file).VISUALIZATION_FOLDERS, frameworks=False), None
    with hushed_start():
        opened = open_model(model, config=config_file)
    return opened.visualizations, opened.info


def facts(visualization: type[BaseVisualization], info: ModelInfo | None) -> dict[str, Any]:
    """JSON-able: as REST has it; whether it is available is null without a model."""
    from picasso.visualizations.forms import settings_schema

    reason = visualization.unsupported_reason(info) if info else None
    return {
        "name": visualization.name,
        "title": visualization.title,
        "description": visualization.description,
        "available": None if info is None else reason is None,
        "reason": reason,
        "of_classes": visualization.of_classes,
        "needs": sorted(visualization.needs),
        "reference_link": visualization.reference_link,
        "version": visualization.version,
        "settings": settings_schema(visualization, info),
    }


def _show(registry: Registry, info: ModelInfo | None, console: Any) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from picasso.visualizations.forms import form_fields

    table = Table(box=SIMPLE)
    table.add_column("name", no_wrap=True)
    table.add_column("shows", ratio=2)
    if info is not None:
        table.add_column(Text(info.name), ratio=1)
    table.add_column("settings", overflow="fold", ratio=2)
    for one in registry.visualizations.values():
        reason = one.unsupported_reason(info) if info else None
        fields = form_fields(one, {}, info) if reason is None else []
        settings = "\n".join(f"{field.name}={_typed(field.value)}" for field in fields)
        available = [Text(reason or "yes")] if info else []
        table.add_row(Text(one.name), Text(one.description), *available, Text(settings))
    console.print(table)
    for broken in registry.broken:
        console.print(Text(f"Broken: {broken.source}: {broken.error}"))


def _typed(value: Any) -> str:
    """A value as `--set` takes it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
