"""Runs beside each other: a row for each picture, a column for each run and class, a cell for each map."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from flask import url_for

from picasso.attribution.agreement import Box, agreement, on_one_grid, total_variation
from picasso.attribution.occlusion import average
from picasso.attribution.targets import FloatArray
from picasso.checkpoints import training_and_step
from picasso.errors import NotFound
from picasso.runs.artifacts import Artifact
from picasso.runs.run import Run, State, StoredImage
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.forms import FormField, form_fields
from picasso.web.services import services
from picasso.web.views import InputView, input_views, results_of, run_labels

Order = Literal["uploaded", "maps", "answers"]
Leads = Literal["first", "last"]
ORDERS: tuple[Order, ...] = ("uploaded", "maps", "answers")
PARTS = 1_000_000  # how finely a run's progress tells two states of a cell apart
RANKS = ("best class", "second best", "third best", "fourth best", "fifth best")


@dataclass(frozen=True)
class Pick:
    """Which class a column shows: the one with this index in the first run's model, or each picture's n-th best."""

    index: int | None = None
    rank: int = 1


@dataclass(frozen=True)
class Class:
    """A class as one model has it; other models may have it at another place."""

    index: int
    label: str


@dataclass
class Beside:
    """A run as it is compared: what it has so far, and how people know it."""

    run: Run
    visualization: type[BaseVisualization] | None
    manifest: Mapping[str, Any] | None
    results: list[Any]
    images: list[StoredImage]
    inputs: list[InputView]

    @cached_property
    def title(self) -> str:
        """The visualization's."""
        return self.visualization.title if self.visualization else self.run.visualization

    @cached_property
    def model(self) -> str:
        """What pages call its model."""
        return services().engine.roster.label(self.run.model)

    @cached_property
    def fields(self) -> list[FormField]:
        """Its settings, as far as they are known: those left out are the model's own, once it is open."""
        fields = form_fields(self.visualization, self.run.settings) if self.visualization else []
        return [one for one in fields if one.name in self.run.settings and one.used and one.words]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The names of all classes of the model that made it; empty where they are not known (any more)."""
        return known_labels(self.run)

    def lost(self) -> bool:
        """Whether its files are gone."""
        return self.run.state is State.DONE and self.manifest is None


@dataclass
class Column:
    """A run and a class of it. `says` are the settings in which it differs from the other columns."""

    beside: Beside
    pick: Pick
    says: list[str] = field(default_factory=list)
    shows: str = ""  # which class, where columns differ in that


@dataclass
class Cell:
    """One picture in one column.

    Attributes:
        name: of its element in the page.
        leader: whose best class is shown; None for that cell itself.
        other: what its map is compared with; None for that cell itself.
        one: the map that is shown, as templates have maps, or None; `why` says why there is none.
        unit: what is plotted, and by which method where several columns plot the like.
    """

    name: str
    column: Column
    place: int | None  # of the picture in its run
    leader: Cell | None = None
    other: Cell | None = None
    unit: str = ""

    @cached_property
    def beside(self) -> Beside:
        """Its run."""
        return self.column.beside

    @cached_property
    def state(self) -> str:
        """ "done", "queued", "running" (with a map that sharpens, or without one), "failed", ..., or "absent"."""
        if self.place is None:
            return "absent"
        if self.beside.lost():
            return "failed"
        if self.beside.run.state is State.RUNNING and self.place < len(self.beside.results) - 1:
            return "done"
        if self.beside.run.state is State.DONE and self.place >= len(self.beside.results):
            return "absent"
        return str(self.beside.run.state)

    @property
    def step(self) -> int | None:
        """Of the training whose checkpoint made it."""
        known = training_and_step(self.beside.run.model)
        return known[1] if known else None

    @cached_property
    def input(self) -> InputView | None:
        """The picture."""
        return None if self.place is None else self.beside.inputs[self.place]

    @cached_property
    def result(self) -> Any:
        """What is there of this picture."""
        results = self.beside.results
        return results[self.place] if self.place is not None and self.place < len(results) else None

    @cached_property
    def wanted(self) -> Class | None:
        """The class that is to be shown, as this model has it."""
        if self.leader is None or self.leader.wanted is None:
            return self._own(self.column.pick)
        return same_class(self.leader.wanted, self.leader.beside.labels, self.beside.labels)

    def _own(self, pick: Pick) -> Class | None:
        if pick.index is not None:
            labels = self.beside.labels
            if labels:
                return Class(pick.index, labels[pick.index]) if pick.index < len(labels) else None
            listed = (one for one in ranked(self.result) if one.index == pick.index)
            return next(listed, Class(pick.index, f"class {pick.index}"))
        best = ranked(self.result)
        return best[pick.rank - 1] if len(best) >= pick.rank else None

    @cached_property
    def one(self) -> dict[str, Any] | None:
        """The map of that class, as `picasso_map` takes it."""
        if self.result is None or self.wanted is None or "maps" not in self.result:
            return None
        same = [one for one in self.result["maps"] if one["label"] == self.wanted.label]
        exact = [one for one in same if one.get("index") == self.wanted.index]
        if same:
            return dict((exact or same)[0])
        return of_any_class(self.beside.run, self.place or 0, self.result, self.wanted)

    @property
    def why(self) -> str:
        """Why there is no map, as a sentence."""
        if self.result is None or self.one is not None:
            return ""
        if "maps" not in self.result:
            return "" if "predictions" in self.result else f"{self.beside.title} has no maps of classes to compare."
        if self.wanted is None:
            return "This model has no such class."
        shown = ", ".join(one["label"] for one in self.result["maps"])
        return f"No map of {self.wanted.label} here: this run has only those of {shown}. Run it with more classes."

    @property
    def signed(self) -> bool:
        """Whether the map has a sign."""
        return bool(self.result.get("signed")) if self.result else False

    @cached_property
    def prediction(self) -> dict[str, Any] | None:
        """The model's best class: {"label", "score"}."""
        if self.result is None:
            return None
        found = self.result.get("predictions") or self.result.get("maps")
        return found[0] if found else None

    @cached_property
    def score(self) -> float | None:
        """The score of the class that is shown."""
        if self.one is None or self.wanted is None:
            return None
        answer = answer_of(self.result)
        return float(answer[self.wanted.index]) if answer is not None else self.one.get("score")

    @cached_property
    def agreement(self) -> float | None:
        """The rank correlation of this map with the other's; None until both are whole."""
        other = self.other
        if other is None or self.one is None or other.one is None:
            return None
        whole = all(one.beside.run.state is State.DONE for one in (self, other))
        return _agreement(self._grid(), other._grid()) if whole else None

    def _grid(self) -> _Grid:
        assert self.one is not None
        box = self.result.get("box")
        artifact = self.one["map"]
        return _Grid(artifact.url, tuple(box) if box else None, self.signed, artifact.load)

    @property
    def stamp(self) -> str:
        """Another one when the cell would look otherwise."""
        run = self.beside.run
        version = int(run.progress * PARTS) if self.state == "running" and self.result is not None else 0
        waits = int(run.progress * 100) if self.state == "running" else 0
        other = f"{self.other.name}.{self.other.beside.run.state}" if self.other else ""
        shown = self.wanted.index if self.wanted else ""
        return f"{self.state}.{version}.{waits}.{other}.{shown}.{int(run.state.finished)}"


