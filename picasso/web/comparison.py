"""Runs beside each other: a row for each picture, a column for each run and class, in an order, with shared colours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from picasso.attribution.agreement import total_variation
from picasso.runs.run import Run, State, StoredImage
from picasso.web.cells import Beside, Cell, Column, Pick, answer_of
from picasso.web.services import services
from picasso.web.views import InputView, input_views, results_of

Order = Literal["uploaded", "maps", "answers"]
Kind = tuple[str, bool]  # the unit of a map, and whether it has a sign
Leads = Literal["first", "last"]
ORDERS: tuple[Order, ...] = ("uploaded", "maps", "answers")
RANKS = ("best class", "second best", "third best", "fourth best", "fifth best")


@dataclass
class Row:
    """One picture in all columns.

    Attributes:
        number: its place as uploaded.
        apart: by how much the two columns disagree, where rows are sorted by that.
    """

    number: int
    image: StoredImage
    input: InputView
    cells: list[Cell]
    apart: float | None = None


@dataclass
class Comparison:
    """What a page shows. `order_note` says why the rows cannot be sorted as was asked."""

    besides: list[Beside]
    columns: list[Column]
    rows: list[Row]
    order: Order = "uploaded"
    order_note: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more will change."""
        return all(beside.run.state.finished for beside in self.besides)

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [cell for row in self.rows for cell in row.cells]

    @property
    def sortable(self) -> bool:
        """Whether there are two runs, whose rows can be sorted by how much they disagree."""
        return len(self.besides) == 2 and len(self.columns) == 2

    @cached_property
    def kinds(self) -> dict[Kind, list[Cell]]:
        """The cells that have a map, by what is plotted: those of one kind share a range of colours."""
        found: dict[Kind, list[Cell]] = {}
        for cell in self.cells:
            if cell.one is not None:
                found.setdefault((cell.unit, cell.signed), []).append(cell)
        return found

    @property
    def kinds_stamp(self) -> str:
        """Another one when there is another kind of map, or more of one."""
        return ";".join(f"{unit}{int(signed)}:{len(cells)}" for (unit, signed), cells in self.kinds.items())

    @cached_property
    def shared_ends(self) -> dict[Kind, tuple[float, float]]:
        """For each kind of map the values at the ends of its colours, for pictures without JavaScript.

        With it, maps find their ends by themselves (static/map/range.js), and people choose others.
        """
        return {kind: _ends([cell.one for cell in cells if cell.one], kind[1]) for kind, cells in self.kinds.items()}


def compare(
    runs: Sequence[Run], picks: Sequence[Pick], order: Order = "uploaded", leads: Leads = "first"
) -> Comparison:
    """Lays runs of one session side by side.

    Args:
        runs: at least one.
        picks: the classes of each, at least one.
        leads: which run says what the best classes are, and is what the others are compared with: the first, or, in a
            training, the last that has an answer.
    """
    pictures: dict[str, StoredImage] = {}
    besides = [_beside(run, pictures) for run in runs]
    columns = [Column(beside, pick) for beside in besides for pick in picks]
    _tell_apart(columns)
    rows = [_row(number, image, columns, leads) for number, image in enumerate(_all_pictures(besides))]
    comparison = Comparison(besides, columns, rows)
    _name_units(comparison)
    _sort(comparison, order)
    return comparison


def _beside(run: Run, pictures: dict[str, StoredImage]) -> Beside:
    store = services().store
    for image in run.images:
        if image not in pictures:
            pictures[image] = store.image(run.session, image)
    images = [pictures[image] for image in run.images]
    manifest = store.manifest(run) if run.state is State.DONE else None
    found = services().registry.visualizations.get(run.visualization)
    return Beside(run, found, manifest, results_of(run, manifest), images, input_views(images))


def _all_pictures(besides: Sequence[Beside]) -> list[StoredImage]:
    """Each once, whenever it was uploaded, in the order of the columns."""
    found: dict[str, StoredImage] = {}
    for beside in besides:
        for image in beside.images:
            found.setdefault(image.digest, image)
    return list(found.values())


def _row(number: int, image: StoredImage, columns: Sequence[Column], leads: Leads) -> Row:
    cells = []
    for at, column in enumerate(columns):
        digests = [one.digest for one in column.beside.images]
        place = digests.index(image.digest) if image.digest in digests else None
        cells.append(Cell(f"cell-{number}-{at}", column, place))
    for pick in {column.pick for column in columns}:
        like = [cell for cell in cells if cell.column.pick == pick]
        answered = [cell for cell in like if cell.result is not None]
        leader = answered[-1] if leads == "last" and answered else like[0]
        for cell in like:
            cell.leader = None if cell is leader else leader
    other = cells[0].leader or cells[0] if leads == "last" else cells[0]
    for cell in cells:
        cell.other = None if cell is other else other
    return Row(number, image, input_views([image])[0], cells)


