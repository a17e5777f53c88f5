"""The checks of one picture, one after the other, and what is there of them already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from picasso.attribution.agreement import cascade, spearman
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray
from picasso.errors import ModelError
from picasso.models.base import Model
from picasso.models.decoding import Prediction
from picasso.visualizations.base import Settings
from picasso.visualizations.checked import METHODS
from picasso.visualizations.checks import (
    PARTLY,
    SAME,
    STABLE,
    STRONGEST,
    check_agreement,
    check_hiding,
    check_seed,
    check_shuffling,
)

Tell = Callable[[str, dict[str, Any] | None], None]
"""Told what is being done, and what is there already, None for nothing. It may raise `Enough`."""


class Enough(Exception):
    """The person wants the checks that are done, and no more."""


@dataclass
class _OfClass:
    """What is there of one class, by method; `maps` has only those that are not the same everywhere."""

    prediction: Prediction
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    maps: dict[str, FloatArray] = field(default_factory=dict)
    stages: dict[str, list[tuple[int, float | None]]] = field(default_factory=dict)


class Checks:
    """The checks of one picture (height, width, channels).

    Args:
        predictions: the classes that are explained, whatever a shuffled model says.
        settings: those of `Trust`; `own`: those that each method's maps are drawn with.
        tell: called before every step.
    """

    def __init__(
        self,
        model: Model,
        x: FloatArray,
        predictions: Sequence[Prediction],
        settings: Any,
        own: Mapping[str, Settings],
        tell: Tell,
    ) -> None:
        self.model, self.x, self.settings, self.own, self._tell = model, x, settings, own, tell
        self.layers = len(model.weighted_layers)
        self.classes = [_OfClass(prediction) for prediction in predictions]

    def run(self) -> dict[str, Any] | None:
        """All of them, or those that were done when the person had enough; None where none was."""
        with suppress(Enough):
            for name in self.own:
                self._hide(name)
            for name in self.own:
                if METHODS[name].seeded(self.own[name]):
                    self._repeat(name)
            for count in cascade(self.layers):
                self._shuffle(count)
        for one in self.classes:  # no model call
            for name in one.maps:
                agreement = check_agreement(one.maps, name, moves=self.settings.maps, seed=self.settings.seed)
                one.found[name]["agreement"] = agreement
        return self._result()

    def _result(self) -> dict[str, Any] | None:
        """What the page and the manifest are given. "not_begun" has the methods whose checks are still to come."""
        if not any(one.found for one in self.classes):
            return None
        return {
            "score_kind": self.model.info.score_kind,
            "layers": self.layers,
            "strongest": STRONGEST,
            "thresholds": {"same": SAME, "partly": PARTLY, "stable": STABLE},
            "classes": [
                {
                    **one.prediction.as_dict(),
                    "methods": [{"name": name, **found} for name, found in one.found.items()],
                    "not_begun": [name for name in self.own if name not in one.found],
                }
                for one in self.classes
            ],
        }

    def _draw(self, name: str, doing: str, **changed: Any) -> FloatArray:
        """A method's maps of all classes, of the model as it is now: float32 (classes, height, width)."""

        def step(share: float, _maps: FloatArray | None = None) -> bool:
            if share < 1:
                self._tell(doing, self._result())
            return False  # a part of a map is not checked

        step(0)
        classes = [one.prediction.index for one in self.classes]
        own = self.own[name].model_copy(update=changed)
        return METHODS[name].draw(self.model, self.x, classes, own, step)

    def _hide(self, name: str) -> None:
        """Draws a method's maps, and hides and shows the picture in their order."""
        fill = make_fill(self.settings.fill, self.x, self.model.solid)

        def step(share: float) -> None:
            if share < 1:
                self._tell(f"hiding pixels in the order of {name}", self._result())

        for one, values in zip(self.classes, self._draw(name, f"drawing {name}"), strict=True):
            step(0)
            facts = METHODS[name].facts(values, self.own[name], self.model.info)
            if np.ptp(values) == 0:  # no order of pixels, and nothing to be like or unlike
                one.found[name] = facts | {"empty": True}
                continue
            hiding = check_hiding(
                self.model,
                self.x,
                one.prediction.index,
                fill,
                values,
                steps=self.settings.steps,
                maps=self.settings.maps,
                seed=self.settings.seed,
                step=step,
            )
            one.found[name], one.maps[name] = facts | hiding, values

    def _repeat(self, name: str) -> None:
        """A method's maps with another seed."""
        if not any(name in one.maps for one in self.classes):
            return
        again = self._draw(name, f"drawing {name} with another seed", seed=self.own[name]["seed"] + 1)
        for one, values in zip(self.classes, again, strict=True):
            if name in one.maps:
                one.found[name]["again"] = check_seed(one.maps[name], values, self.settings.seed)

    def _shuffle(self, count: int) -> None:
        """The weights of so many layers, from the scores back to the image."""
        doing = f"drawing {{}} with {count} of {self.layers} layers shuffled"
        names = [name for name in self.own if any(name in one.maps for one in self.classes)]
        with self.model.shuffled(count, self.settings.seed):
            drawn = {name: self._draw_if_finite(name, doing.format(name)) for name in names}
        for name, maps in drawn.items():
            for one, values in zip(self.classes, maps, strict=True):
                if name in one.maps:
                    stages = one.stages.setdefault(name, [])
                    stages.append((count, _similarity(one.maps[name], values)))
                    one.found[name]["shuffling"] = check_shuffling(stages, self.layers)

    def _draw_if_finite(self, name: str, doing: str) -> Sequence[FloatArray | None]:
        """As `_draw`; None for each class where the scores are not finite.

        A network with shuffled weights may well give such: nothing in it is normalized any more.
        """
        try:
            with np.errstate(all="ignore"):
                return list(self._draw(name, doing))
        except ModelError:
            return [None] * len(self.classes)


def _similarity(before: FloatArray, after: FloatArray | None) -> float | None:
    """Of two maps without signs; None where the second is not there or not finite, or the same everywhere."""
    if after is None or not np.isfinite(after).all() or np.ptp(after) == 0:
        return None
    return spearman(np.abs(before), np.abs(after))
