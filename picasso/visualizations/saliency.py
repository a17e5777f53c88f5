"""Saliency maps: the gradient with respect to the picture, and four methods made of it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from picasso.attribution.integrated_gradients import integrated_gradients, most_points
from picasso.attribution.saliency import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    saliency,
    total,
)
from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets
from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.models.preprocessing import ReadyMade
from picasso.visualizations.base import Cost, Field, Fill, Settings
from picasso.visualizations.classes import classes_field, how_many, named_classes, named_field
from picasso.visualizations.maps import Found, MapVisualization, Method, Show, Tried

ADDS_UP = ("lowers", "raises")
GUIDED = "guided backpropagation"
METHODS = {
    "gradient": Method(
        signed=False,
        explains="largest change of its {score}, over the colour channels, for a small change of each pixel, "
        "without sign",
        ends=("no effect", "and more"),
        reading="Bright pixels are those where a small change would move the class's {score} most, up or down.",
        misleads="It is the slope at this very picture: what the model is so sure of that a small change does not "
        "matter stays dark, and single pixels are noisy.",
        source="Simonyan et al. 2013",
        link="https://arxiv.org/abs/1312.6034",
        tried=(Tried((0.60, 0.57)),),
    ),
    "gradient x input": Method(
        signed=True,
        explains="gradient of its {score} times the pixel's value, summed over the colour channels",
        ends=ADDS_UP,
        reading="To first order, what each pixel adds to the class's {score}, compared with a pixel that is zero for "
        "the model. Red raises it, blue lowers it.",
        misleads="A pixel of the colour that is zero for the model shows nothing, whatever it means. The values add up "
        "to the score only in networks of ReLUs without biases.",
        source="Shrikumar et al. 2016",
        link="https://arxiv.org/abs/1605.01713",
        tried=(Tried((0.67, 0.46)),),
    ),
    "SmoothGrad": Method(
        signed=False,
        explains="as the gradient, of the mean over noisy copies: largest change of its {score} for a small change "
        "of each pixel, without sign",
        ends=("no effect", "and more"),
        reading="Bright pixels are those where a small change would move the class's {score} most, on average over "
        "noisy copies of the picture.",
        misleads="It looks cleaner because it is a mean, not because the model is: another amount of noise gives "
        "another map, and noisy pictures are not what the model was trained on.",
        source="Smilkov et al. 2017",
        link="https://arxiv.org/abs/1706.03825",
        tried=(Tried((0.68, 0.62)),),
        gradual=True,
    ),
    "integrated gradients": Method(
        signed=True,
        explains="each pixel's share of the change of its {score} from the baseline to this picture",
        ends=ADDS_UP,
        reading="The change of the class's {score} from the baseline to this picture, divided among the pixels. Red "
        "raises it, blue lowers it.",
        misleads="Everything is relative to the baseline: what looks like it shows nothing, so compare two baselines. "
        "The pictures on the way are none that the model was trained on.",
        source="Sundararajan et al. 2017",
        link="https://arxiv.org/abs/1703.01365",
        tried=(
            Tried((0.65, 0.63)),
            Tried((0.70, 0.51), {"baseline": "grey"}),
            Tried((0.70, 0.49), {"baseline": "white"}),
            Tried((0.68, 0.52), {"baseline": "mean"}),
            Tried((0.62, 0.59), {"baseline": "blur"}),
        ),
        gradual=True,
    ),
    GUIDED: Method(
        signed=False,
        explains="as the gradient of its {score}, with everything negative left out on the way back through each ReLU: "
        "the largest value over the colour channels, without sign",
        ends=("none", "most"),
        reading="Bright pixels are edges and textures that units of the network respond to on the way to the class.",
        misleads="It looks sharp because it largely restores the picture's edges (Nie et al. 2018). It hardly changes "
        "with the class, or when the weights of the upper layers are shuffled (Adebayo et al. 2018): it does not show "
        "what this class's {score} depends on.",
        source="Springenberg et al. 2014",
        link="https://arxiv.org/abs/1412.6806",
        tried=(Tried((0.57, 0.60)),),
    ),
}


def only(*methods: str) -> dict[str, Any]:
    """Marks a setting that the other methods do not use."""
    return {"only": {"method": list(methods)}}


class Saliency(MapVisualization):
    """Which pixels would change a class score most, if they changed a little."""

    description = "Shows which pixels would move a class score most, if they changed a little."
    reference_link = "https://arxiv.org/abs/1312.6034"
    needs = frozenset({"predict", "gradients"})
    bright = 0.995  # single pixels stand far out

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        method: Literal[
            "gradient", "gradient x input", "SmoothGrad", "integrated gradients", "guided backpropagation"
        ] = Field(
            "gradient",
            title="Method",
            description="How the gradient becomes a map; SmoothGrad and integrated gradients cost more",
        )
        classes: int = classes_field()
        named: str = named_field()
        samples: int = Field(
            32,
            ge=1,
            le=1000,
            title="Samples",
            description="Noisy copies of the picture",
            json_schema_extra=only("SmoothGrad"),
        )
        noise: float = Field(
            0.15,
            ge=0,
            le=1,
            title="Noise",
            description="Standard deviation of the noise, as a share of the range of the picture's values",
            json_schema_extra=only("SmoothGrad"),
        )
        seed: int = Field(
            0,
            ge=0,
            le=999_999,
            title="Seed",
            description="Another one gives other noise",
            json_schema_extra=only("SmoothGrad"),
        )
        baseline: Fill = Field(
            "black",
            title="Baseline",
            description="What the picture is compared with: the way leads from it to the picture",
            json_schema_extra=only("integrated gradients"),
        )
        points: int = Field(
            129,
            ge=17,
            le=513,
            title="Points",
            description="Of the way, at most: 17, and 8 more as long as the values do not add up",
            json_schema_extra=only("integrated gradients"),
        )
        gap: float = Field(
            0.01,
            ge=0,
            le=1,
            title="Gap",
            description="How far the sum of the values may be from the change of score, as a share of it",
            json_schema_extra=only("integrated gradients"),
        )

    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """The chosen method."""
        return {
            "gradient": self._gradient,
            "gradient x input": self._gradient_times_input,
            "SmoothGrad": self._smoothgrad,
            "integrated gradients": self._integrated_gradients,
            GUIDED: self._guided_backpropagation,
        }[settings.method](targets, settings, show)

    def _gradient(self, targets: Targets, settings: Any, show: Show) -> Found:
        return Found(saliency(gradient(self.model, targets)))

    def _gradient_times_input(self, targets: Targets, settings: Any, show: Show) -> Found:
        found = total(gradient_times_input(self.model, targets))
        if not isinstance(self.model.preprocessor, ReadyMade):
            return Found(found)  # nobody knows which colour somebody's own preprocess function makes zero of
        return Found(found, of_all={"baseline": self.model.picture(np.zeros(targets.x.shape[1:], np.float32))})

    def _guided_backpropagation(self, targets: Targets, settings: Any, show: Show) -> Found:
        return Found(saliency(guided_backpropagation(self.model, targets)))

    def _smoothgrad(self, targets: Targets, settings: Any, show: Show) -> Found:
        found = smoothgrad(
            self.model,
            targets,
            samples=settings.samples,
            noise=settings.noise,
            seed=settings.seed,
            step=lambda share, values: show(share, saliency(values)),
        )
        return Found(saliency(found.gradients), [{"samples": samples} for samples in found.samples])

    def _integrated_gradients(self, targets: Targets, settings: Any, show: Show) -> Found:
        found = integrated_gradients(
            self.model,
            targets,
            self.fills(settings.baseline, targets.x),
            tolerance=settings.gap,
            most=settings.points,
            step=show,
        )
        of_each = [
            {"change": change, "gap": gap, "points": points, "within": bool(gap <= settings.gap * abs(change))}
            for change, gap, points in zip(found.change, found.gap, found.points, strict=True)
        ]
        return Found(found.maps, of_each)

    @classmethod
    def method(cls, settings: Any) -> Method:
        """What the page says of it."""
        return METHODS[settings.method]

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """No more maps than classes, and the methods that fit the network."""
        methods = [name for name in METHODS if name != GUIDED or "guided" in info.capabilities]
        return {"classes": info.classes, "method": methods}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The named classes are there; guided backpropagation only for networks of ReLUs."""
        named_classes(settings.named, info.labels)
        if settings.method == GUIDED and "guided" not in info.capabilities:
            raise InvalidSetting(
                f"{GUIDED.capitalize()} is defined for networks whose activations are all ReLUs, which {info.name} is "
                "not, or Picasso cannot see into one of its layers. Choose another method.",
                field="method",
            )

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One for the scores, and forward and backward for each class, sample and point."""
        return 1 + cls._gradients_of(settings, info)

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost | None:
        """All but one of the calls are gradients."""
        gradients = cls._gradients_of(settings, info)
        return Cost.of_calls(info, 1 + gradients, gradients)

    @classmethod
    def _gradients_of(cls, settings: Any, info: ModelInfo) -> int:
        """How many gradients each picture takes, at most."""
        each = {"SmoothGrad": int(settings.samples), "integrated gradients": most_points(settings.points)}
        return how_many(settings, info) * each.get(settings.method, 1)

    @classmethod
    def stops_early(cls, settings: Any) -> bool:
        """Once the values add up."""
        return bool(settings.method == "integrated gradients")
