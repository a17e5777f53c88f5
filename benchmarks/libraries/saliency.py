"""PAIR's saliency: methods that call a function of one's own, https://github.com/PAIR-code/saliency.

The function is the one of its example for TensorFlow 2: the model is called inside a gradient tape, not compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import saliency.core as saliency
import tensorflow as tf

from benchmarks.cases import NOISE, POINTS, SAMPLES, Case, Job, Method
from benchmarks.networks import load

NAME = "saliency"
BATCH = 20  # points of the way at once, as in its example
WINDOWS = 16  # after which occlusion, which knows no stride and takes one image at a time, is stopped


class _EnoughError(Exception):
    """Ends a map that would take hours."""


def open_network(path: Path) -> Any:
    """A Keras model."""
    return load(path)


def calls(network: Any, case: Case) -> Callable[..., dict[str, Any]]:
    """The function that it asks for scores, gradients, and activations of the layer of CAMs."""
    both = tf.keras.Model(network.inputs, [network.get_layer(case.layer).output, network.outputs[0]])

    def call(images: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        x = tf.convert_to_tensor(images, tf.float32)
        if expected_keys == [saliency.base.OUTPUT_LAYER_VALUES]:
            return {saliency.base.OUTPUT_LAYER_VALUES: both(x)[1][:, case.target]}
        with tf.GradientTape() as tape:
            tape.watch(x)
            activations, scores = both(x)
            score = scores[:, case.target]
        if expected_keys == [saliency.base.INPUT_OUTPUT_GRADIENTS]:
            return {saliency.base.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, x).numpy()}
        return {
            saliency.base.CONVOLUTION_LAYER_VALUES: activations.numpy(),
            saliency.base.CONVOLUTION_OUTPUT_GRADIENTS: tape.gradient(score, activations).numpy(),
        }

    return call


def masks(ask: Callable[[Any, Any], Any]) -> Method:
    """A mask for the image (height, width, channels)."""

    def make(network: Any, case: Case) -> Job:
        call = calls(network, case)
        return Job(lambda: ask(case.x[0], call))

    return make


def occlude(network: Any, case: Case) -> Job:
    """The first windows of all, and the image itself, which counts as one more."""
    call = calls(network, case)

    def run() -> Any:
        images = 0

        def counted(*arguments: Any, **keywords: Any) -> dict[str, Any]:
            nonlocal images
            if images > WINDOWS:
                raise _EnoughError
            images += 1
            return call(*arguments, **keywords)

        with suppress(_EnoughError):
            saliency.Occlusion().GetMask(case.x[0], counted, size=case.window)
        return np.array(images)

    return Job(run, WINDOWS + 1)


METHODS: dict[str, Method] = {
    "occlusion": occlude,
    "gradient": masks(lambda x, call: saliency.GradientSaliency().GetMask(x, call)),
    "SmoothGrad": masks(
        lambda x, call: saliency.GradientSaliency().GetSmoothedMask(x, call, nsamples=SAMPLES, stdev_spread=NOISE)
    ),
    "integrated gradients": masks(
        lambda x, call: saliency.IntegratedGradients().GetMask(x, call, x_steps=POINTS, batch_size=BATCH)
    ),
    "Grad-CAM": masks(lambda x, call: saliency.GradCam().GetMask(x, call)),
}
