"""Class activation maps: where a layer saw what speaks for a class."""

from __future__ import annotations

from typing import Any, Literal

from picasso.attribution import cam
from picasso.attribution.resizing import resize
from picasso.attribution.score_cam import score_cam
from picasso.attribution.targets import Targets
from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.visualizations.base import Field, Fill, Settings
from picasso.visualizations.classes import classes_field, how_many, named_classes, named_field
from picasso.visualizations.layers import chosen_layer, described, unsupported, with_extent
from picasso.visualizations.maps import Found, MapVisualization, Method, Show, Tried

COMBINE = {"Grad-CAM": cam.grad_cam, "Grad-CAM++": cam.grad_cam_plus_plus, "LayerCAM": cam.layer_cam}
SCORE_CAM = "Score-CAM"
WITHOUT_GRADIENTS = [SCORE_CAM]
ENDS = ("none", "most")


def on_layers(last: tuple[float, float], *earlier: tuple[float, float]) -> tuple[Tried, ...]:
    """The trials of a method on the last layer of EfficientNet-Lite0, and on three that come ever earlier."""
    layers = ("block6d_add", "block5c_add", "block3b_add")
    return (Tried(last), *(Tried(halves, {"layer": layer}) for halves, layer in zip(earlier, layers, strict=True)))


METHODS = {
    "Grad-CAM": Method(
        signed=False,
        explains="the layer's channels, each times the mean gradient of its {score} over the whole layer, where their "
        "sum is positive",
        ends=ENDS,
        reading="Bright parts are where the layer's channels are active that, by their mean gradient, raise the "
        "class's {score}. The values are parts of that, so maps of several classes can be compared: a darker one says "
        "that the layer has less for its class.",
        misleads="A channel has one weight for the whole picture, so a place can be bright that the class does not "
        "use. What speaks against the class is not shown, and the layer is coarse.",
        source="Selvaraju et al. 2017",
        link="https://arxiv.org/abs/1610.02391",
        tried=on_layers((0.83, 0.96), (0.92, 0.65), (0.76, 0.44), (0.39, 0.52)),
    ),
    "Grad-CAM++": Method(
        signed=False,
        explains="the layer's channels, each times a mean of the positive gradients of its {score}, where their sum is "
        "positive",
        ends=ENDS,
        reading="As Grad-CAM, with places weighted so that several and smaller things of one class show alike.",
        misleads="Only gradients that raise the class count, also of channels that lower it elsewhere: classes often "
        "share one map. Its values have no unit, and even a class of no probability may have bright ones: compare "
        "places within a map, not maps.",
        source="Chattopadhyay et al. 2018",
        link="https://arxiv.org/abs/1710.11063",
        tried=on_layers((0.65, 0.64), (0.78, 0.67), (0.74, 0.13), (0.82, 0.51)),
    ),
    "LayerCAM": Method(
        signed=False,
        explains="the layer's channels times the positive gradients of its {score} at each place, summed",
        ends=ENDS,
        reading="Bright parts are where the layer is active and more of it would raise the class's {score}.",
        misleads="Earlier layers look finer, but they see edges and textures, and lie on the wrong thing more often. "
        "What speaks against the class is not shown and takes nothing away, so even a class of no probability may have "
        "bright places: the values are parts of the {score}, but how bright a map is does not tell how likely its "
        "class is.",
        source="Jiang et al. 2021",
        link="https://doi.org/10.1109/TIP.2021.3089943",
        tried=on_layers((0.65, 0.65), (0.88, 0.30), (0.80, 0.29), (0.58, 0.66)),
    ),
    SCORE_CAM: Method(
        signed=False,
        explains="the layer's channels, each times a weight that follows its {score} for the picture seen through the "
        "channel, where their sum is positive",
        ends=ENDS,
        reading="Bright parts are where channels are active that, used as a mask, leave the class its {score}.",
        misleads="The weights are a softmax, so a few channels decide. They add up to 1 for every class: the values "
        "are the layer's own, and an unlikely class has a map as bright as a likely one. Channels beyond the limit "
        "count nothing, and a picture faded into a fill is none that the model was trained on.",
        source="Wang et al. 2020",
        link="https://arxiv.org/abs/1910.01279",
        tried=on_layers((0.84, 0.97), (0.98, 0.96), (0.89, 0.74), (0.47, 0.91)),
        gradual=True,
    ),
}


