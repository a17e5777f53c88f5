"""A visualization to copy: one class, one template beside it, settings. Nothing else needs to be touched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from picasso.attribution.fills import make_fill
from picasso.visualizations.base import BaseVisualization, Field, Fill, Input, Settings


class HiddenHalves(BaseVisualization):
    """Hides one half of each picture at a time and says what becomes of the best class."""

    description = "Hides one half of the picture at a time and shows what that costs the best class."
    reference_link = "https://arxiv.org/abs/1311.2901"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        fill: Fill = Field("grey", title="Hidden with", description="What covers the hidden half")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives {"label", "score", "halves": [{"name", "picture", "score"}]} for each input."""
        prepared = self.model.preprocess([item.data for item in inputs])
        scores = self.model.predict(prepared.x)
        results: list[Any] = []
        for index, (best,) in enumerate(self.model.decode(scores, 1)):
            x = prepared.x[index]
            height, width = x.shape[:2]
            fill = make_fill(settings.fill, x, self.model.solid)
            halves = {
                "left": np.s_[:, : width // 2],
                "right": np.s_[:, width // 2 :],
                "top": np.s_[: height // 2],
                "bottom": np.s_[height // 2 :],
            }
            hidden = np.stack([x] * len(halves))
            for copy, part in zip(hidden, halves.values(), strict=True):
                copy[part] = fill[part]
            left_over = self.model.predict(hidden)[:, best.index]
            results.append(
                {
                    "label": best.label,
                    "score": best.score,
                    "halves": [
                        {"name": name, "score": score, "picture": self.model.picture(one)}
                        for name, score, one in zip(halves, left_over, hidden, strict=True)
                    ],
                }
            )
            self.progress((index + 1) / len(inputs), f"Hiding halves of {inputs[index].filename}", results)
        return results