def _tell_apart(columns: Sequence[Column]) -> None:
    """Writes over each column the settings in which it differs from others of the same visualization."""
    picks = {column.pick for column in columns}
    for column in columns:
        like = [other.beside for other in columns if other.beside.title == column.beside.title]
        for setting in column.beside.fields:
            others = {next((one.words for one in other.fields if one.name == setting.name), None) for other in like}
            if len(others) > 1:
                unit = f" {setting.unit}" if setting.unit else ""
                column.says.append(f"{setting.label.lower()} {setting.words}{unit}")
        if len(picks) > 1:
            column.shows = _pick_words(column)


def _pick_words(column: Column) -> str:
    if column.pick.index is None:
        return RANKS[column.pick.rank - 1]
    labels = column.beside.labels
    return labels[column.pick.index] if column.pick.index < len(labels) else f"class {column.pick.index}"


def _name_units(comparison: Comparison) -> None:
    """Only what is plotted alike shares colours: where visualizations or methods differ, their name is in the unit."""
    shown = [cell for cell in comparison.cells if cell.one is not None]
    alike: dict[tuple[str, bool], set[str]] = {}
    for cell in shown:
        alike.setdefault((_plotted(cell), cell.signed), set()).add(_method(cell))
    for cell in shown:
        plotted = _plotted(cell)
        cell.unit = f"{plotted}, {_method(cell)}" if len(alike[plotted, cell.signed]) > 1 else plotted


def _plotted(cell: Cell) -> str:
    return str(cell.result.get("plotted") or "value")


def _method(cell: Cell) -> str:
    method = next((one.words for one in cell.beside.fields if one.name == "method"), "")
    return method or cell.beside.title.lower()


def _sort(comparison: Comparison, order: Order) -> None:
    if order == "uploaded" or not comparison.sortable:
        return
    if not comparison.finished:
        comparison.order_note = "The rows are sorted when all runs have ended."
        return
    for row in comparison.rows:
        row.apart = _maps_apart(row) if order == "maps" else answers_apart(*row.cells)
    if all(row.apart is None for row in comparison.rows):
        comparison.order_note = {
            "maps": "The rows are not sorted: no picture has a map of one class in both columns.",
            "answers": "The rows are not sorted: the scores of all classes are not there for both columns, or they are "
            "no probabilities.",
        }[order]
        return
    comparison.order = order
    comparison.rows.sort(key=lambda row: -math.inf if row.apart is None else row.apart, reverse=True)


def _maps_apart(row: Row) -> float | None:
    found = row.cells[1].agreement
    return None if found is None else 1 - found


def answers_apart(one: Cell, other: Cell) -> float | None:
    """The total variation of two models' answers, 0..1; None where they are not known or no probabilities.

    Classes are the same where they have the same name; one that only one model has counts as 0 in the other.
    """
    if one.result is None or other.result is None:
        return None
    if any(cell.result.get("score_kind") != "probability" for cell in (one, other)):
        return None
    p, q = answer_of(one.result), answer_of(other.result)
    if p is None or q is None:
        return None
    mine, theirs = one.beside.labels, other.beside.labels
    if mine == theirs:
        return total_variation(p, q) if p.shape == q.shape else None
    if (len(mine), len(theirs)) != (len(p), len(q)):
        return None
    places = {key: place for place, key in enumerate(dict.fromkeys([*_numbered(mine), *_numbered(theirs)]))}
    spread = np.zeros((2, len(places)), np.float32)
    for at, labels, scores in ((0, mine, p), (1, theirs, q)):
        spread[at, [places[key] for key in _numbered(labels)]] = scores
    return total_variation(spread[0], spread[1])


def _numbered(labels: Sequence[str]) -> list[tuple[str, int]]:
    """Names with how often they came before: ImageNet has two cranes."""
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        numbered.append((label, seen[label]))
        seen[label] += 1
    return numbered


def _ends(maps: Sequence[Mapping[str, Any]], signed: bool) -> tuple[float, float]:
    known = [one for one in maps if all(_is_finite(one[end]) for end in ("low", "high"))]
    limits = [max(one["high"], -one["low"]) if one.get("limit") is None else one["limit"] for one in known]
    largest = max(limits, default=0.0)
    return -largest if signed else min([0.0, *(one["low"] for one in known)]), largest


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
