"""What `picasso explain` says: lines of JSON or a table on stdout, sums and failures on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from picasso.errors import Cancelled, Differs
from picasso.local.again import Distance, Repetition
from picasso.local.folder import as_json
from picasso.local.keeping import Kept
from picasso.local.pictures import Failure

ROWS = 20  # images in the table, and failures that are named; all are in the JSON
CLASSES = 3  # of an image in the table
VIEW = "view.png"  # what the model saw


class Report:
    """Takes what comes of each image, and keeps only what the end needs.

    Attributes:
        ended: set where somebody ended it early.
    """

    def __init__(self, stdout: TextIO, out: Path | None, json: bool) -> None:
        self.ended: Cancelled | None = None
        self._stdout, self._out, self._json = stdout, out, json
        self._new = self._old = self._failed = 0
        self._rows: list[Mapping[str, Any]] = []
        self._failures: list[Failure] = []

    def take(self, found: Kept | Failure) -> None:
        """An image; its line of JSON is written at once."""
        if isinstance(found, Failure):
            self._failed += 1
            self._failures += [found] if len(self._failures) < ROWS else []
            line = found.as_dict()
        else:
            self._new += found.new
            self._old += not found.new
            self._rows += [found.record] if len(self._rows) < ROWS else []
            line = found.record
        if self._json:
            self._stdout.write(f"{as_json(line)}\n")
            self._stdout.flush()

    def finish(self, run: Mapping[str, Any]) -> None:
        """Says the rest.

        Raises:
            PicassoError: what the exit code is that of, without a message: all is said.
        """
        if self._rows and not self._json:
            self._table(run)
        if self._old:
            say(f"{self._old:,} of these were there already.")
        if self._out and self._rows:
            say(f"The results are in {self._out}.")
        elif not self._json and any(_beside_classes(record) for record in self._rows):
            say("There is more than classes: --out DIR keeps maps, pictures and arrays, --json prints all else.")
        say_failures(self._failures, self._failed)
        if self.ended:
            more = " The same command goes on." if self._out else ""
            say(f"Ended. {images(self._new)} explained.{more}")
            raise Cancelled("")
        if self._failures:
            raise type(self._failures[0].error)("")

    def _table(self, run: Mapping[str, Any]) -> None:
        console = Console(file=self._stdout)
        table = Table(box=SIMPLE, title=Text(f"{run['visualization']['title']} · {run['model']['name']}"))
        table.add_column("image", overflow="fold")
        table.add_column(f"class and {run['model']['score_kind']}", overflow="fold")
        for record in self._rows:
            table.add_row(Text(printable(record["name"])), Text(_classes(record, run["model"]["score_kind"])))
        console.print(table)
        rest = self._new + self._old - len(self._rows)
        if rest:
            console.print(f"and {rest:,} more")


def say(sentence: str) -> None:
    """On stderr."""
    click.echo(printable(sentence), err=True)


def printable(text: str) -> str:
    """Text without what a terminal takes for a command, and without bytes that are no text: names may have both."""
    known = text.encode(errors="surrogateescape").decode(errors="replace").replace("\n", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in known)


def images(count: int) -> str:
    """ "1 image was", "2 images were"."""
    return "1 image was" if count == 1 else f"{count:,} images were"


def say_failures(failures: list[Failure], count: int) -> None:
    """Names the images that could not be explained, the first of many."""
    if not count:
        return
    say(f"{images(count)} not explained:")
    for one in failures:
        say(f"  {one.path or one.name}: {one.error.message}")
    if count > len(failures):
        say(f"  and {count - len(failures):,} more")


def _classes(record: Mapping[str, Any], kind: str) -> str:
    best = ", ".join(f"{one['label']} {_written(one['score'], kind)}" for one in record["predictions"][:CLASSES])
    return best or "lists no classes"


def _beside_classes(record: Mapping[str, Any]) -> bool:
    """Whether there is more to see of an image than its classes and the picture that the model saw."""
    drawn = any(one["drawn"] or (one["kind"] == "image" and one["name"] != VIEW) for one in record["artifacts"])
    return drawn or bool(record["outputs"]) or not record["predictions"]


def _written(score: float | None, kind: str) -> str:
    if score is None:
        return "–"
    return f"{score:.1%}".replace("%", " %") if kind == "probability" else f"{score:.4g}"


def report_repetition(found: Repetition, run: Mapping[str, Any], stdout: TextIO, json: bool) -> None:
    """What came of repeating a run.

    Raises:
        Differs: the arrays are not what they were.
        PicassoError: an image could not be explained.
    """
    if json:
        stdout.write(f"{as_json(found.as_dict())}\n")
    else:
        _say_repetition(found, run, stdout)
    say_failures(found.failures[:ROWS], len(found.failures))
    if not found.same:
        raise Differs("")
    if found.failures:
        raise type(found.failures[0].error)("")


def _say_repetition(found: Repetition, run: Mapping[str, Any], stdout: TextIO) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {"Run": f"{run['visualization']['title']} · {run['model']['name']}", "Images": f"{found.images:,}"}
    rows["Differs"] = "\n".join(found.differences) or "nothing: model, settings, libraries and machine are the same"
    rows["Arrays"] = _arrays(found)
    for what, value in rows.items():
        table.add_row(what, Text(value))
    Console(file=stdout).print(table)


def _arrays(found: Repetition) -> str:
    lines = [f"{found.arrays:,}, of which {found.identical:,} are identical"]
    if found.largest:
        lines.append(_difference(found.largest))
    lines += [f"{name} is only there, or only here" for name in found.lost[:ROWS]]
    return "\n".join(lines)


def _difference(one: Distance) -> str:
    name = f"{one.result}/{one.array}"
    if one.shapes[0] != one.shapes[1]:
        then, now = (" x ".join(map(str, shape)) or "one number" for shape in one.shapes)
        return f"the shape of {name} is {then} there and {now} here"
    if not isfinite(one.absolute):
        return f"{name} has numbers where it had none, or none where it had some"
    share = f", {one.share:.2g} of the largest value," if isfinite(one.share) else ", where all was 0,"
    size = "rounding" if one.is_rounding else "more than rounding"
    return f"the largest difference is {one.absolute:.3g}{share} in {name}: {size}"
