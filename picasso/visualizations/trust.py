"""Whether a picture's maps can be trusted: four checks of each chosen method, with their numbers and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from picasso.attribution.agreement import cascade, spearman
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray
from picasso.errors import InvalidSetting, ModelError
from picasso.models.base import Model
from picasso.models.decoding import Prediction, highest
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Cost, Field, Fill, Input, Settings, Several
from picasso.visualizations.checked import METHODS, as_own_settings, method_of, own_settings
from picasso.visualizations.checks import (
    PARTLY,
    SAME,
    STABLE,
    STRONGEST,
    check_agreement,
    check_hiding,
    check_seed,
    check_shuffling,
)

CHEAP: Final = ("gradient", "Grad-CAM", "occlusion")
MOST_STAGES = 4  # of `cascade`
Tell = Callable[[str, dict[str, Any]], None]


class Trust(BaseVisualization):
    """Whether maps tell more than chance would, and whether they are of the model at all."""

    title = "Can it be trusted?"
    description = "Tests the maps of several methods: against chance, with shuffled weights, and against each other."
    reference_link = "https://arxiv.org/abs/1810.03292"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        methods: Several[
            Literal[
                "gradient",
                "gradient x input",
                "SmoothGrad",
                "integrated gradients",
                "guided backpropagation",
                "Grad-CAM",
                "Grad-CAM++",
                "LayerCAM",
                "Score-CAM",
                "occlusion",
                "random masks",
            ]
        ] = Field(
            CHEAP,
            title="Methods",
            description="Whose maps are checked. Random masks take by far the longest, Score-CAM, SmoothGrad and "
            "integrated gradients longer than the others",
        )
        method_settings: str = Field(
            "",
            title="Their settings",
            description="Where they are not the defaults, such as: layer=block5c_add; fill=black. Each holds for every "
            "method that has it",
        )
        fill: Fill = Field("grey", title="Hidden with", description="What covers the pixels that are hidden")
        steps: int = Field(
            20, ge=10, le=50, multiple_of=10, title="Steps", description="From the whole picture to one all hidden"
        )
        maps: int = Field(
            5, ge=1, le=20, title="Random maps", description="To compare with: the same map moved to another place"
        )
        seed: int = Field(
            0, ge=0, le=999_999, title="Seed", description="Another one gives other random maps and shuffled weights"
        )

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, the checks of each method's map of its best class."""
        prepared = self.model.preprocess([item.data for item in inputs])
        scores = self.model.predict(prepared.x)
        named, best_of_all = self.model.decode(scores, 1), highest(scores, list(self.model.info.labels), 1)
        best = [(row or other)[0] for row, other in zip(named, best_of_all, strict=True)]  # a decode may name none
        most = self.model_calls(settings, self.model.info)
        done: list[dict[str, Any]] = []
        for index, item in enumerate(inputs):
            before, seen = self.model.calls, prepared.seen(index)

            def tell(doing: str, found: Any, index: int = index, before: int = before, seen: Any = seen) -> None:
                share = min(1.0, (self.model.calls - before) / most)
                message = f"{inputs[index].filename}: {doing}"
                self.progress((index + share) / len(inputs), message, [*done, found | seen])

            done.append(_Checks(self.model, prepared.x[index], best[index], settings, tell).run() | seen)
            self.progress((index + 1) / len(inputs), f"Checked {item.filename}", done)
        return done

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """The cheap methods, as far as the model can do them."""
        return {"methods": tuple(name for name in CHEAP if METHODS[name].supported(info))}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """The methods that the model can do."""
        return {"methods": [name for name, method in METHODS.items() if method.supported(info)]}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The model can do the methods, and their own settings are such as they have."""
        for name in settings.methods:
            if not METHODS[name].supported(info):
                raise InvalidSetting(f"{info.name} cannot do {name}. Leave it out.", field="methods")
        try:
            _own(settings, info)
        except InvalidSetting as error:
            raise InvalidSetting(error.message, field="method_settings") from error

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int:
        """The scores; each method's map, with another seed, and at each stage of shuffling; the curves."""
        total = 1
        for name, own in _own(settings, info).items():
            times = 1 + METHODS[name].seeded(own) + MOST_STAGES
            total += _curves(settings) + times * (METHODS[name].visualization.model_calls(own, info) or 0)
        return total

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost:
        """Of a model with shuffled weights each window of an occlusion takes the whole network."""
        seconds, shuffled = info.seconds_per_image, replace(info, occlusion=())
        for name, own in _own(settings, info).items():
            seconds += _curves(settings) * info.seconds_per_image
            for times, known in ((1 + METHODS[name].seeded(own), info), (MOST_STAGES, shuffled)):
                cost = METHODS[name].visualization.cost(own, known)
                seconds += times * cost.seconds if cost else 0
        return Cost(f"{cls.model_calls(settings, info):,} model calls", seconds)

    @classmethod
    def stops_early(cls, settings: Any) -> bool:
        """How many stages there are depends on the model's layers, which only the worker knows."""
        return True

    @classmethod
    def goes_on_from(
        cls, visualization: type[BaseVisualization], settings: Any, info: ModelInfo | None
    ) -> dict[str, Any] | None:
        """From the map of one of the methods: with that one, as it was made there, and with the cheap ones."""
        name = method_of(visualization, settings)
        if name is None or (info is not None and not METHODS[name].supported(info)):
            return None
        chosen = {name, *(other for other in CHEAP if info is None or METHODS[other].supported(info))}
        methods = [other for other in METHODS if other in chosen]
        return {"methods": methods, "method_settings": as_own_settings(name, settings, info)}


