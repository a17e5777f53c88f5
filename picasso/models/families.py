"""Which published network a model is built as, told by its convolutions: a head without any does not matter.

The table beside this module, families.json, is made from keras.applications by tools/list_families.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from picasso.config import Scale
from picasso.models.anatomy import Anatomy, Kernel

TABLE = Path(__file__).with_name("families.json")
IMAGENET_CLASSES = 1000
DIGITS = 16  # of a sha-256, hexadecimal: 64 bits are plenty for some hundred networks


@dataclass(frozen=True)
class Family:
    """A published network.

    Attributes:
        name: "ResNet50".
        scale: the range of what its first convolution was trained on, as `Preprocessing.scale` has it.
        inside: the network as published brings 0..255 to that range itself.
    """

    name: str
    scale: Scale | tuple[float, float]
    inside: bool


def family_of(anatomy: Anatomy) -> Family | None:
    """The family whose convolutions these are, with or without a convolution that gives the scores; else None."""
    table = _table()
    for kernels in (anatomy.kernels, without_head(anatomy.kernels, anatomy.classes)):
        found = table.get(digest(kernels))
        if found is not None:
            return found
    return None


def digest(kernels: Sequence[Kernel]) -> str:
    """Equal for networks with the same convolutions in whatever order; hexadecimal."""
    # What a depthwise kernel reads is left out: one may count the one channel, or the layer's.
    parts = sorted(
        (x.kind, x.height, x.width, x.stride, x.outputs, x.inputs if x.kind == "full" else 0) for x in kernels
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGITS]


def without_head(kernels: Sequence[Kernel], classes: int) -> tuple[Kernel, ...]:
    """All but the convolutions that give one value per class, as MobileNet's last one does."""
    return tuple(x for x in kernels if (x.kind, x.height, x.width, x.outputs) != ("full", 1, 1, classes))


@cache
def _table() -> dict[str, Family]:
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return {key: Family(entry["name"], _scale(entry["scale"]), bool(entry["inside"])) for key, entry in content.items()}


def _scale(value: Scale | list[float]) -> Scale | tuple[float, float]:
    return value if isinstance(value, str) else (value[0], value[1])