class ClassActivation(MapVisualization):
    """Where a layer of the model saw what speaks for a class."""

    description = "Shows where one of the model's layers saw what speaks for a class (Grad-CAM and others)."
    reference_link = "https://arxiv.org/abs/1610.02391"
    needs = frozenset({"predict", "activations"})

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        method: Literal["Grad-CAM", "Grad-CAM++", "LayerCAM", "Score-CAM"] = Field(
            "Grad-CAM", title="Method", description="How the layer's channels are weighted"
        )
        layer: str = Field(
            "",
            title="Layer",
            description="Whose channels; the last one knows most of the classes and least of the place",
        )
        classes: int = classes_field()
        named: str = named_field()
        channels: int = Field(
            64,
            ge=1,
            le=4096,
            title="Channels",
            description="How many of the layer's channels, the strongest first; each costs a model call",
            json_schema_extra={"only": {"method": [SCORE_CAM]}},
        )
        fill: Fill = Field(
            "grey",
            title="Hidden with",
            description="What shows where a channel hides the picture",
            json_schema_extra={"only": {"method": [SCORE_CAM]}},
        )

    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """The chosen method on the chosen layer, stretched to the model's input."""
        layer = chosen_layer(settings.layer, self.model.info)
        facts: dict[str, Any] = described(layer)
        if settings.method == SCORE_CAM:
            fill = self.fills(settings.fill, targets.x)
            found = score_cam(
                self.model,
                targets,
                layer.path,
                fill,
                channels=settings.channels,
                step=lambda share, maps: show(share, resize(maps, targets.shape)),
            )
            of_each = [
                {"cells": one, "used": found.used[i], "wanted": found.wanted[i]}
                for one, i in zip(found.maps, targets.images, strict=True)
            ]
            return Found(resize(found.maps, targets.shape), of_each, facts | {"channels": found.channels})
        maps = cam.class_activation(self.model, targets, layer.path, COMBINE[settings.method])
        return Found(resize(maps, targets.shape), [{"cells": one} for one in maps], facts)

    @classmethod
    def method(cls, settings: Any) -> Method:
        """What the page says of it."""
        return METHODS[settings.method]

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """The last layer with more than one place; Score-CAM where there are no gradients."""
        method = {} if "gradients" in info.capabilities else {"method": SCORE_CAM}
        return {"layer": info.default_layer, **method}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """The model's own layers, and the methods that it has gradients for."""
        methods = list(METHODS) if "gradients" in info.capabilities else WITHOUT_GRADIENTS
        layers = [layer.path for layer in with_extent(info)]
        most = max((layer.shape[2] for layer in with_extent(info)), default=1)
        return {"classes": info.classes, "layer": layers, "method": methods, "channels": most}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """Layer and named classes are the model's; methods with gradients only where there are some."""
        named_classes(settings.named, info.labels)
        chosen_layer(settings.layer, info)
        if settings.method not in WITHOUT_GRADIENTS and "gradients" not in info.capabilities:
            raise InvalidSetting(
                f"{settings.method} needs gradients, which {info.name} does not give. Choose {SCORE_CAM}.",
                field="method",
            )

    @classmethod
    def unsupported_reason(cls, info: ModelInfo) -> str | None:
        """It also needs a layer with more than one place."""
        return super().unsupported_reason(info) or unsupported(info)

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One for the scores; then forward and backward for each class, or one for the layer and one per channel."""
        if settings.method == SCORE_CAM:
            return 2 + min(int(settings.channels), chosen_layer(settings.layer, info).shape[2])
        return 1 + how_many(settings, info)

    @classmethod
    def stops_early(cls, settings: Any) -> bool:
        """A channel with the same value everywhere is left out."""
        return bool(settings.method == SCORE_CAM)
