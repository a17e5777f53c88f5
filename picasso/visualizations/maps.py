"""What the visualizations share that draw a map over each picture for each of its best classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray, Step, Targets, parts
from picasso.errors import NotFinite
from picasso.models.decoding import Prediction
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Fill, Input
from picasso.visualizations.classes import best_beside, chosen_by, how_many
from picasso.visualizations.forms import FormField, changed, form_fields

Show = Step
"""A step that is given maps as large as the model's input: (P, height, width), one for each target."""

CHANCE = 0.5
WHAT = {"method", "classes", "named"}  # settings that say what is drawn; all others say how


@dataclass(frozen=True)
class Tried:
    """What a method found on one picture of two things: a cup of espresso beside a camera on a tripod.

    With EfficientNet-Lite0: tests/visualizations/test_two_things.py measures it.

    Attributes:
        halves: the share of the positive values that lay in the right half: of the espresso map, of the tripod map.
        settings: those that were not the defaults, by name.
    """

    halves: tuple[float, float]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether one of the maps lay more on the other thing."""
        return min(self.halves) < CHANCE


@dataclass(frozen=True)
class Method:
    """What a page says of a method.

    Attributes:
        signed: whether its values have a sign, with zero in the middle of the colours.
        explains: what is plotted; {score} stands for "logit", "probability" or "raw score".
        ends: what the low and the high end of the colours mean.
        reading: how to read it.
        misleads: what it cannot tell.
        source, link: where it comes from.
        tried: what it found with two things in one picture, with the default settings first.
        gradual: whether its maps become better with every batch. A picture then fills its batches alone, and what is
            there can be kept at any time.
    """

    signed: bool
    explains: str
    ends: tuple[str, str]
    reading: str
    misleads: str
    source: str
    link: str
    tried: tuple[Tried, ...] = ()
    gradual: bool = False


@dataclass(frozen=True)
class Found:
    """What a method gave: maps float32 (P, height, width), and what the page says of each and of all of them."""

    maps: FloatArray
    of_each: Sequence[dict[str, Any]] = ()
    of_all: dict[str, Any] = field(default_factory=dict)


class MapVisualization(BaseVisualization):
    """Explains classes of each picture, the best or those that are named; a subclass says how.

    Attributes:
        bright: the share of a map's values that the colours cover; what lies above has the same colour.
    """

    stoppable = True
    comparable = True
    of_classes = True
    bright: ClassVar[float] = 1.0

    @abstractmethod
    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """Computes the maps of some targets, of one picture where the method is gradual.

        Calls `show` with what is there already, and returns that once `show` says that it is enough.
        """

    @classmethod
    @abstractmethod
    def method(cls, settings: Any) -> Method:
        """The method that the settings choose."""

    @classmethod
    def logits(cls, settings: Any, info: ModelInfo) -> bool:
        """Whether logits are explained: where the model has them, unless a subclass lets the person choose."""
        return "logits" in info.capabilities

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, a map per top class."""
        self.chosen = self.chosen or chosen_by(settings, self.model.info)
        prepared = self.model.preprocess([item.data for item in inputs])
        answers = self.model.predict(prepared.x)
        rows = self.explained(answers, settings.classes)
        logits = self.logits(settings, self.model.info)
        done: list[dict[str, Any]] = []

        def results(part: slice, found: Found) -> list[dict[str, Any]]:
            """One result for each picture of a part."""
            entries = iter(self._entries(found))
            facts = self._facts(settings, logits) | found.of_all
            return [
                {
                    "maps": [one.as_dict() | next(entries) for one in rows[i]],
                    "answer": answers[i],
                    **best_beside(self, answers[i]),
                    **prepared.seen(i),
                    **facts,
                }
                for i in range(part.start, part.stop)
            ]

        def look(part: slice) -> list[dict[str, Any]]:
            """The same, while the page sees what is there already."""
            names = _named([item.filename for item in inputs[part]])

            def show(fraction: float, maps: FloatArray) -> bool:
                done_share = (part.start + fraction * (part.stop - part.start)) / len(inputs)
                self.progress(done_share, f"Looking at {names}", [*done, *results(part, Found(maps))])
                return fraction < 1 and self.enough()

            found = self.explain(_targets(prepared.x[part], rows[part], logits), settings, show)
            if not np.isfinite(found.maps).all():
                raise NotFinite(f"{self.title} gave a map with values that are NaN or infinite.")
            return results(part, found)

        gradual = self.method(settings).gradual
        for part in parts(
            len(inputs), 1 if gradual else max(1, self.model.gradient_batch // how_many(settings, self.model.info))
        ):
            done += look(part)
            if not self.stopped:  # else this part is not whole
                self.progress(part.stop / len(inputs), f"Looked at {part.stop} of {len(inputs)}", done)
            if part.stop < len(inputs) and self.enough():
                break
        return done

    def fills(self, kind: Fill, x: FloatArray) -> FloatArray:
        """What hides parts of each of the images (N, height, width, channels), the same shape."""
        return np.stack([make_fill(kind, one, self.model.solid) for one in x])

    def _entries(self, found: Found) -> list[dict[str, Any]]:
        """What a page needs of each map: "limit" is the value at the end of its colours."""
        of_each = found.of_each or [{}] * len(found.maps)
        return [
            {"map": one, "low": one.min(), "high": one.max(), "limit": np.quantile(np.abs(one), self.bright), **more}
            for one, more in zip(found.maps, of_each, strict=True)
        ]

    def _facts(self, settings: Any, logits: bool) -> dict[str, Any]:
        method, kind = self.method(settings), self.model.info.score_kind
        plotted = "logit" if logits else kind
        return {
            "plotted": plotted,
            "score_kind": kind,
            "signed": method.signed,
            "explains": method.explains.format(score=plotted),
            "ends": method.ends,
            "reading": method.reading.format(score=plotted),
            "misleads": method.misleads.format(score=plotted),
            "source": method.source,
            "link": method.link,
            "tried": self._tried(settings, method.tried),
        }

    def _tried(self, settings: Any, trials: Sequence[Tried]) -> dict[str, Any]:
        """What the page says of the trials.

        Returns:
            "settings": this run's in words, where they are not the defaults; "halves": of the trial with the same ones,
            None where there is none; "others": the other trials.
        """
        fields = changed(type(self), settings.model_dump(), self.model.info)
        own = {field.name: field.words for field in fields if field.name not in WHAT}
        known = form_fields(type(self), {}, self.model.info)
        others = [
            {"settings": in_words(one.settings, known), "halves": one.halves, "failed": one.failed}
            for one in trials
            if one.settings != own
        ]
        halves = next((one.halves for one in trials if one.settings == own), None)
        return {"settings": in_words(own, known), "halves": halves, "others": others}


def in_words(settings: Mapping[str, str], fields: Sequence[FormField]) -> str:
    """Settings by name as a part of a sentence: "layer conv5, window 9 px"."""
    return ", ".join(
        f"{one.label[0].lower()}{one.label[1:]} {settings[one.name]} {one.unit}".rstrip()
        for one in fields
        if one.name in settings
    )


def _targets(x: FloatArray, rows: Sequence[Sequence[Prediction]], logits: bool) -> Targets:
    pairs = [(image, prediction.index) for image, row in enumerate(rows) for prediction in row]
    images, classes = np.array(pairs, np.int64).reshape(-1, 2).T
    return Targets(x, images, classes, logits)


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
