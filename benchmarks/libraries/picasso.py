"""Picasso, as a run uses it: the opened `Model`, and the visualizations with their settings."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # noqa: F401 - so that importing it is no part of opening a network

from benchmarks.cases import CELLS, CHANNELS, MASKS, NOISE, POINTS, SAMPLES, STRIDE, Case, Job, Method
from picasso.attribution import occlusion
from picasso.attribution.targets import Targets
from picasso.config import Config
from picasso.models.base import Model
from picasso.models.opening import open_model
from picasso.visualizations import saliency
from picasso.visualizations.class_activation import ClassActivation
from picasso.visualizations.maps import MapVisualization
from picasso.visualizations.random_masks import RandomMasks

NAME = "Picasso"


def open_network(path: Path) -> Model:
    """As a worker process opens it; what it then does in the background, `warm_up`, is not done."""
    return open_model(Config(MODEL_PATH=path))


def explains(visualization: type[MapVisualization], **settings: Any) -> Method:
    """A visualization with these settings."""

    def make(model: Model, case: Case) -> Job:
        chosen = visualization.settings(
            **settings | ({"layer": case.layer} if visualization is ClassActivation else {})
        )
        targets = Targets(case.x, np.array([0]), np.array([case.target]), "logits" in model.info.capabilities)
        return Job(lambda: visualization(model).explain(targets, chosen, lambda share, maps: False).maps)

    return make


def occlude(model: Model, case: Case, preview: bool = False) -> Job:
    """All windows, and the map of one class; a preview is computed in bfloat16."""
    shape, window = case.x.shape[1:3], (case.window, case.window)
    logits = "logits" in model.info.capabilities
    corners = occlusion.corners(shape, window, STRIDE)
    fill = np.zeros_like(case.x[0])
    images = cycle([case.x, case.x[:, ::-1].copy()])  # another one each time, so that nothing is kept of the last map

    def run() -> Any:
        x = next(images)
        base = model.predict(x, logits=logits)[0, case.target]
        scores = model.occlude(x, corners, window, fill, logits=logits, preview=preview)[:, case.target]
        return occlusion.average(base - scores, corners, window, shape)

    return Job(run, len(corners))


METHODS: dict[str, Method] = {
    "occlusion": occlude,
    "gradient": explains(saliency.Saliency, method="gradient"),
    "gradient x input": explains(saliency.Saliency, method="gradient x input"),
    "SmoothGrad": explains(saliency.Saliency, method="SmoothGrad", samples=SAMPLES, noise=NOISE),
    "integrated gradients": explains(saliency.Saliency, method="integrated gradients", points=POINTS, gap=0),
    "Grad-CAM": explains(ClassActivation, method="Grad-CAM"),
    "Grad-CAM++": explains(ClassActivation, method="Grad-CAM++"),
    "LayerCAM": explains(ClassActivation, method="LayerCAM"),
    "Score-CAM": explains(ClassActivation, method="Score-CAM", channels=CHANNELS),
    "RISE": explains(RandomMasks, masks=MASKS, tolerance=0, cells=CELLS),
}
if "guided backpropagation" in saliency.METHODS:
    METHODS["guided backpropagation"] = explains(saliency.Saliency, method="guided backpropagation")