def _curves(settings: Any) -> int:
    """Model calls for the curves of one method."""
    return 2 + 2 * (int(settings.steps) - 1) * (1 + int(settings.maps))


def _own(settings: Any, info: ModelInfo) -> dict[str, Settings]:
    """The settings that each chosen method's map is drawn with."""
    own = own_settings(settings.method_settings, settings.methods)
    return {name: METHODS[name].settings(own, info) for name in settings.methods}


class _Checks:
    """The checks of one picture, one after the other, and what is there of them already.

    Args:
        best: the class that is explained, whatever a shuffled model says.
        tell: called with what is being done and what is there, before every step.
    """

    def __init__(self, model: Model, x: FloatArray, best: Prediction, settings: Any, tell: Tell) -> None:
        self.model, self.x, self.best, self.settings, self._tell = model, x, best, settings, tell
        self.own = _own(settings, model.info)
        self.layers = len(model.weighted_layers)
        self.maps: dict[str, FloatArray] = {}
        self.found: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        """All of them."""
        for name in self.own:
            self._hide(name)
        for name in self.maps:
            if METHODS[name].seeded(self.own[name]):
                again = self._draw(name, "drawing {} with another seed", other_seed=True)
                self.found[name]["again"] = check_seed(self.maps[name], again, self.settings.seed)
        self._shuffle()
        for name in self.maps:
            agreement = check_agreement(self.maps, name, moves=self.settings.maps, seed=self.settings.seed)
            self.found[name]["agreement"] = agreement
        return self.result()

    def result(self) -> dict[str, Any]:
        """What the page and the manifest are given."""
        return {
            **self.best.as_dict(),
            "score_kind": self.model.info.score_kind,
            "layers": self.layers,
            "strongest": STRONGEST,
            "thresholds": {"same": SAME, "partly": PARTLY, "stable": STABLE},
            "methods": [{"name": name, **one} for name, one in self.found.items()],
        }

    def _draw(self, name: str, doing: str, other_seed: bool = False) -> FloatArray:
        """A method's map, of the model as it is now."""
        own = self.own[name]
        if other_seed:
            own = own.model_copy(update={"seed": own["seed"] + 1})

        def step(*_: Any) -> None:
            self._tell(doing.format(name), self.result())

        step()
        return METHODS[name].draw(self.model, self.x, self.best.index, own, step)

    def _hide(self, name: str) -> None:
        values = self._draw(name, "drawing {}")
        facts = METHODS[name].facts(values, self.own[name], self.model.info)
        if np.ptp(values) == 0:  # no order of pixels, and nothing to be like or unlike
            self.found[name] = facts | {"empty": True}
            return
        self.maps[name] = values
        hiding = check_hiding(
            self.model,
            self.x,
            self.best.index,
            make_fill(self.settings.fill, self.x, self.model.solid),
            values,
            steps=self.settings.steps,
            maps=self.settings.maps,
            seed=self.settings.seed,
            step=lambda _share: self._tell(f"hiding pixels in the order of {name}", self.result()),
        )
        self.found[name] = facts | hiding

    def _shuffle(self) -> None:
        """The weights of more and more layers, from the scores back to the image."""
        stages: dict[str, list[tuple[int, float | None]]] = {name: [] for name in self.maps}
        for count in cascade(self.layers):
            doing = f"drawing {{}} with {count} of {self.layers} layers shuffled"
            with self.model.shuffled(count, self.settings.seed):
                similarities = {name: self._similarity(name, doing) for name in self.maps}
            for name, similarity in similarities.items():
                stages[name].append((count, similarity))
                self.found[name]["shuffling"] = check_shuffling(stages[name])

    def _similarity(self, name: str, doing: str) -> float | None:
        """Of a method's map as the model is now to the one before, without signs; None where there is none.

        It is not finite, or the same everywhere.

        A network with shuffled weights may well give no finite numbers: nothing in it is normalized any more.
        """
        try:
            with np.errstate(all="ignore"):
                values = self._draw(name, doing)
        except ModelError:
            return None
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            return None
        return spearman(np.abs(self.maps[name]), np.abs(values))
