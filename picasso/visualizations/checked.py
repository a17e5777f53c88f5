"""The methods whose maps can be checked: which visualization has each, and what it takes to draw its map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from picasso.attribution.targets import FloatArray, Step, Targets
from picasso.errors import InvalidSetting
from picasso.models.base import Model
from picasso.models.info import ModelInfo
from picasso.visualizations import class_activation, saliency
from picasso.visualizations.base import BaseVisualization, Settings
from picasso.visualizations.forms import changed, form_fields
from picasso.visualizations.maps import MapVisualization
from picasso.visualizations.occlusion import Occlusion
from picasso.visualizations.random_masks import RandomMasks

BRIGHT = 0.995  # the colours end where this share of the values does
NOT_OWN = {"method", "classes", "named", "precision"}  # settings of a map that its check decides itself


@dataclass(frozen=True)
class Checked:
    """A method: the visualization that has it, and how it is chosen there."""

    visualization: type[MapVisualization]
    choice: Mapping[str, str]

    def supported(self, info: ModelInfo) -> bool:
        """Whether the model can do it."""
        if self.visualization.unsupported_reason(info) is not None:
            return False
        limits = self.visualization.limits(info)
        return all(value in limits.get(name, [value]) for name, value in self.choice.items())

    def used(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the settings that decide its map, by their names, but for what the check decides itself."""
        fields = form_fields(self.visualization, {**settings, **self.choice})
        return {field.name: field.value for field in fields if field.used and field.name not in NOT_OWN}

    def settings(self, own: Mapping[str, str], classes: int, info: ModelInfo) -> Settings:
        """Its defaults for so many classes, but for those of `own` that it has."""
        known = {name: value for name, value in own.items() if name in self.visualization.settings_model.model_fields}
        return self.visualization.parse_settings({**known, "classes": classes, **self.choice}, info)

    def seeded(self, settings: Settings) -> bool:
        """Whether chance has a part in it."""
        return "seed" in self.used(settings.model_dump())

    def draw(self, model: Model, x: FloatArray, classes: Sequence[int], settings: Settings, step: Step) -> FloatArray:
        """The maps of some classes of one image (height, width, channels): float32 (classes, height, width)."""
        logits = self.visualization.logits(settings, model.info)
        targets = Targets(x[None], np.zeros(len(classes), np.int64), np.array(classes), logits)
        return self.visualization(model).explain(targets, settings, step).maps

    def facts(self, values: FloatArray, settings: Settings, info: ModelInfo) -> dict[str, Any]:
        """What a page says of its map, and draws; "limit" is the value at the end of the colours."""
        return {
            "plotted": "logit" if self.visualization.logits(settings, info) else info.score_kind,
            "seeded": self.seeded(settings),
            "settings": self.used(settings.model_dump(mode="json")),
            "map": values,
            "low": values.min(),
            "high": values.max(),
            "limit": np.quantile(np.abs(values), BRIGHT),
            "signed": bool(values.min() < 0),
        }


METHODS = {
    **{name: Checked(saliency.Saliency, {"method": name}) for name in saliency.METHODS},
    **{name: Checked(class_activation.ClassActivation, {"method": name}) for name in class_activation.METHODS},
    "occlusion": Checked(Occlusion, {}),
    "random masks": Checked(RandomMasks, {}),
}


def own_settings(text: str, methods: Sequence[str]) -> dict[str, str]:
    """ "layer=conv; samples=8" as {"layer": "conv", "samples": "8"}.

    Raises:
        InvalidSetting: none of these methods uses such a setting.
    """
    pieces = [part.partition("=") for part in text.split(";") if part.strip()]
    found = {name.strip(): value.strip() for name, _, value in pieces}
    used = {name for method in methods for name in METHODS[method].used(found)}
    for name, equals, value in pieces:
        if not equals or name.strip() not in used:
            raise InvalidSetting(
                f"'method_settings' should be like 'fill=black; seed=1', got {(name + equals + value).strip()[:80]!r}. "
                f"The chosen methods use: {', '.join(sorted(used)) or 'none'}.",
                field="method_settings",
            )
    return found


def method_of(visualization: type[BaseVisualization], settings: Mapping[str, Any]) -> str | None:
    """The method that a run of a visualization used; None where it is none of these."""
    for name, checked in METHODS.items():
        if checked.visualization is visualization and checked.choice.items() <= settings.items():
            return name
    return None


def changed_settings(method: str, settings: Mapping[str, Any], info: ModelInfo | None) -> dict[str, str]:
    """What a run's settings change of the method's defaults, as text."""
    visualization, choice = METHODS[method].visualization, METHODS[method].choice
    return {field.name: field.words for field in changed(visualization, settings, info) if field.name not in choice}


def as_own_settings(changed: Mapping[str, str]) -> str:
    """Those of the changed settings that a map has to itself, as `own_settings` reads them."""
    return "; ".join(f"{name}={words}" for name, words in changed.items() if name not in NOT_OWN)
