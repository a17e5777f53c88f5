"""RISE: random masks over the picture, and what their scores have in common."""

from __future__ import annotations

from typing import Any, Literal

from picasso.attribution.random_masks import random_masks
from picasso.attribution.targets import Targets
from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.visualizations.base import Field, Fill, Settings
from picasso.visualizations.classes import classes_field, named_classes, named_field
from picasso.visualizations.maps import Found, MapVisualization, Method, Show, Tried

METHOD = Method(
    signed=True,
    explains="mean {score} when the pixel is visible, minus that over all masks",
    ends=("lowers", "raises"),
    reading="Where the map is red, the class's {score} is higher when that place is visible than it is on average over "
    "all masks. Where it is blue, it is lower: what is there speaks against the class.",
    misleads="Chance leaves its mark: differences of the size of the standard error mean nothing, and details finer "
    "than a cell are not there. With half of the picture hidden the model sees what it was not trained on.",
    source="Petsiuk et al. 2018",
    link="https://arxiv.org/abs/1806.07421",
    tried=(Tried((0.96, 1.00)),),
    gradual=True,
)


class RandomMasks(MapVisualization):
    """Which parts, when they are visible, a class needs (RISE)."""

    description = "Hides random parts of the picture many times and shows which ones a class needs (RISE)."
    reference_link = "https://arxiv.org/abs/1806.07421"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        masks: int = Field(2000, ge=2, le=10_000, title="Masks", description="So many, at most")
        tolerance: float = Field(
            0.05,
            ge=0,
            le=1,
            title="Tolerance",
            description="Stop once the mean standard error is this share of each map's range; 0 uses all masks",
        )
        cells: int = Field(
            7, ge=2, le=32, title="Cells", description="Of a mask, along each side; more are finer and need more masks"
        )
        visible: float = Field(0.5, ge=0.1, le=0.9, title="Visible", description="The chance of a cell to be visible")
        fill: Fill = Field("grey", title="Hidden with", description="What covers the hidden parts")
        classes: int = classes_field()
        named: str = named_field()
        score: Literal["probability", "logit"] = Field(
            "probability",
            title="Plot",
            description="The model's own score (a probability, if it gives one), or the logit behind its softmax",
        )
        seed: int = Field(0, ge=0, le=999_999, title="Seed", description="Another one gives other masks")

    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """All classes of one picture from the same masks."""
        found = random_masks(
            self.model,
            targets.x[0],
            targets.classes.tolist(),
            self.fills(settings.fill, targets.x)[0],
            logits=targets.logits,
            most=settings.masks,
            cells=settings.cells,
            visible=settings.visible,
            precision=settings.tolerance,
            seed=settings.seed,
            step=show,
        )
        of_each = [
            {"errors": errors, "error": errors.mean(), "precision": precision, "mean": mean}
            for errors, precision, mean in zip(found.errors, found.precision, found.mean, strict=True)
        ]
        return Found(found.maps, of_each, {"masks": found.masks, "few": found.few})

    @classmethod
    def method(cls, settings: Any) -> Method:
        """What the page says of it."""
        return METHOD

    @classmethod
    def logits(cls, settings: Any, info: ModelInfo) -> bool:
        """As chosen."""
        return bool(settings.score == "logit")

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """No more maps than classes; a logit is offered where there is one."""
        scores = ["probability", "logit"] if "logits" in info.capabilities else ["probability"]
        return {"classes": info.classes, "score": scores}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The named classes are there; logits only where there are some."""
        named_classes(settings.named, info.labels)
        if settings.score == "logit" and "logits" not in info.capabilities:
            raise InvalidSetting(f"{info.name} has no logit behind a softmax. Choose the probability.", field="score")

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One for the scores, and one for each mask."""
        return 1 + int(settings.masks)

    @classmethod
    def stops_early(cls, settings: Any) -> bool:
        """Once the maps are precise."""
        return bool(settings.tolerance > 0)
