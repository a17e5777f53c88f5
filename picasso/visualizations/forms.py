"""A settings declaration as the fields of a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from picasso.attribution import regions
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Settings, listed


@dataclass(frozen=True)
class FormField:
    """One setting on a page.

    Attributes:
        kind: "choice", "several" (choices; the value is a tuple), "number", "switch", "region" (see
            `attribution.regions`) or "text".
        low, high, step: of a number, None where there is no limit.
        options: of a choice or several.
        only: where it does not always matter, the values of other settings with which it does, by their names.
        used: False where it does not matter with what else is chosen.
        settled: of several declared options, the model leaves no other than the value.
    """

    name: str
    label: str
    help: str
    kind: str
    value: Any
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float | str | None = None
    options: tuple[Any, ...] = ()
    only: Mapping[str, Any] | None = None
    used: bool = True
    settled: bool = False

    @property
    def words(self) -> str:
        """The value as text."""
        if self.kind == "region":
            return regions.words(str(self.value))
        return ", ".join(self.value) if self.kind == "several" else str(self.value)

    @property
    def range(self) -> str:
        """The allowed numbers in words: "1–224"; empty where there is no limit."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g}–{self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return f"at most {self.high:g}" if self.high is not None else ""


def form_fields(
    visualization: type[BaseVisualization],
    values: Mapping[str, Any],
    info: ModelInfo | None = None,
) -> list[FormField]:
    """The fields of a visualization's settings page, in the order of their declaration.

    Args:
        values: what the fields show instead of their defaults.
        info: the model, if it is known already: it may set limits and other defaults.
    """
    limits = visualization.limits(info) if info else {}
    values = visualization.fitting_defaults(info) | dict(values)
    schema = _schema(visualization.settings_model)
    parts = {name: _resolved(part, schema) for name, part in schema.get("properties", {}).items()}
    values = {name: part.get("default") for name, part in parts.items()} | values
    return [
        replace(_field(name, part, values[name], limits.get(name)), only=part.get("only"), used=_used(part, values))
        for name, part in parts.items()
    ]


def changed(
    visualization: type[BaseVisualization], settings: Mapping[str, Any], info: ModelInfo | None
) -> list[FormField]:
    """The fields that matter and whose settings are not the defaults; an empty text stands for its default."""
    usual = {field.name: field.words for field in form_fields(visualization, {}, info)}
    fields = form_fields(visualization, settings, info)
    return [field for field in fields if field.used and field.words not in ("", usual[field.name])]


@cache  # pydantic makes it anew each time, in milliseconds
def _schema(model: type[Settings]) -> dict[str, Any]:
    return model.model_json_schema()


def _used(part: dict[str, Any], values: Mapping[str, Any]) -> bool:
    return all(values[other] in choices for other, choices in part.get("only", {}).items())


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Pydantic puts enumerations into `$defs`."""
    reference = part.get("$ref", "")
    part = schema["$defs"][reference.rsplit("/", 1)[-1]] | part if reference else part
    return part | {"items": _resolved(part["items"], schema)} if "items" in part else part


def _options(part: dict[str, Any]) -> list[Any]:
    return part.get("enum") or ([part["const"]] if "const" in part else [])


def _field(name: str, part: dict[str, Any], value: Any, limit: Any) -> FormField:
    label, unit = part.get("title", name), part.get("unit", "")
    only = [" or ".join(choices) for choices in part.get("only", {}).values()]
    text = ". ".join([*filter(None, [part.get("description", "")]), *(f"Only for {choices}" for choices in only)])
    if options := _options(part):
        left = tuple(limit or options)
        settled = len(left) < len(options) and left == (value,)
        return FormField(name, label, text, "choice", value, unit, options=left, settled=settled)
    if options := _options(part.get("items", {})):
        return FormField(name, label, text, "several", listed(value), unit, options=tuple(limit or options))
    if part.get("type") == "boolean":
        return FormField(name, label, text, "switch", value in (True, "true", "1", "on"), unit)
    if part.get("type") in ("integer", "number"):
        whole = part["type"] == "integer"
        low = part.get("minimum", part.get("exclusiveMinimum"))
        high = part.get("maximum", part.get("exclusiveMaximum"))
        if limit is not None:
            high = limit if high is None else min(high, limit)
        step = part.get("multipleOf") or (1 if whole else "any")
        return FormField(name, label, text, "number", value, unit, low, high, step)
    if isinstance(limit, list | tuple):
        return FormField(name, label, text, "choice", value, unit, options=tuple(limit))
    return FormField(name, label, text, "region" if part.get("format") == "region" else "text", value, unit)


def settings_schema(visualization: type[BaseVisualization], info: ModelInfo | None = None) -> dict[str, Any]:
    """The JSON Schema of a visualization's settings, for programs.

    Args:
        info: the model, if it is known already: its defaults and limits take the place of those declared.
    """
    schema = _schema(visualization.settings_model)
    parts = {name: _resolved(part, schema) for name, part in schema.get("properties", {}).items()}
    for field in form_fields(visualization, {}, info):
        part = parts[field.name] | {"default": list(field.value) if field.kind == "several" else field.value}
        if field.kind == "choice":
            part |= {"enum": list(field.options)}
        if field.kind == "several":
            part |= {"items": part["items"] | {"enum": list(field.options)}}
        if field.kind == "number" and field.high is not None and "exclusiveMaximum" not in part:
            part |= {"maximum": field.high}
        parts[field.name] = part
    return {"type": "object", "properties": parts, "additionalProperties": False}
