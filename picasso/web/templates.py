"""The template environment: core templates, each visualization's own, and how numbers and times are written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import jinja2
from flask import Flask

from picasso.config import MEBIBYTE
from picasso.numbers import counted, percent
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.discovery import Broken, Registry
from picasso.web.glossary import glossed, term
from picasso.web.remaining import about

PREFIX = "visualization:"
HOUR, DAY = 3600, 86_400  # seconds


def template_name(visualization: type[BaseVisualization]) -> str:
    """The name of a visualization's own template; no file in a plugin folder can stand for a core template."""
    return PREFIX + visualization.name


def prepare_templates(app: Flask, registry: Registry) -> None:
    """Sets up the environment; a visualization whose template cannot be parsed is moved to the broken ones."""
    env = app.jinja_env
    env.autoescape = True  # whatever the file is called
    env.undefined = jinja2.StrictUndefined
    env.trim_blocks = env.lstrip_blocks = True
    env.filters.update(number=number, percent=percent, seconds=seconds, when=when, day=day, size=size)
    env.filters.update(about=about, amount=amount, counted=counted, glossed=glossed)
    env.globals.update(term=term)
    core = app.jinja_loader

    def visualization_source(name: str) -> tuple[str, str, None] | None:
        cls = registry.visualizations.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if cls is None or cls.template is None:
            return None
        return cls.template.read_text(encoding="utf-8"), str(cls.template), None

    env.loader = jinja2.ChoiceLoader([core, jinja2.FunctionLoader(visualization_source)])  # type: ignore[list-item]
    registry.become(registry.without(broken_templates(env, registry)))


def load_templates(app: Flask) -> None:
    """Compiles all pages now. The first visitors, if they come at once, would each do so and wait for all others."""
    for name in app.jinja_loader.list_templates() if app.jinja_loader else ():
        if name.endswith(".html"):  # an editor leaves other files there
            app.jinja_env.get_template(name)


def forget_templates(env: jinja2.Environment) -> None:
    """Visualizations' own templates are read from their files again."""
    cache = env.cache if env.cache is not None else {}
    for key in list(cache):
        if str(key[1]).startswith(PREFIX):
            with suppress(KeyError):  # another thread was quicker
                del cache[key]


def broken_templates(env: jinja2.Environment, registry: Registry) -> Iterator[Broken]:
    """The visualizations whose templates cannot be parsed."""
    for name, cls in registry.visualizations.items():
        try:
            env.get_template(template_name(cls))
        except (jinja2.TemplateError, OSError, UnicodeError) as error:
            yield Broken.by(str(cls.template), error, name)


def number(value: float | None) -> str:
    """Three significant digits, as people write them: ".899", "−.031", "12.4", "2.1e−6"."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001 or size >= 100_000:
        mantissa, exponent = f"{size:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}".replace("-", "−")
    elif size < 1:
        text = f"{size:.3f}"
        text = text if text.startswith("1") else text[1:]
    else:
        text = f"{size:.3g}" if size < 1000 else f"{size:,.0f}"
    return f"−{text}" if value < 0 else text


def seconds(value: float | None) -> str:
    """A duration: "0.4 s", "12 s", "3 min", "5 h", "12 days"."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    for least, unit, name in ((2 * DAY, DAY, "days"), (2 * HOUR, HOUR, "h"), (120, 60, "min")):
        if value >= least:
            return f"{value / unit:.0f} {name}"
    return f"{value:.0f} s"


def amount(value: int) -> str:
    """A large count: "4.6 million", "62 thousand", "980"."""
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= unit:
            return f"{value / unit:.{0 if value >= 10 * unit else 1}f} {name}"
    return str(value)


def size(value: int) -> str:
    """Bytes: "45 KiB", "0.4 MiB", "12 MiB", "1,024 MiB", "62 GiB"."""
    mebibytes = value / MEBIBYTE
    if mebibytes < 0.1:
        return f"{value / 1024:.0f} KiB"
    if mebibytes < 10:
        return f"{mebibytes:.1f} MiB"
    return f"{mebibytes:,.0f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:,.0f} GiB"


def when(value: float) -> str:
    """A moment of today as "14:03", else as "3 May, 14:03"."""
    moment = datetime.fromtimestamp(value).astimezone()
    if moment.date() == datetime.now().astimezone().date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b, %H:%M}"


def day(value: float) -> str:
    """A date: "2026-11-21"."""
    return f"{datetime.fromtimestamp(value).astimezone():%Y-%m-%d}"
