"""tf-explain: explainers that give a grid of pictures, https://tf-explain.readthedocs.io."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from tf_explain import core as tf_explain

from benchmarks.cases import NOISE, POINTS, SAMPLES, Case, Job, Method
from benchmarks.networks import load

NAME = "tf-explain"


def open_network(path: Path) -> Any:
    """A Keras model."""
    return load(path)


def explains(explainer: Any, **settings: Any) -> Method:
    """An explainer with these settings."""
    return lambda network, case: Job(lambda: explainer().explain((case.x, None), network, case.target, **settings))


def occlude(network: Any, case: Case) -> Job:
    """Its windows never overlap: the stride is the window."""
    job = explains(tf_explain.OcclusionSensitivity, patch_size=case.window)(network, case)
    return Job(job.run, ceil(case.x.shape[1] / case.window) ** 2)


def grad_cam(network: Any, case: Case) -> Job:
    """Of the same layer, with plain gradients."""
    return explains(tf_explain.GradCAM, layer_name=case.layer, use_guided_grads=False)(network, case)


METHODS: dict[str, Method] = {
    "occlusion": occlude,
    "gradient": explains(tf_explain.VanillaGradients),
    "gradient x input": explains(tf_explain.GradientsInputs),
    "SmoothGrad": explains(tf_explain.SmoothGrad, num_samples=SAMPLES, noise=NOISE),
    "integrated gradients": explains(tf_explain.IntegratedGradients, n_steps=POINTS),
    "Grad-CAM": grad_cam,
}
