"""Which runs a comparison needs: visualizations times models times values of a setting, or a training's checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from picasso.checkpoints import trainings
from picasso.errors import InvalidSetting, NotFound
from picasso.runs.run import Run
from picasso.visualizations.base import BaseVisualization
from picasso.web.services import chosen_model, services


@dataclass(frozen=True)
class Wanted:
    """A run that is to be there.

    Attributes:
        values: the settings that are not its defaults.
        field: what in the form asks for it, which an error stands at.
    """

    visualization: type[BaseVisualization]
    values: Mapping[str, Any]
    model: str
    field: str = "visualization"


def plan(form: MultiDict[str, str], base: Run | None) -> list[Wanted]:
    """The runs that a form asks for, in the order of the columns.

    Without a `base`, every visualization with every model; one whose setting is varied, with every value of that. With
    "play", one with the checkpoints of a training, the oldest first.
    With one, what differs from it in one thing: other visualizations, other models, other values of a setting.

    Raises:
        InvalidSetting: nothing was chosen, or a setting is not there.
        NotFound: a visualization or model is not there.
    """
    registry = services().registry
    if "play" in form:
        way = registry.get(form.get("way", ""))
        return [Wanted(way, {}, model, "training") for model in _states(form)]
    chosen = [registry.get(name) for name in dict.fromkeys(form.getlist("visualization"))]
    varied, values = _varied(form)
    if base is not None:
        own, model = registry.get(base.visualization), base.model or services().engine.roster.default
        wanted = [Wanted(one, {}, model) for one in chosen]
        wanted += [Wanted(own, base.settings, other, "model") for other in _models(form, ())]
        wanted += [Wanted(own, base.settings | change, model, "values") for change in _changes(own, varied, values)]
        if not wanted:
            raise InvalidSetting("Choose something to compare this run with.", field="visualization")
        return wanted
    if not chosen:
        raise InvalidSetting("Choose at least one visualization.", field="visualization")
    if varied and varied[0] not in [one.name for one in chosen]:
        title = registry.get(varied[0]).title
        raise InvalidSetting(f"Choose {title} as well: it is the one whose setting is varied.", field="setting")
    models = _models(form, (chosen_model(),))
    return [
        Wanted(one, change, model, "values" if change else "visualization")
        for one in chosen
        for model in models
        for change in (_changes(one, varied, values) or [{}])
    ]


def _varied(form: MultiDict[str, str]) -> tuple[tuple[str, str] | None, list[str]]:
    """The setting of which there are several values, as (visualization, name), and the values."""
    visualization, _, name = form.get("setting", "").partition(".")
    values = list(dict.fromkeys(value.strip() for value in form.get("values", "").split(",") if value.strip()))
    if not visualization:
        return None, []
    if not values:
        raise InvalidSetting("Write the values of the setting, with commas between them.", field="values")
    if name not in services().registry.get(visualization).settings_model.model_fields:
        raise InvalidSetting(f"There is no setting {name[:40]!r}.", field="setting")
    return (visualization, name), values


def _changes(
    visualization: type[BaseVisualization], varied: tuple[str, str] | None, values: list[str]
) -> list[dict[str, str]]:
    """The values of the varied setting, where it is one of this visualization."""
    if varied is None or varied[0] != visualization.name:
        return []
    return [{varied[1]: value} for value in values]


def _models(form: MultiDict[str, str], default: tuple[str, ...]) -> list[str]:
    """The models that are chosen."""
    roster = services().engine.roster
    models = list(dict.fromkeys(form.getlist("model")))
    for model in models:
        if not roster.offers(model):
            raise NotFound(f"There is no model {model[:80]!r} (any more).")
    return models or list(default)


def _states(form: MultiDict[str, str]) -> list[str]:
    training = form.get("training", "")
    states = list(trainings(services().engine.roster.catalogue.names).get(training, {}).values())
    if not states:
        raise NotFound(f"There is no training {training[:80]!r} (any more).")
    return list(_spread(states, form.get("most", default=len(states), type=int)))


def _spread(states: list[str], most: int) -> Iterator[str]:
    """So many of them, evenly spread, the first and the last among them."""
    count = max(1, min(most, len(states)))
    for number in range(count):
        yield states[round(number * (len(states) - 1) / max(1, count - 1))] if count > 1 else states[-1]
