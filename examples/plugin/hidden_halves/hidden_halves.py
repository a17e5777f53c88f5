"""Hides one half of each picture at a time: a visualization to change into one's own."""

import numpy as np

from picasso.attribution.fills import make_fill
from picasso.visualizations.base import BaseVisualization, Field, Fill, Settings


class HiddenHalves(BaseVisualization):
    """One class and one template beside it, HiddenHalves.html. Nothing else needs to be touched."""

    description = "Hides one half of the picture at a time and shows what that costs the best class."
    reference_link = "https://arxiv.org/abs/1311.2901"

    class settings(Settings):
        fill: Fill = Field("grey", title="Hidden with", description="What covers the hidden half")

    @classmethod
    def model_calls(cls, settings, info):
        """The whole picture and four halves: from this, pages tell what a run will cost."""
        return 5

    def make_visualization(self, inputs, output_dir, settings):
        """Gives {"label", "score", "halves", "map", ...} for each input."""
        prepared = self.model.preprocess([image.data for image in inputs])
        scores = self.model.predict(prepared.x)
        best_of_each = self.model.decode(scores, 1)
        results = []
        for index, image in enumerate(inputs):
            x, (best,) = prepared.x[index], best_of_each[index]
            score = scores[index, best.index]
            height, width, _ = x.shape
            halves = {
                "left": np.s_[:, : width // 2],
                "right": np.s_[:, width // 2 :],
                "top": np.s_[: height // 2],
                "bottom": np.s_[height // 2 :],
            }
            fill = make_fill(settings.fill, x, self.model.solid)
            hidden = np.stack([x] * len(halves))
            for copy, half in zip(hidden, halves.values(), strict=True):
                copy[half] = fill[half]
            left_over = self.model.predict(hidden)[:, best.index]

            drops = np.zeros((height, width), np.float32)
            for half, rest in zip(halves.values(), left_over, strict=True):
                drops[half] += (score - rest) / 2  # every pixel lies in two of the four
            results.append(
                {
                    "label": best.label,
                    "score": score,
                    "halves": [
                        {"name": name, "score": rest, "picture": self.model.picture(one)}
                        for name, rest, one in zip(halves, left_over, hidden, strict=True)
                    ],
                    "map": drops,
                    "low": drops.min(),
                    "high": drops.max(),
                    "signed": True,
                    "ends": ("hiding it helps", "hiding it costs"),
                    **prepared.seen(index),
                }
            )
            self.progress((index + 1) / len(inputs), f"Hiding halves of {image.filename}", results)
        return results
