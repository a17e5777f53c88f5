"""tf-keras-vis: callables made of a Keras model, https://keisen.github.io/tf-keras-vis-docs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.scorecam import Scorecam
from tf_keras_vis.utils.model_modifiers import GuidedBackpropagation
from tf_keras_vis.utils.scores import CategoricalScore

from benchmarks.cases import CHANNELS, NOISE, SAMPLES, Case, Job, Method
from benchmarks.networks import load

NAME = "tf-keras-vis"


def open_network(path: Path) -> Any:
    """A Keras model with logits, as its documentation recommends."""
    return load(path)


def explains(make: Callable[[Any], Any], **settings: Any) -> Method:
    """A callable, made once."""

    def job(network: Any, case: Case) -> Job:
        explainer, score = make(network), CategoricalScore([case.target])
        return Job(lambda: explainer(score, case.x, **settings))

    return job


def activates(make: Callable[[Any], Any], **settings: Any) -> Method:
    """The same, of the layer of CAMs."""
    return lambda network, case: explains(
        make, penultimate_layer=case.layer, seek_penultimate_conv_layer=False, **settings
    )(network, case)


METHODS: dict[str, Method] = {
    "gradient": explains(Saliency),
    "SmoothGrad": explains(Saliency, smooth_samples=SAMPLES, smooth_noise=NOISE),
    "guided backpropagation": explains(lambda network: Saliency(network, model_modifier=GuidedBackpropagation())),
    "Grad-CAM": activates(Gradcam),
    "Grad-CAM++": activates(GradcamPlusPlus),
    "LayerCAM": activates(Layercam),
    "Score-CAM": activates(Scorecam, max_N=CHANNELS),
}
