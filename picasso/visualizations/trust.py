"""Whether a picture's maps can be trusted: four checks of each chosen method, with their numbers and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Cost, Field, Fill, Input, Settings, Several
from picasso.visualizations.checked import METHODS, as_own_settings, changed_settings, method_of, own_settings
from picasso.visualizations.checking import Checks, Enough
from picasso.visualizations.classes import chosen_by, classes_field, how_many, named_classes, named_field

CHEAP: Final = ("gradient", "Grad-CAM", "occlusion")
MOST_STAGES = 4  # of `cascade`


class Trust(BaseVisualization):
    """Whether maps tell more than chance would, and whether they are of the model at all."""

    title = "Can it be trusted?"
    description = "Tests the maps of several methods: against chance, with shuffled weights, and against each other."
    reference_link = "https://arxiv.org/abs/1810.03292"
    stoppable = True
    of_classes = True
    version = "2"  # other maps: absolute values unless both have a sign

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
            "method that uses it",
        )
        classes: int = classes_field(1, "The maps of so many best classes are checked; more take longer")
        named: str = named_field()
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
        """Gives, for each input, the checks of each method's maps of its best classes."""
        self.chosen = self.chosen or chosen_by(settings, self.model.info)
        info = self.model.info
        prepared = self.model.preprocess([item.data for item in inputs])
        scores = self.model.predict(prepared.x)
        rows = self.explained(scores, settings.classes)
        most, own = self.model_calls(settings, info), _own(settings, info)
        done: list[dict[str, Any]] = []
        for index, item in enumerate(inputs):
            before, seen = self.model.calls, prepared.seen(index)

            def tell(
                doing: str, found: dict[str, Any] | None, index: int = index, before: int = before, seen: Any = seen
            ) -> None:
                there = done if found is None else [*done, found | seen]
                share = min(1.0, (self.model.calls - before) / most)
                self.progress((index + share) / len(inputs), f"{inputs[index].filename}: {doing}", there)
                if there and self.enough():
                    raise Enough

            found = Checks(self.model, prepared.x[index], rows[index], settings, own, tell).run()
            if found is not None:
                done.append(found | seen)
            if not self.stopped:
                self.progress((index + 1) / len(inputs), f"Checked {item.filename}", done)
            if index + 1 < len(inputs) and self.enough():
                break
        return done

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """The cheap methods, as far as the model can do them."""
        return {"methods": tuple(name for name in CHEAP if METHODS[name].supported(info))}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """The methods that the model can do; no more classes than there are."""
        return {
            "methods": [name for name, method in METHODS.items() if method.supported(info)],
            "classes": info.classes,
        }

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The model can do the methods and has the named classes, and the methods have such settings of their own."""
        named_classes(settings.named, info.labels)
        for name in settings.methods:
            if not METHODS[name].supported(info):
                raise InvalidSetting(f"{info.name} cannot do {name}. Leave it out.", field="methods")
        try:
            _own(settings, info)
        except InvalidSetting as error:
            raise InvalidSetting(error.message, field="method_settings") from error

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int:
        """The scores; each method's maps, with another seed, and at each stage of shuffling; the curves."""
        total = 1
        for name, own in _own(settings, info).items():
            times = 1 + METHODS[name].seeded(own) + MOST_STAGES
            total += _curves(settings, info) + times * (METHODS[name].visualization.model_calls(own, info) or 0)
        return total

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost:
        """Of a model with shuffled weights each window of an occlusion takes the whole network."""
        seconds, shuffled = info.seconds_per_image, replace(info, occlusion=())
        for name, own in _own(settings, info).items():
            seconds += _curves(settings, info) * info.seconds_per_image
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
        """From the maps of one of the methods: with that one, as it was made there, and with the cheap ones.

        As many classes as there only where somebody chose how many: each has curves of its own, which cost.
        """
        name = method_of(visualization, settings)
        if name is None or (info is not None and not METHODS[name].supported(info)):
            return None
        chosen = {name, *(other for other in CHEAP if info is None or METHODS[other].supported(info))}
        methods = [other for other in METHODS if other in chosen]
        changed = changed_settings(name, settings, info)
        classes = {name: value for name, value in changed.items() if name in ("classes", "named")}
        return {"methods": methods, "method_settings": as_own_settings(changed), **classes}


def _curves(settings: Any, info: ModelInfo) -> int:
    """Model calls for the curves of one method."""
    return how_many(settings, info) * (2 + 2 * (int(settings.steps) - 1) * (1 + int(settings.maps)))


def _own(settings: Any, info: ModelInfo) -> dict[str, Settings]:
    """The settings that each chosen method's maps are drawn with."""
    own = own_settings(settings.method_settings, settings.methods)
    return {name: METHODS[name].settings(own, how_many(settings, info), info) for name in settings.methods}
