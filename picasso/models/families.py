"""Which published network a model is built as, told by its convolutions: heads of its own do not matter.

The table beside this module, families.json, is made from keras.applications by tools/list_families.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from picasso.models.anatomy import Anatomy, Kernel

TABLE = Path(__file__).with_name("families.json")
IMAGENET_CLASSES = 1000
DIGITS = 16  # of a sha-256, hexadecimal: 64 bits tell some hundred networks apart


@dataclass(frozen=True)
class Family:
    """A published network.

    Attributes:
        name: "ResNet50".
        scale: the range that its published weights take, as `Preprocessing.scale`: "caffe", "tf", "torch", or
            (0, 255) where the network scales pixel values itself.
    """

    name: str
    scale: str | tuple[float, float]


def family_of(anatomy: Anatomy) -> Family | None:
    """The family whose convolutions these are, with or without a convolution that gives the scores; else None."""
    table = _table()
    for kernels in (anatomy.kernels, without_head(anatomy.kernels, anatomy.classes)):
        found = table.get(digest(kernels))
        if found is not None:
            return found
    return None


def is_imagenets(anatomy: Anatomy) -> bool:
    """Whether it is a known network with as many scores as ImageNet has classes."""
    return anatomy.classes == IMAGENET_CLASSES and family_of(anatomy) is not None


def digest(kernels: Sequence[Kernel]) -> str:
    """Equal for networks with the same convolutions in whatever order; hexadecimal."""
    # What depthwise kernels read is left out: frameworks count it per channel or per layer.
    parts = sorted(
        (kernel.kind, kernel.height, kernel.width, kernel.stride, kernel.outputs)
        + ((kernel.inputs,) if kernel.kind == "full" else ())
        for kernel in kernels
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGITS]


def without_head(kernels: Sequence[Kernel], classes: int) -> tuple[Kernel, ...]:
    """All but convolutions that give one value per class, as MobileNet's last one does."""
    return tuple(
        kernel for kernel in kernels if (kernel.kind, kernel.height, kernel.width, kernel.outputs) != ("full", 1, 1, classes)
    )


@cache
def _table() -> dict[str, Family]:
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        key: Family(entry["name"], entry["scale"] if isinstance(entry["scale"], str) else tuple(entry["scale"]))
        for key, entry in content.items()
    }
