"""The network's own work in each method, and nothing else: compiled TensorFlow, balanced batches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.cases import CHANNELS, MASKS, POINTS, SAMPLES, STRIDE, Case, Job, Method
from benchmarks.networks import load
from picasso.attribution.occlusion import corners
from picasso.models.base import MAX_BATCH, hide

NAME = "TensorFlow"
WINDOWS = 32  # dense occlusion is timed with: what one costs does not depend on where it is


def open_network(path: Path) -> Any:
    """The network, from its file."""
    return load(path)


def compiled(network: Any) -> Any:
    """Images to scores; `autograph=False` traces several times faster."""
    spec = tf.TensorSpec((None, *network.input_shape[1:]))
    return tf.function(lambda x: network(x, training=False), [spec], autograph=False)


def some_windows(case: Case) -> NDArray[np.int64]:
    """Evenly chosen ones among all windows: their numbers."""
    count = len(corners(case.x.shape[1:3], (case.window, case.window), STRIDE))
    return np.linspace(0, count - 1, WINDOWS).astype(int)


def occlusion_scores(network: Any, case: Case) -> Any:
    """A function that gives the scores of some windows, each in a whole image."""
    forward, window = compiled(network), (case.window, case.window)
    positions = corners(case.x.shape[1:3], window, STRIDE)[some_windows(case)]
    fill = np.zeros_like(case.x[0])
    return lambda: forward(tf.constant(hide(case.x, positions, window, fill))).numpy()


def occlude(network: Any, case: Case) -> Job:
    """Dense occlusion, the reference of the incremental one."""
    return Job(occlusion_scores(network, case), WINDOWS)


def scores(count: int) -> Method:
    """So many images through the network."""

    def make(network: Any, case: Case) -> Job:
        forward = compiled(network)
        return Job(lambda: [forward(part).numpy() for part in _parts(case, count, MAX_BATCH)])

    return make


def gradients(count: int = 1, inside: bool = False) -> Method:
    """The gradients of so many images, with respect to them or to the layer of CAMs."""

    def make(network: Any, case: Case) -> Job:
        layer = network.get_layer(case.layer).output if inside else None
        both = network if layer is None else tf.keras.Model(network.inputs, [layer, network.outputs[0]])

        def gradient(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                given, ends = (x, both(x, training=False)) if layer is None else both(x, training=False)
                score = ends[:, case.target]
            return given, tape.gradient(score, given)

        function = tf.function(gradient, [tf.TensorSpec((None, *case.x.shape[1:]))], autograph=False)
        return Job(lambda: [function(part)[1].numpy() for part in _parts(case, count, MAX_BATCH // 2)])

    return make


def _parts(case: Case, count: int, batch: int) -> list[Any]:
    return [tf.constant(part) for part in np.array_split(np.repeat(case.x, count, 0), math.ceil(count / batch))]


METHODS: dict[str, Method] = {
    "occlusion": occlude,
    "gradient": gradients(),
    "gradient x input": gradients(),
    "guided backpropagation": gradients(),
    "SmoothGrad": gradients(SAMPLES),
    "integrated gradients": gradients(POINTS),
    "Grad-CAM": gradients(inside=True),
    "Grad-CAM++": gradients(inside=True),
    "LayerCAM": gradients(inside=True),
    "Score-CAM": scores(CHANNELS),
    "RISE": scores(MASKS),
}
