"""Occlusion maps (Zeiler & Fergus 2013)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np

from picasso.attribution import occlusion
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray, Targets
from picasso.errors import InvalidSetting
from picasso.models.decoding import Prediction
from picasso.models.info import ModelInfo, usual_window
from picasso.models.preprocessing import Prepared
from picasso.numbers import counted, percent
from picasso.visualizations.base import Cost, Field, Fill, Input, Settings
from picasso.visualizations.classes import best_beside, chosen_by, classes_field, named_classes, named_field
from picasso.visualizations.maps import Found, MapVisualization, Method, Show, Tried

COMPARED = 16  # positions at which a preview is compared with the exact scores
TOGETHER = 16  # windows of a level, at least: few at a time take longer each

METHOD = Method(
    signed=True,
    explains="drop of its {score} when a window is hidden, averaged over the windows that cover each pixel",
    ends=("rises", "falls"),
    reading="Where the map is red, hiding that part costs the class; where it is blue, the class gains. Large even "
    "areas mean that no single window matters: try a larger one.",
    misleads="It hides one window at a time: parts that only matter together show nothing. What covers the window is "
    "itself something the model sees: compare two fills.",
    source="Zeiler & Fergus 2013",
    link="https://arxiv.org/abs/1311.2901",
    tried=(Tried((0.98, 0.80)),),
)


class Occlusion(MapVisualization):
    """What happens to the scores when one part of the picture is hidden."""

    description = "Hides one part of the picture at a time and shows where that costs a class most."
    reference_link = "https://arxiv.org/abs/1311.2901"

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        window: int = Field(
            32,
            ge=1,
            le=4096,
            title="Window",
            description="Side of the hidden square, in pixels of the model's input",
            json_schema_extra={"unit": "px"},
        )
        stride: int = Field(
            16,
            ge=1,
            le=4096,
            title="Stride",
            description="Step from one window to the next; smaller is finer and slower. Never more than the window",
            json_schema_extra={"unit": "px"},
        )
        fill: Fill = Field("grey", title="Hidden with", description="What covers the hidden part")
        classes: int = classes_field()
        named: str = named_field()
        score: Literal["probability", "logit"] = Field(
            "probability",
            title="Plot the drop of",
            description="The model's own score (a probability, if it gives one), or the logit behind its softmax or "
            "sigmoid, which other classes do not move",
        )
        precision: Literal["exact", "fast"] = Field(
            "exact",
            title="Precision",
            description="Fast is a preview: computed in bfloat16, which has 3 digits. How far it is from the exact "
            "scores is measured at some positions and shown",
        )

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, a map per top class and all scores at all positions."""
        self.chosen = self.chosen or chosen_by(settings, self.model.info)
        prepared = self.model.preprocess([item.data for item in inputs])
        done: list[dict[str, Any]] = []
        for index in range(len(inputs)):

            def step(
                share: float, result: dict[str, Any], name: str = inputs[index].filename, index: int = index
            ) -> None:
                self.progress((index + share) / len(inputs), f"Hiding parts of {name}", [*done, result])

            done.append(self._explain(prepared, index, settings, step))
            if index + 1 < len(inputs) and self.enough():
                break
        return done

    def _explain(
        self, prepared: Prepared, index: int, settings: Any, step: Callable[[float, dict[str, Any]], None]
    ) -> dict[str, Any]:
        """One image: base scores, then windows from coarse to fine, `step` called as the map sharpens."""
        x = prepared.x[index : index + 1]
        logits = settings.score == "logit"
        preview = settings.precision == "fast"
        base = self.model.predict(x, logits=logits)[0]
        answer = self.model.predict(x)[0] if logits else base
        top = self.explained(answer[None], settings.classes)[0]
        windows = occlusion.sliding(
            x, (settings.window, settings.window), settings.stride, make_fill(settings.fill, x[0], self.model.solid)
        )
        facts = {
            "answer": answer,
            **best_beside(self, answer),
            **prepared.seen(index),
            **self._facts(settings, logits),
            "positions": len(windows),
            "window": windows.size,
            "strides": tuple(min(settings.stride, side) for side in windows.size),
        }
        levels = occlusion.coarse_to_fine(windows.corners, TOGETHER)
        sweep = occlusion.sweep(
            self.model, windows, base, logits=logits, preview=preview, levels=levels, enough=self.enough
        )
        with closing(sweep):  # a cancel in here ends at once what is under way
            for found in sweep:
                result = _maps(found, top) | facts
                step(len(found.known) / len(windows), result)
        scores = {"scores": found.scores[found.known], "corners": windows.corners[found.known]}
        result |= scores | {"base": found.base, "fill": windows.fill}
        return result | self._deviation(found, base, top, logits) if preview else result

    def _deviation(
        self, preview: occlusion.Occluded, base: FloatArray, top: Sequence[Prediction], logits: bool
    ) -> dict[str, Any]:
        """How far the drops of a preview are from the exact ones, at most: measured at some of its windows."""
        some = preview.known[np.unique(np.linspace(0, len(preview.known) - 1, COMPARED).astype(np.int64))]
        windows = preview.windows.some(some)
        exact = self.model.occlude(windows.x, windows.corners, windows.size, windows.fill, logits=logits)
        differences = preview.drops(some) - (base - exact)
        shown = [prediction.index for prediction in top]
        return {"compared": len(some), "deviation": np.abs(differences[:, shown]).max()}

    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """The finished maps of some targets, as a `MapVisualization` gives them: exact ones."""
        fills = np.stack([make_fill(settings.fill, x, self.model.solid) for x in targets.x])
        window = (settings.window, settings.window)
        return Found(occlusion.occlusion(self.model, targets, fills, window, settings.stride, show))

    @classmethod
    def method(cls, settings: Any) -> Method:
        """What the page says of it."""
        return METHOD

    @classmethod
    def logits(cls, settings: Any, info: ModelInfo) -> bool:
        """As chosen."""
        return bool(settings.score == "logit")

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """A seventh of the shorter side, moved by half of it: 32 and 16 for 224 pixels."""
        window = usual_window(info.input_shape)
        return {"window": window, "stride": max(1, window // 2)}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """Nothing is larger than the model's input; a logit is offered where there is one."""
        longer = max(info.input_shape[:2])
        scores = ["probability", "logit"] if "logits" in info.capabilities else ["probability"]
        precisions = ["exact", "fast"] if info.preview_speed else ["exact"]
        return {
            "window": longer,
            "stride": longer,
            "classes": info.classes,
            "score": scores,
            "precision": precisions,
        }

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """A window fits into the model's input; the named classes are there; logits only where there are some."""
        named_classes(settings.named, info.labels)
        limit = max(info.input_shape[:2])
        if settings.window > limit:
            raise InvalidSetting(
                f"'window' must be 1..{limit} pixels for this model, got {settings.window}.", field="window"
            )
        if settings.score == "logit" and "logits" not in info.capabilities:
            raise InvalidSetting(f"{info.name} has no logit behind a softmax. Choose the probability.", field="score")
        if settings.precision == "fast" and not info.preview_speed:
            raise InvalidSetting(
                f"This machine computes {info.name} no quicker in bfloat16. Choose exact.", field="precision"
            )

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One per position, and one for the picture itself; with logits also one to find its best classes.

        Positions where a window hides nothing of a picture take none.
        """
        compared = COMPARED + 1 if settings.precision == "fast" else 0
        return cls._positions(settings, info) + (2 if settings.score == "logit" else 1) + compared

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost | None:
        """What the model's windows of that size were found to cost, where each takes less than the whole network."""
        if not info.occlusion:
            return super().cost(settings, info)
        positions, each = cls._positions(settings, info), info.occlusion_cost(settings.window)
        hiding = each.begin + positions * each.seconds
        if settings.precision == "fast":
            compared = each.begin + COMPARED * each.seconds
            hiding = each.begin + positions * each.seconds / info.preview_speed + compared
        own = (2 if settings.score == "logit" else 1) * info.seconds_per_image
        share = f"{percent(each.share)} of the work of running the whole network"
        return Cost(counted(positions, "position"), own + hiding, f"each {share}" if positions > 1 else share)

    @classmethod
    def _positions(cls, settings: Any, info: ModelInfo) -> int:
        """How many windows an image has."""
        height, width, _ = info.input_shape
        window = (min(settings.window, height), min(settings.window, width))
        return len(occlusion.corners((height, width), window, settings.stride))


def _maps(found: occlusion.Occluded, top: Sequence[Prediction]) -> dict[str, Any]:
    """The maps of some classes as far as they are known, and how far that is."""
    maps = []
    for prediction in top:
        values = found.map(prediction.index)
        low, high = np.nanmin(values), np.nanmax(values)
        maps.append(prediction.as_dict() | {"map": values, "low": low, "high": high, "limit": max(-low, high)})
    return {"maps": maps, "hidden": len(found.known), "covered": 1 - np.isnan(maps[0]["map"]).mean()}
