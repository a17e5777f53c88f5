"""The top classes of each image, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field, Input, Settings


class ClassProbabilities(BaseVisualization):
    """What the model says of each image, before asking why."""

    description = "What the model says: its best classes for each picture, as bars."
    comparable = True
    reference_link = "https://en.wikipedia.org/wiki/Softmax_function"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        classes: int = Field(5, ge=1, le=100, title="Classes", description="How many of the best classes to show")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives {"predictions", "score_kind", "answer", "view"} for each input."""
        prepared = self.model.preprocess([item.data for item in inputs])
        scores = self.model.predict(prepared.x)
        rows = self.model.decode(scores, settings.classes)
        return [
            {
                "predictions": [prediction.as_dict() for prediction in row],
                "score_kind": self.model.info.score_kind,
                "answer": one,
                **prepared.seen(index),
            }
            for index, (row, one) in enumerate(zip(rows, scores, strict=True))
        ]

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """No more bars than classes."""
        return {"classes": info.classes}

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One per image."""
        return 1
