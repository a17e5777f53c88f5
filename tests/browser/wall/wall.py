"""A page of three hundred maps, to see that it stays smooth."""

from __future__ import annotations

import numpy as np

from picasso.visualizations.base import BaseVisualization

MAPS = 300


class Wall(BaseVisualization):
    """Noise, as many maps of it as a page may ever have."""

    description = "Shows three hundred maps of noise"

    def make_visualization(self, inputs, output_dir, settings):
        """Gives the same maps for each picture."""
        prepared = self.model.preprocess([image.data for image in inputs])
        noise = np.random.default_rng(0).normal(size=(MAPS, *prepared.x.shape[1:3])).astype(np.float32)
        maps = [
            {"label": f"map {number}", "map": one, "low": one.min(), "high": one.max()}
            for number, one in enumerate(noise)
        ]
        return [{"maps": maps, **prepared.seen(index)} for index in range(len(inputs))]
