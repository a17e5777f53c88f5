"""The names of classes: from the config, from text, JSON and table files, ImageNet's."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from picasso.config import LABEL_FILES, import_function
from picasso.errors import ConfigError
from picasso.models import imagenet_labels

DELIMITERS = ",;\t|"
# What columns are called, in small letters without spaces and underscores.
NAMES = {"name", "names", "label", "labels", "class", "classes", "classname", "labelname", "category", "description"}
NUMBERS = {"index", "id", "idx", "number", "classid", "classindex", "classidx", "labelid", "classnumber", "target", ""}


def load_labels(
    source: list[str] | str | None,
    classes: int,
    sigmoid: bool = False,
    outputs: Mapping[str, int | None] = MappingProxyType({}),
) -> list[str]:
    """The names of all classes, in the order of the model's outputs.

    Args:
        source: `MODEL_LABELS`: a list, a text, JSON or table file, "imagenet", "module:function", or None
            ("class 0", ...).
        classes: how many outputs the model has.
        sigmoid: they come out of a sigmoid. A single one may have two names: what a score near 0 means, near 1 means.
        outputs: the model's outputs with their numbers of classes, for the error.

    Raises:
        ConfigError: the file cannot be read, or has another number of names than the model has classes.
    """
    if source is None:
        return [f"class {index}" for index in range(classes)]
    labels = source if isinstance(source, list) else _read(source, classes)
    both_sides = sigmoid and classes == 1 and len(labels) == 2
    if len(labels) != classes and not both_sides:
        raise _refused(
            f"MODEL_LABELS has {len(labels)} names, but the model has {classes} classes. "
            f"Give one name for each class, in their order.{_other_outputs(outputs, len(labels))}"
        )
    return [str(label) for label in labels]


def _other_outputs(outputs: Mapping[str, int | None], names: int) -> str:
    """Sentences on which output so many names may belong to; empty for a model of one output."""
    if len(outputs) < 2:
        return ""
    listed = ", ".join(f"{output} ({classes or 'any number'})" for output, classes in outputs.items())
    fitting = [f'MODEL_OUTPUT = "{output}"' for output, classes in outputs.items() if classes == names]
    write = " or ".join(fitting) or "MODEL_OUTPUT for another one"
    return f" The model has several outputs, with these numbers of classes: {listed}. Write {write}."


def _refused(sentence: str) -> ConfigError:
    return ConfigError(sentence, field="MODEL_LABELS")


def _read(source: str, classes: int) -> list[Any]:
    if source == "imagenet":
        return imagenet_labels.labels()
    path = Path(source)
    if path.suffix not in LABEL_FILES:
        return list(import_function(source, "MODEL_LABELS")())
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors write a mark first
        if path.suffix == ".txt":
            return [line.strip() for line in text.splitlines() if line.strip()]
        if path.suffix == ".json":
            return _from_json(json.loads(text), path)
        return from_table(text, path, classes)
    except (OSError, ValueError, csv.Error) as error:
        raise _refused(f"MODEL_LABELS: {path} cannot be read: {error}") from error


def _from_json(content: Any, path: Path) -> list[Any]:
    if isinstance(content, dict):  # {"0": "tench", ...}, or Keras' own {"0": ["n01440764", "tench"], ...}
        if set(content) != {str(index) for index in range(len(content))}:
            raise _refused(f"MODEL_LABELS: the keys of {path} must be the class numbers from 0 on.")
        names = [content[str(index)] for index in range(len(content))]
        return [name[-1] if isinstance(name, list) and name else name for name in names]
    if not isinstance(content, list):
        raise _refused(f"MODEL_LABELS: {path} must hold a list of names, or names by class number.")
    return content


def from_table(text: str, path: Path, classes: int) -> list[str]:
    """The names in a table: one column of them, or one beside a column of class numbers, with or without a header.

    Args:
        text: its content: cells parted by commas, semicolons, tabs or bars, quoted or not.
        path: for errors.
        classes: a first line called "name" or so is the header if without it there are so many names.

    Raises:
        ConfigError: the columns cannot be told apart, or the numbers are not 0, 1, 2, ...
    """
    rows = _cells(text)
    if not rows:
        raise _refused(f"MODEL_LABELS: {path} is empty.")
    if len(rows[0]) == 1:
        has_header = len(rows) == classes + 1 and _plain(rows[0][0]) in NAMES
        return [row[0] for row in rows[has_header:]]
    has_header = not any(cell.isdecimal() for cell in rows[0])
    header = [_plain(cell) for cell in rows[0]] if has_header else [""] * len(rows[0])
    columns = list(zip(*rows[has_header:], strict=True))
    numbered = [at for at, column in enumerate(columns) if all(cell.isdecimal() for cell in column)]
    number = _the_one(numbered, header, NUMBERS, "the class numbers 0, 1, 2, ...", path)
    others = [at for at in range(len(columns)) if at != number]
    name = _the_one(others, header, NAMES, "the names", path)
    numbers = [int(cell) for cell in columns[number]]
    _check_numbers(numbers, path)
    return [label for _, label in sorted(zip(numbers, columns[name], strict=True))]


def _cells(text: str) -> list[list[str]]:
    """The rows that are not empty, cut by the delimiter that gives all of them several cells; else one cell each."""
    tables = []
    for delimiter in DELIMITERS:
        lines = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
        rows = [[cell.strip() for cell in row] for row in lines]
        tables.append([row for row in rows if any(row)])
    even = [rows for rows in tables if len({len(row) for row in rows}) == 1]
    uncut = [[line.strip()] for line in text.splitlines() if line.strip()]
    return max(even, key=lambda rows: len(rows[0]) > 1, default=uncut)  # the first of several columns, if any


def _plain(cell: str) -> str:
    return cell.lower().replace("_", "").replace(" ", "").replace("-", "")


def _the_one(candidates: list[int], header: list[str], words: set[str], what: str, path: Path) -> int:
    """Of several columns that may hold `what` the only one, or the only one that the header calls so."""
    called = [at for at in candidates if header[at] in words]
    for found in (candidates, called):
        if len(found) == 1:
            return found[0]
    raise _refused(
        f"MODEL_LABELS: which column of {path} holds {what}? Keep two columns, with the header index,name, or one "
        "column of names."
    )


def _check_numbers(numbers: list[int], path: Path) -> None:
    """Refuses all but 0, 1, 2, ... in any order. From 1 on as well: such lists may have an order of their own."""
    wanted = set(range(len(numbers)))
    if set(numbers) == wanted:
        return
    hint = ""
    if set(numbers) == {number + 1 for number in wanted}:
        hint = " They begin with 1: take 1 off each, if this is the order of the model's outputs."
    raise _refused(
        f"MODEL_LABELS: the class numbers in {path} must be 0 to {len(numbers) - 1}, each once; "
        f"{min(wanted - set(numbers))} is missing.{hint}"
    )
