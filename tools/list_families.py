"""Writes picasso/models/families.json: the convolutions of every network of keras.applications, and its pixel range.

Run `python -m tools.list_families` after an update of Keras. It builds every network: some minutes, 4 GB.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from examples.imagenet import prepare
from picasso.models.families import IMAGENET_CLASSES, TABLE, digest, without_head
from picasso.models.keras_anatomy import kernels

# The range that the first convolution's weights were trained on. tests/models/test_families.py compares each with
# what the module's `preprocess_input`, or the layers inside the network, make of pixels.
SCALES: dict[str, str | list[float]] = {
    "convnext": "torch",
    "densenet": "torch",
    "efficientnet": "torch",
    "efficientnet_v2": "torch",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "tf",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}
LARGE_V2 = [-1.0, 255 / 128 - 1]  # EfficientNetV2-S, -M and -L
LITE = [-127 / 128, 1.0]
INSIDE = {"convnext", "efficientnet", "efficientnet_v2", "mobilenet_v3"}  # scale pixel values in layers of their own
ALPHAS = {
    "MobileNet": (0.25, 0.5, 0.75, 1.0),
    "MobileNetV2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "MobileNetV3Small": (0.75, 1.0),
    "MobileNetV3Large": (0.75, 1.0),
}

Entry = dict[str, Any]
Build = Callable[..., Any]


def networks() -> Iterator[tuple[Entry, Build]]:
    """Every network: its entry in the table, and what builds it (`include_top` says whether with the head)."""
    for name, function in inspect.getmembers(keras.applications, inspect.isfunction):
        module = function.__module__.rpartition(".")[2]
        large = name.startswith("EfficientNetV2") and name[-1] in "SML"
        entry = {"scale": LARGE_V2 if large else SCALES[module], "inside": module in INSIDE}
        for alpha in ALPHAS.get(name, (None,)):
            label, build = (name, function) if alpha is None else (f"{name} {alpha}", partial(function, alpha=alpha))
            yield {"name": label, **entry}, build
            if module == "mobilenet_v3" and alpha == 1.0:
                yield {"name": f"{name} minimalistic", **entry}, partial(build, minimalistic=True)
    yield {"name": "EfficientNet-Lite0", "scale": LITE, "inside": False}, lambda **_: prepare.build()


def table() -> dict[str, Entry]:
    """The whole table, by digest."""
    found: dict[str, Entry] = {}
    for entry, build in networks():
        for top in (False, True):
            keras.backend.clear_session()
            convolutions = tuple(kernels([build(weights=None, include_top=top)]))
            key = digest(without_head(convolutions, IMAGENET_CLASSES) if top else convolutions)
            if found.setdefault(key, entry) != entry:
                sys.exit(f"{entry['name']} and {found[key]['name']} have the same convolutions.")
    return found


if __name__ == "__main__":
    content = sorted(table().items(), key=lambda item: (item[1]["name"], item[0]))
    lines = ",\n".join(f'"{key}": {json.dumps(entry)}' for key, entry in content)
    TABLE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
