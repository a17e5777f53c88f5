"""Writes into docs/ what the code itself says: settings, methods, addresses, errors. A test checks that it is current.

A page has it between `<!-- from the code: WHAT -->` and `<!-- end -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

import picasso.errors
from picasso.errors import PicassoError
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.discovery import discover
from picasso.visualizations.forms import FormField, form_fields
from picasso.visualizations.maps import MapVisualization, Method, Tried, in_words
from picasso.web import pages
from picasso.web.blueprint import blueprint

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"(<!-- from the code: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
METHODS_SHOWN = ("GET", "POST")  # HEAD and OPTIONS come with them


def filled(page: str) -> str:
    """A page with its blocks written anew.

    Raises:
        KeyError: a block asks for what there is not.
    """
    known = parts()
    return BLOCK.sub(lambda found: f"{found[1]}{known[found[2]]}{found[3]}", page)


def parts() -> dict[str, str]:
    """Everything that can stand in a page, by its name there."""
    found = {"addresses": addresses(), "errors": errors()}
    for name, visualization in discover().visualizations.items():
        found[f"settings of {name}"] = settings(visualization)
        if issubclass(visualization, MapVisualization):
            found[f"methods of {name}"] = "\n".join(method(visualization, *named) for named in methods(visualization))
    return found


def table(*rows: tuple[str, ...]) -> str:
    """A table; its first row is the head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows]
    return "".join([lines[0], "|---" * len(rows[0]) + "|\n", *lines[1:]])


def settings(visualization: type[BaseVisualization]) -> str:
    """The settings as they are declared, before a model is known."""
    rows = [
        (f"`{field.name}`", field.label, f"`{field.words}`" if field.words else "", values(field), f"{field.help}.")
        for field in form_fields(visualization, {})
    ]
    return table(("setting", "on the page", "default", "values", "meaning"), *rows)


def values(field: FormField) -> str:
    """What a setting may be."""
    unit = f" {field.unit}" if field.unit else ""
    return f"{field.range}{unit}" or ", ".join(f"`{option}`" for option in field.options)


def methods(visualization: type[MapVisualization]) -> Iterator[tuple[str, Method]]:
    """The methods that a visualization's settings choose from, by name; its only one where there is no choice."""
    choices = [field.options for field in form_fields(visualization, {}) if field.name == "method"]
    for name in choices[0] if choices else (visualization.title,):
        chosen = visualization.parse_settings({"method": name} if choices else {})
        yield name, visualization.method(chosen)


def method(visualization: type[MapVisualization], name: str, one: Method) -> str:
    """A method as its result page describes it."""
    sign = f", from “{one.ends[0]}” over zero to “{one.ends[1]}”" if one.signed else ""
    said = [one.explains, one.reading, one.misleads]
    explains, reading, misleads = (text.format(score="logit (or score)") for text in said)
    known = form_fields(visualization, {})
    tried = "; ".join(trial(found, in_words(found.settings, known)) for found in one.tried)
    return (
        f"### {name[0].upper()}{name[1:]}\n\n"
        f"- **Plotted** for each class: {explains}{sign}.\n"
        f"- **How to read it.** {reading}\n"
        f"- **When it misleads.** {misleads}\n"
        f"- **Two things in one picture**: of the espresso and the tripod map lay on the right one (chance: "
        f"50 %) {tried}.\n"
        f"- **Source**: [{one.source}]({one.link}).\n"
    )


def trial(tried: Tried, words: str) -> str:
    """What a method found with two things in one picture."""
    shares = " and ".join(f"{share:.0%}".replace("%", " %") for share in tried.halves)
    return f"{shares} with {words or 'the default settings'}{', **failed**' if tried.failed else ''}"


def addresses() -> str:
    """The addresses of all pages, in their order."""
    app = Flask("picasso", static_folder=None)
    app.register_blueprint(blueprint)
    rows = [
        (verb, f"`{rule.rule}`", first_sentence(inspect.getdoc(app.view_functions[rule.endpoint]) or ""))
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        for verb in METHODS_SHOWN
        if verb in (rule.methods or ())
    ]
    return table(("", "address", "what is there"), *rows)


def first_sentence(text: str) -> str:
    """The first paragraph, in one line."""
    return " ".join(text.partition("\n\n")[0].split())


def errors() -> str:
    """Every kind of error."""
    rows = [
        (f"`{kind.code}`", str(kind.status), str(kind.exit_code), first_sentence(inspect.getdoc(kind) or ""))
        for kind in vars(picasso.errors).values()
        if isinstance(kind, type) and issubclass(kind, PicassoError)
    ]
    return table(("code", "HTTP status", "exit code", "meaning"), *rows)


def main() -> None:
    """Writes all pages anew."""
    assert pages.MODULES  # whose import adds the routes to the blueprint
    for path in DOCS.rglob("*.md"):
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
