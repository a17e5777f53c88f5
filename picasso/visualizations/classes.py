"""Which classes are explained: the best of each picture, or those that are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from picasso.attribution.targets import FloatArray
from picasso.errors import InvalidSetting
from picasso.models.class_names import find_class
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field

NAMED = "named"
MOST = 10
BETWEEN = ";"
NUMBER = "#"  # "#7" is the class with the number 7, whatever is called "7"
LONGEST = 1000  # letters of a name that are looked at; Python reads no number of more than 4,300 digits
BEST_BESIDE = 5  # that a result has beside classes that were named


def classes_field(usual: int = 3, description: str = "A map for each of so many best classes") -> Any:
    """The setting that says how many of the best classes are explained."""
    return Field(usual, ge=1, le=MOST, title="Classes", description=description)


def named_field() -> Any:
    """The setting that names classes, to be explained instead of the best."""
    return Field(
        "",
        title="Named classes",
        description="By name or number, with semicolons between them: explained instead of the best ones",
    )


def chosen_by(settings: Any, info: ModelInfo) -> tuple[int, ...]:
    """The classes that the settings name; empty where the best ones are explained."""
    return tuple(named_classes(named_by(settings), info.labels))


def best_beside(visualization: BaseVisualization, scores: FloatArray) -> dict[str, Any]:
    """What the model itself says of a picture (classes,), where its result has classes that were chosen instead."""
    if not visualization.chosen:
        return {}
    return {"predictions": [one.as_dict() for one in visualization.model.decode(scores[None], BEST_BESIDE)[0]]}


def how_many(settings: Any, info: ModelInfo) -> int:
    """How many classes of each picture are explained."""
    return len(split(named_by(settings))) or min(int(settings.classes), info.classes)


def named_by(settings: Any) -> str:
    """The setting that names classes, which a visualization of one's own may not have."""
    return str(getattr(settings, NAMED, ""))


def split(text: str) -> list[str]:
    """The names in a setting, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(BETWEEN) if part.strip()))


def named_classes(text: str, labels: Sequence[str]) -> list[int]:
    """The numbers of the classes that a setting names, each once.

    Raises:
        InvalidSetting: one is not there, or could be several; or there are too many.
    """
    parts = split(text)
    if len(parts) > MOST:
        raise InvalidSetting(f"At most {MOST} classes can be named, got {len(parts)}.", field=NAMED)
    return list(dict.fromkeys(number_of(part, labels) for part in parts))


def number_of(text: str, labels: Sequence[str]) -> int:
    """The number of the class that a text means: "#7" by its number, others as `find_class` finds them.

    Raises:
        InvalidSetting: there is none, or several; the sentence has the candidates.
    """
    if not text.startswith(NUMBER):
        try:
            return find_class(text[:LONGEST], labels)
        except InvalidSetting as error:
            raise InvalidSetting(error.message, field=NAMED) from error
    for number in range(len(labels)):
        if text == f"{NUMBER}{number}":
            return number
    raise InvalidSetting(
        f"The model has no class {text[:80]!r}. They are numbered {NUMBER}0 to {NUMBER}{len(labels) - 1}.", field=NAMED
    )
