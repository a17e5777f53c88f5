"""What a visualization is: one class, one template, optional settings. This is what plugin authors learn.

    class HiddenHalves(BaseVisualization):
        description = "Hides one half of the image at a time"
        reference_link = "https://..."

        class settings(Settings):
            fill: Fill = Field("grey", description="What covers the hidden half")

        def make_visualization(self, inputs, output_dir, settings):
            ...                                    # one result per input

Beside it lies `HiddenHalves.html`, which extends `result.html` and fills the block `vis`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from picasso.attribution.fills import Fill
from picasso.errors import InvalidSetting
from picasso.models.base import Model
from picasso.models.decoding import Prediction, highest
from picasso.models.info import ModelInfo
from picasso.numbers import counted
from picasso.rules import sentence

__all__ = ["BaseVisualization", "Cost", "Field", "Fill", "Input", "Settings", "Several"]

NEEDS = {
    "predict": "class scores",
    "gradients": "gradients of its scores",
    "logits": "logits behind a final softmax or sigmoid",
    "activations": "the activations of a convolution",
    "guided": "guided backpropagation",
}


def listed(value: Any) -> Any:
    """What was chosen, each once: text in which commas part it, as a form or an address has it, or a list."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        return value
    return tuple(one for number, one in enumerate(value) if one not in value[:number])  # JSON has what cannot be hashed


def _not_empty(value: Any) -> Any:
    if not value:
        raise PydanticCustomError("nothing_chosen", "Input should be at least one of them")
    return value


Choice = TypeVar("Choice")
Several = Annotated[tuple[Choice, ...], BeforeValidator(listed), AfterValidator(_not_empty)]
"""The type of a setting of which several may be chosen: `Several[Literal["a", "b"]]`."""


class Settings(BaseModel):
    """Base of a visualization's settings: one declaration gives the page, its checks and its help.

    A field is `name: type = Field(default, ge=..., le=..., description="...", json_schema_extra={"unit": "px"})`.
    Types that the page can show: int, float, bool, str, `Literal[...]` for a choice, and `Several[Literal[...]]` where
    more than one may be chosen. One that matters only with some choices of another setting says so:
    `json_schema_extra={"only": {"method": ["SmoothGrad"]}}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __getitem__(self, name: str) -> Any:
        """The plain form's way: `settings["Window"]`."""
        try:
            return getattr(self, name)
        except AttributeError as error:
            raise KeyError(name) from error


@dataclass(frozen=True)
class Input:
    """One image of a run: its name as the person knows it, and its upright picture in mode "L" or "RGB"."""

    filename: str
    data: Image.Image

    def __getitem__(self, name: Literal["filename", "data"]) -> Any:
        """The plain form's way: `inputs[0]["filename"]`, `inputs[0]["data"]`."""
        if name not in ("filename", "data"):
            raise KeyError(name)
        return getattr(self, name)


@dataclass(frozen=True)
class Cost:
    """What a run costs for each picture.

    Attributes:
        what: "17 model calls".
        seconds: an estimate.
        remark: what else there is to say of it; it follows a comma.
    """

    what: str
    seconds: float
    remark: str = ""

    @classmethod
    def of_calls(cls, info: ModelInfo, calls: int, gradients: int = 0) -> Cost:
        """That of so many model calls, of which some are gradients."""
        seconds = (calls - gradients) * info.seconds_per_image + gradients * info.gradient_seconds
        return cls(counted(calls, "model call"), seconds)


Report = Callable[[float, str, Sequence[Any] | None], None]


