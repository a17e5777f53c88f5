"""From scores to named classes, best first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picasso.errors import ModelError, blame


@dataclass(frozen=True)
class Prediction:
    """One class of one image: its index among the model's outputs, its name, its score as the model gives it."""

    index: int
    label: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return asdict(self)


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
    if not math.isfinite(score):
        raise ValueError(f"{item!r} has a score that is NaN or infinite")
    return Prediction(int(index), str(label), float(score))
