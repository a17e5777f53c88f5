"""xplique: explainers of a Keras model, https://deel-ai.github.io/xplique."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import tensorflow as tf
import xplique.attributions as xplique

from benchmarks.cases import CELLS, MASKS, NOISE, POINTS, SAMPLES, Case, Job, Method
from benchmarks.networks import load

NAME = "xplique"
STRIDE = 32  # for occlusion: fewer windows in less time, each at the same cost


def open_network(path: Path) -> Any:
    """A Keras model with logits, as its documentation recommends."""
    return load(path)


def explains(make: Callable[[Any, Case], Any]) -> Method:
    """An explainer, made once, and asked for a map."""

    def job(network: Any, case: Case) -> Job:
        explainer, targets = make(network, case), tf.one_hot([case.target], network.output_shape[-1])
        return Job(lambda: explainer.explain(case.x, targets))

    return job


def occlude(network: Any, case: Case) -> Job:
    """Windows, and the image itself, which counts as one more."""
    make = explains(lambda network, case: xplique.Occlusion(network, patch_size=case.window, patch_stride=STRIDE))
    along = ceil((case.x.shape[1] - case.window + 1) / STRIDE)
    return Job(make(network, case).run, along**2 + 1)


METHODS: dict[str, Method] = {
    "occlusion": occlude,
    "gradient": explains(lambda network, case: xplique.Saliency(network)),
    "gradient x input": explains(lambda network, case: xplique.GradientInput(network)),
    "SmoothGrad": explains(lambda network, case: xplique.SmoothGrad(network, nb_samples=SAMPLES, noise=NOISE)),
    "integrated gradients": explains(lambda network, case: xplique.IntegratedGradients(network, steps=POINTS)),
    "guided backpropagation": explains(lambda network, case: xplique.GuidedBackprop(network)),
    "Grad-CAM": explains(lambda network, case: xplique.GradCAM(network, conv_layer=case.layer)),
    "Grad-CAM++": explains(lambda network, case: xplique.GradCAMPP(network, conv_layer=case.layer)),
    "RISE": explains(lambda network, case: xplique.Rise(network, nb_samples=MASKS, grid_size=CELLS)),
}