class BaseVisualization(ABC):
    """A way of looking at what a model does with images.

    Attributes that a class declares:
        description: one sentence, on the card of the start page.
        title: its name for people; the class's name in words unless given.
        reference_link: where the method comes from.
        settings: a `Settings` class, or the plain form {"Window": ["0.50", "0.25"]}, first values being the defaults.
        needs: what the model must be able to do, out of "predict", "gradients", "logits", "activations", "guided".
        comparable: its results can be laid side by side: they have "maps", [{"index", "label", "score", "map", "low",
            "high"}] with the best class first, or "predictions", or both where the maps are not of the best classes;
            and "answer", the scores of all classes, for sorting.
        settings_page: the path of a page of its own in which its settings are chosen; they and the pictures ("image")
            are in its address. The page that is made from `settings` unless given.
        stoppable: it asks `enough` between batches, and returns what it has when that says so.
        of_classes: it explains classes, and asks `explained` which; so a person may choose them.
        version: raise it when the same settings give other numbers, so that kept results are not taken for new ones.
    """

    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    reference_link: ClassVar[str] = ""
    settings: ClassVar[type[Settings] | Mapping[str, Sequence[str]] | None] = None
    needs: ClassVar[frozenset[str] | set[str]] = frozenset({"predict"})
    comparable: ClassVar[bool] = False
    settings_page: ClassVar[str] = ""
    stoppable: ClassVar[bool] = False
    of_classes: ClassVar[bool] = False
    version: ClassVar[str] = "1"

    # Filled in by discovery.
    name: ClassVar[str] = ""
    settings_model: ClassVar[type[Settings]] = Settings
    file: ClassVar[Path | None] = None
    digest: ClassVar[str] = ""  # of its source
    template: ClassVar[Path | None] = None
    picture: ClassVar[Path | None] = None

    def __init__(
        self, model: Model, report: Report | None = None, asked_to_stop: Callable[[], bool] | None = None
    ) -> None:
        self.model = model
        self.stopped = False  # whether `enough` has said so
        self.chosen: tuple[int, ...] = ()  # classes that a person chose to have explained
        self._report = report or (lambda _fraction, _message, _partial: None)
        self._part = (0, 1)
        self._asked_to_stop = asked_to_stop or (lambda: False)

    @abstractmethod
    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Computes one result per input.

        Args:
            inputs: the images.
            output_dir: an empty folder; pictures (PNG, JPEG) written here are kept with the run.
            settings: an instance of `settings`, checked; None when the class has none.

        Returns:
            One result per input: dictionaries, lists, text, numbers; numpy arrays and PIL images anywhere in them
            are kept as files, which the template sees with an `url`.
        """

    def progress(self, fraction: float, message: str = "", partial: Sequence[Any] | None = None) -> None:
        """Tells the page how far the run is, 0..1, and what is there already (results, as `make_visualization` returns
        them, for the first images). Raises `Cancelled` when the person has cancelled."""
        self.model.checkpoint()
        index, count = self._part
        self._report((index + fraction) / count, message, partial if count == 1 else None)

    def is_at(self, index: int, count: int) -> None:
        """It is asked about one input at a time, and this is the one of that number, of so many: its progress is a
        part of all, and results that it has in part are not shown."""
        self._part = (index, count)

    def enough(self) -> bool:
        """Whether the person wants what is there already and no more. To be asked only while something is left to do:
        after True, `make_visualization` returns its results so far, of the first images if not of all."""
        self.stopped = self.stopped or self._asked_to_stop()
        return self.stopped

    def explained(self, scores: NDArray[np.float32], count: int) -> list[list[Prediction]]:
        """The classes to explain for each row of `scores` (N, classes): those that were chosen, else the `count` best.

        Args:
            scores: the model's own, float32.

        Returns:
            For each row one class at least: where the user's own decode function names none, the best by their scores.
        """
        labels = list(self.model.info.labels)
        if not self.chosen:
            named = self.model.decode(scores, count)
            if all(named):
                return named
            return [some or best for some, best in zip(named, highest(scores, labels, count), strict=True)]
        return [[Prediction(index, labels[index], float(row[index])) for index in self.chosen] for row in scores]

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """Override to give defaults that fit the model better than those declared, by setting."""
        return {}

    @classmethod
    def fitting_defaults(cls, info: ModelInfo | None) -> dict[str, Any]:
        """Defaults that differ from those declared because of the model: its own, and those above its limits."""
        if info is None:
            return {}
        declared = cls.settings_model().model_dump()
        numbers = {name: value for name, value in declared.items() if isinstance(value, int | float)}
        limited = {name: limit for name, limit in cls.limits(info).items() if name in numbers and numbers[name] > limit}
        return limited | cls.defaults(info)

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """Override to check settings against the model; raise `InvalidSetting(sentence, field=name)`."""

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """Override to say what this model allows, by setting; the settings page shows only that.

        For a number its upper limit, for a choice the list of what is left to choose from; so a text becomes a choice.
        """
        return {}

    @classmethod
    def goes_on_from(
        cls, visualization: type[BaseVisualization], settings: Any, info: ModelInfo | None
    ) -> dict[str, Any] | None:
        """Override to be offered on the result page of another visualization: with which settings; None: not at all."""
        return None

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """Override to say how many images go through the network for one input; None when not known."""
        return None

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost | None:
        """Override where a call costs more or less than running the network; None when not known."""
        calls = cls.model_calls(settings, info)
        return None if calls is None else Cost.of_calls(info, calls)

    @classmethod
    def stops_early(cls, settings: Any) -> bool:
        """Override to say that `model_calls` is the most that it may take, and that it may be done with fewer."""
        return False

    @classmethod
    def unsupported_reason(cls, info: ModelInfo) -> str | None:
        """Why this model cannot be looked at this way, as a sentence; None when it can."""
        missing = [NEEDS.get(need, need) for need in sorted(cls.needs) if need not in info.capabilities]
        return f"Needs {' and '.join(missing)}, which {info.name} does not give." if missing else None

    @classmethod
    def parse_settings(
        cls, values: Mapping[str, Any], info: ModelInfo | None = None, *, strict: bool = False
    ) -> Settings:
        """Checks values, as a form or a program sends them, against the declaration and the model.

        Args:
            values: by setting; those left out take their default.
            info: the model, if it is known already.
            strict: text is not taken for a number.

        Raises:
            InvalidSetting: names the setting, the rule, the value.
        """
        try:
            merged = cls.fitting_defaults(info) | dict(values)
            settings = cls.settings_model.model_validate(merged, strict=strict or None)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else None
            limit = cls.limits(info).get(field) if info and field else None
            raise InvalidSetting(_sentence(field, first, cls.settings_model, limit), field=field) from error
        if info is not None:
            cls.check_settings(settings, info)
        return settings


def _sentence(field: str | None, error: Any, model: type[Settings], limit: Any) -> str:
    """`limit`: what the model's own limits are, as in `BaseVisualization.limits`."""
    if error["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        return f"There is no setting '{field}'. The settings are: {known}."
    rule = ""
    if error["type"] == "less_than_equal" and isinstance(limit, int | float):
        rule = f"be less than or equal to {min(limit, error['ctx']['le'])} for this model"
    return sentence(field or "settings", error, rule)


def spaced(class_name: str) -> str:
    """Words of a class name: "ClassProbabilities" -> "Class probabilities"."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", class_name)
    return " ".join([words[0], *(word if word.isupper() else word.lower() for word in words[1:])])


def name_of(class_name: str) -> str:
    """What addresses and programs call a visualization: "ClassProbabilities" -> "class-probabilities"."""
    return spaced(class_name).lower().replace(" ", "-")


def settings_model(declared: type[Settings] | Mapping[str, Sequence[str]] | None) -> type[Settings]:
    """The pydantic model behind a declaration: itself, or one made from the plain form."""
    if declared is None:
        return Settings
    if isinstance(declared, type):
        return declared
    for name, choices in declared.items():
        if isinstance(choices, str) or not choices:
            raise ValueError(f"The setting {name!r} needs a list of choices, the first being the default.")
    fields: dict[str, Any] = {
        name: (Literal[tuple(str(choice) for choice in choices)], str(choices[0])) for name, choices in declared.items()
    }
    return create_model("PlainSettings", __base__=Settings, **fields)
