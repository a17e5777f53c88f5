"""Saliency maps (Simonyan, Vedaldi & Zisserman 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from picasso.attribution.saliency import saliency
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field, Input, Settings

BRIGHT = 0.995  # single pixels stand far out: the colours end where this share of the pixels does


class Saliency(BaseVisualization):
    """Which pixels would change a class score most, if they changed a little."""

    description = "Shows which pixels would move a class score most, if they changed a little."
    reference_link = "https://arxiv.org/abs/1312.6034"
    needs = frozenset({"predict", "gradients"})

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        classes: int = Field(3, ge=1, le=10, title="Classes", description="A map for each of so many best classes")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, a map per top class."""
        prepared = self.model.preprocess([item.data for item in inputs])
        rows = self.model.decode(self.model.predict(prepared.x), settings.classes)
        logits = "logits" in self.model.info.capabilities
        results: list[dict[str, Any]] = []
        for index, row in enumerate(rows):
            x = np.repeat(prepared.x[index : index + 1], len(row), axis=0)
            values = saliency(self.model.gradients(x, [prediction.index for prediction in row], logits=logits))
            results.append(
                {
                    "maps": [
                        prediction.as_dict()
                        | {"map": one, "low": one.min(), "high": one.max(), "bright": np.quantile(one, BRIGHT)}
                        for prediction, one in zip(row, values, strict=True)
                    ],
                    **prepared.seen(index),
                    "plotted": "logit" if logits else self.model.info.score_kind,
                    "score_kind": self.model.info.score_kind,
                }
            )
            self.progress((index + 1) / len(inputs), f"Gradients of {inputs[index].filename}", results)
        return results

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """No more maps than classes."""
        return {"classes": info.classes}

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One for the scores, and one forward and backward for each class."""
        return 1 + min(int(settings.classes), info.classes)
