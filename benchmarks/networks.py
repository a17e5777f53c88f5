"""The networks that are measured, as files that every library opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from examples.imagenet import prepare

SHAPE = (224, 224, 3)
DEFAULT = "EfficientNetLite0"  # Picasso's own default model; the others are those of keras.applications


def network_file(name: str, folder: Path) -> Path:
    """The file of a network, made first if it is not there. Random weights: times do not depend on them."""
    if name == DEFAULT:
        return prepare.main()
    path = folder / f"{name}.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        network = getattr(keras.applications, name)(weights=None)
        _settle(network)
        folder.mkdir(parents=True, exist_ok=True)
        network.save(path)
    return path


def _settle(network: Any) -> None:
    """Batch normalizations that fit some noise, so that scores differ between windows."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32), training=True)


def load(path: Path) -> Any:
    """A network as the other libraries' documentation says: from its file, with logits as its output."""
    network = keras.saving.load_model(path, compile=False)
    last = network.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(network.inputs, last.input)
    last.activation = keras.activations.linear
    return network


def last_map(network: Any) -> str:
    """The last layer whose output has more than one place: what Picasso's class activation maps are made of."""
    maps = [layer for layer in network.layers if len(layer.output.shape) == 4 and layer.output.shape[1] > 1]
    return str(maps[-1].name)
