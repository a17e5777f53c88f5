"""A cell of a comparison: one picture in one run, the map of one class of it, and what is said of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from flask import url_for

from picasso.attribution.agreement import Box, agreement, on_one_grid
from picasso.attribution.occlusion import average
from picasso.attribution.targets import FloatArray
from picasso.checkpoints import training_and_step
from picasso.errors import NotFound
from picasso.runs.artifacts import Artifact
from picasso.runs.run import Run, State, StoredImage
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.forms import FormField, form_fields
from picasso.web.classes import Class, known_labels, ranked, same_class
from picasso.web.services import services
from picasso.web.views import InputView, failures

PARTS = 1_000_000  # how finely a run's progress tells two states of a cell apart


@dataclass(frozen=True)
class Pick:
    """Which class a column shows: the one with this index in the first run's model, or each picture's n-th best."""

    index: int | None = None
    rank: int = 1


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
        if self.beside.lost() or self.failure:
            return "failed"
        if self.beside.run.state is State.RUNNING and self.place < len(self.beside.results) - 1:
            return "done"
        if self.beside.run.state is State.DONE and self.place >= len(self.beside.results):
            return "absent"
        return str(self.beside.run.state)

    @property
    def failure(self) -> str:
        """Why a run that is done has no result of this picture, as a sentence; "" where it has."""
        return "" if self.place is None else failures(self.beside.manifest).get(self.beside.images[self.place].id, "")

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