@dataclass(frozen=True)
class _Grid:
    """A map's numbers and where they lie; equal where its address is."""

    url: str
    box: Box | None
    signed: bool
    load: Callable[[], FloatArray] = field(compare=False)


@lru_cache(maxsize=4096)  # addresses of finished maps never mean other numbers; a correlation takes 20 ms
def _agreement(a: _Grid, b: _Grid) -> float | None:
    return agreement(*on_one_grid(a.load(), a.box, b.load(), b.box), signed=a.signed and b.signed)


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

    def limits(self) -> dict[tuple[str, bool], tuple[float, float]]:
        """For each unit, with sign or without, the values at the ends of the colours that its maps share."""
        found: dict[tuple[str, bool], tuple[float, float]] = {}
        for cell in self.cells:
            if cell.one is None or not _is_finite(cell.one["low"]) or not _is_finite(cell.one["high"]):
                continue
            end = cell.one.get("limit")
            end = max(cell.one["high"], -cell.one["low"]) if end is None else end
            key = (cell.unit, cell.signed)
            before = found.get(key, (0.0, 0.0))
            end = max(end, before[1])
            found[key] = (-end if cell.signed else min(before[0], cell.one["low"]), end)
        return found

    def ranges_stamp(self, limits: Mapping[tuple[str, bool], tuple[float, float]]) -> str:
        """Another one when a range is another, or has more maps."""
        return ";".join(
            f"{key[0]}{int(key[1])}:{low:g}:{high:g}:{self.maps_in(*key)}" for key, (low, high) in limits.items()
        )

    def plotting(self, unit: str, signed: bool) -> str:
        """The visualizations that plot it."""
        cells = [cell for cell in self.cells if cell.one is not None and (cell.unit, cell.signed) == (unit, signed)]
        return ", ".join(dict.fromkeys(cell.beside.title for cell in cells))

    def maps_in(self, unit: str, signed: bool) -> int:
        """How many maps share that range."""
        return sum(cell.one is not None and (cell.unit, cell.signed) == (unit, signed) for cell in self.cells)


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


