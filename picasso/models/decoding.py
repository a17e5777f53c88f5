"""From scores to class names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picasso.config import LABEL_FILES, import_function
from picasso.errors import ConfigError, ModelError, blame


@dataclass(frozen=True)
class Prediction:
    """One class of one image: its index among the model's outputs, its name, its score as the model gives it."""

    index: int
    label: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return asdict(self)


def load_labels(source: list[str] | str | None, classes: int, sigmoid: bool = False) -> list[str]:
    """The names of all classes, in the order of the model's outputs.

    Args:
        source: `MODEL_LABELS`: a list, a .txt or .json file, "module:function", or None ("class 0", ...).
        classes: how many outputs the model has.
        sigmoid: they come out of a sigmoid. A single one may have two names: what a score near 0 means, near 1 means.

    Raises:
        ConfigError: the file cannot be read, or has another number of names than the model has classes.
    """
    if source is None:
        return [f"class {index}" for index in range(classes)]
    labels = source if isinstance(source, list) else _read_labels(source)
    both_sides = sigmoid and classes == 1 and len(labels) == 2
    if len(labels) != classes and not both_sides:
        raise ConfigError(
            f"MODEL_LABELS has {len(labels)} names, but the model has {classes} classes. "
            "Give one name for each class, in the order of the model's outputs.",
            field="MODEL_LABELS",
        )
    return [str(label) for label in labels]


def _read_labels(source: str) -> list[Any]:
    path = Path(source)
    if path.suffix not in LABEL_FILES:
        return list(import_function(source, "MODEL_LABELS")())
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors write a mark first
        if path.suffix == ".txt":
            return [line.strip() for line in text.splitlines() if line.strip()]
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"MODEL_LABELS: {path} cannot be read: {error}", field="MODEL_LABELS") from error
    if isinstance(content, dict):  # {"0": "tench", ...}, or Keras' own {"0": ["n01440764", "tench"], ...}
        if set(content) != {str(index) for index in range(len(content))}:
            raise ConfigError(
                f"MODEL_LABELS: the keys of {path} must be the class numbers from 0 on.", field="MODEL_LABELS"
            )
        names = [content[str(index)] for index in range(len(content))]
        return [name[-1] if isinstance(name, list) and name else name for name in names]
    if not isinstance(content, list):
        raise ConfigError(
            f"MODEL_LABELS: {path} must hold a list of names, or names by class number.", field="MODEL_LABELS"
        )
    return content


def highest(scores: NDArray[np.float32], labels: list[str], top: int) -> list[list[Prediction]]:
    """The `top` classes of each row of `scores` (N, classes), best first; equal scores in class order."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [Prediction(int(i), labels[i], float(row[i])) for i in indices]
        for row, indices in zip(scores, order, strict=True)
    ]


def own_decode(
    function: Callable[..., Any], name: str, scores: NDArray[np.float32], top: int
) -> list[list[Prediction]]:
    """What the user's own decode function makes of `scores` (N, classes).

    Raises:
        ModelError: it failed, or did not return one list of {"index", "label", "score"} per image.
    """
    try:
        rows = function(scores)
        found = [[_prediction(item, scores.shape[1]) for item in row][:top] for row in rows]
    except Exception as error:
        raise ModelError(
            f"The decode function {name} failed{blame(error, __file__)}. It takes scores (N, classes) and "
            'returns for each image a list of {"index": 3, "label": "cat", "score": 0.9}, best first.'
        ) from error
    if len(found) != len(scores):
        raise ModelError(f"The decode function {name} returned {len(found)} lists for {len(scores)} images.")
    return found


def _prediction(item: Any, classes: int) -> Prediction:
    if isinstance(item, dict):
        index, label, score = item["index"], item.get("label", item.get("name")), item.get("score", item.get("prob"))
        if label is None or score is None:
            raise ValueError(f"{item!r} has no label or no score")
    else:
        index, label, score = item
    if not 0 <= int(index) < classes:
        raise ValueError(f"the index {index} is not one of 0..{classes - 1}")
    return Prediction(int(index), str(label), float(score))
