"""What the model says when a part of the picture that a person chose is hidden, or is all that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from picasso.attribution import regions
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray
from picasso.errors import InvalidSetting
from picasso.models.base import Model
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field, Fill, Input, Settings

BEST = 5  # classes that are shown whatever becomes of them: the best of the whole picture
RISEN = 3  # classes that are shown besides: the best of what is left


class WhatIf(BaseVisualization):
    """One question, asked by hand: its settings are what was painted."""

    title = "Hide a part yourself"
    description = "Drag a square, paint or pick parts, hide them or keep only them, and watch the answer change."
    reference_link = "https://arxiv.org/abs/1311.2901"
    settings_page = "/ask"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        region: str = Field(
            "",
            title="Part",
            description="left,top,width,height in pixels of the model's input, or run lengths of what was painted",
            json_schema_extra={"format": "region"},
        )
        what: Literal["hide", "keep"] = Field(
            "hide", title="What is done", description="Hide the part, or keep only it and hide everything else"
        )
        fill: Fill = Field("grey", title="Hidden with", description="What covers what is hidden")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives the classes before and after, and both pictures, for each input."""
        prepared = self.model.preprocess([item.data for item in inputs])
        mask = regions.mask_of(settings.region, self.model.info.input_shape[:2])
        keep = settings.what == "keep"
        results = []
        for index, item in enumerate(inputs):
            x = prepared.x[index]
            after = regions.covered(x, make_fill(settings.fill, x, self.model.solid), mask, keep)
            scores = self.model.predict(np.stack([x, after]))
            both = side_by_side(self.model, x, after)
            width, height = both.width // 2, both.height
            results.append(
                {
                    "classes": changes(self.model, *scores),
                    "predictions": [one.as_dict() for one in self.model.decode(scores[:1], BEST)[0]],
                    "score_kind": self.model.info.score_kind,
                    "scores": scores,
                    "share": (mask != keep).mean(),
                    **prepared.seen(index),
                    "view": both.crop((0, 0, width, height)),
                    "after": both.crop((width, 0, 2 * width, height)),
                }
            )
            self.progress((index + 1) / len(inputs), f"Asked about {item.filename}", results)
        return results

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """A square in the middle."""
        return {"region": regions.middle(info.input_shape[:2])}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The region lies in the model's input, and is not empty."""
        try:
            mask = regions.mask_of(settings.region, info.input_shape[:2])
        except ValueError as error:
            raise InvalidSetting(f"'region' does not fit this model. {error}", field="region") from error
        if not mask.any():
            raise InvalidSetting("'region' is empty: paint or choose a part of the picture first.", field="region")

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """The whole picture, and what is left of it."""
        return 2

    @classmethod
    def goes_on_from(
        cls, visualization: type[BaseVisualization], settings: Any, info: ModelInfo | None
    ) -> dict[str, Any] | None:
        """Offered after every other one, with the fill that it had."""
        if visualization.name == cls.name:
            return None
        fill = settings.get("fill") if isinstance(settings, Mapping) else None
        return {"fill": fill} if fill in get_args(Fill) else {}


def changes(model: Model, before: FloatArray, after: FloatArray) -> list[dict[str, Any]]:
    """The best classes of one picture, with their scores in it and in what is left of it.

    Args:
        before, after: scores (classes,).

    Returns:
        {"index", "label", "before", "after"} of the best of `before`, then of the best of `after` that are not among
        them, each best first.
    """
    best, risen = model.decode(np.stack([before, after]), BEST + RISEN)
    best = best[:BEST]
    known = {one.index for one in best}
    return [
        {"index": one.index, "label": one.label, "before": float(before[one.index]), "after": float(after[one.index])}
        for one in [*best, *[one for one in risen if one.index not in known][:RISEN]]
    ]


def side_by_side(model: Model, x: FloatArray, other: FloatArray) -> Image.Image:
    """Two inputs (height, width, channels) as one picture: drawn alike, also where values are stretched for display."""
    return model.picture(np.concatenate([x, other], axis=1))