def same_class(cls: Class, labels: Sequence[str], others: Sequence[str]) -> Class | None:
    """A class of one model as another has it: of the same name, and of the same number where there are several.

    Where the names are not known, the same number. None where the other model has no such class.
    """
    if not others or (cls.index < len(others) and others[cls.index] == cls.label):
        return cls
    mine = [index for index, label in enumerate(labels) if label == cls.label]
    theirs = [index for index, label in enumerate(others) if label == cls.label]
    if not theirs:
        return None
    nth = mine.index(cls.index) if cls.index in mine else 0
    return Class(theirs[min(nth, len(theirs) - 1)], cls.label)


def ranked(result: Any) -> list[Class]:
    """The classes that a result lists, the best first."""
    if result is None:
        return []
    found = result.get("predictions") or result.get("maps") or []
    return [Class(one.get("index", at), one["label"]) for at, one in enumerate(found)]


def known_labels(run: Run) -> tuple[str, ...]:
    """The names of all classes of the model that made a run; empty where they are not known (any more)."""
    try:
        return tuple(run_labels(run))
    except NotFound:
        return ()


def answer_of(result: Any) -> FloatArray | None:
    """The scores of all classes (classes,), where a result has kept them."""
    answer = result.get("answer") if isinstance(result, Mapping) else None
    return answer.load() if isinstance(answer, Artifact) else None


def of_any_class(run: Run, place: int, result: Mapping[str, Any], wanted: Class) -> dict[str, Any] | None:
    """The map of a class that was not asked for, where a result has the scores of all classes at all positions."""
    if "corners" not in result or "scores" not in result or wanted.index >= result["scores"].shape[1]:
        return None
    values = occluded(result, wanted.index)

    def url(name: str) -> str:
        return url_for("pages.map_of_class", run=run.id, number=place, index=wanted.index, name=name)

    # Made anew when it is read: whoever keeps the artifact does not keep the numbers.
    artifact = Artifact(url("map.npy"), "array", values.shape, lambda: occluded(result, wanted.index))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return {"index": wanted.index, "label": wanted.label, "map": artifact, "low": low, "high": high}


def occluded(result: Mapping[str, Any], index: int) -> FloatArray:
    """What hiding each part costs a class: float32 (height, width), from the scores that a result has kept.

    Raises:
        NotFound: it has none of that class.
    """
    if "corners" not in result or index >= result["scores"].shape[1]:
        raise NotFound("This run has no scores of that class at all positions.")
    drop = result["base"].load()[index] - result["scores"].load()[:, index]
    height, width = result["fill"].shape[:2]
    window = (int(result["window"][0]), int(result["window"][1]))
    return average(drop, result["corners"].load(), window, (height, width))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
