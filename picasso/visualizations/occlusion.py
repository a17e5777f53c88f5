"""Occlusion maps (Zeiler & Fergus 2013)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from picasso.attribution import occlusion
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import Targets
from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.models.preprocessing import Prepared
from picasso.visualizations.base import BaseVisualization, Field, Fill, Input, Settings
from picasso.visualizations.maps import Found, Show


class Occlusion(BaseVisualization):
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
        classes: int = Field(3, ge=1, le=10, title="Classes", description="A map for each of so many best classes")
        score: Literal["probability", "logit"] = Field(
            "probability",
            title="Plot the drop of",
            description="The model's own score (a probability, if it gives one), or the logit behind its softmax or "
            "sigmoid, which other classes do not move",
        )

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, a map per top class and all scores at all positions."""
        prepared = self.model.preprocess([item.data for item in inputs])
        done: list[dict[str, Any]] = []
        for index in range(len(inputs)):

            def step(
                share: float, result: dict[str, Any], name: str = inputs[index].filename, index: int = index
            ) -> None:
                self.progress((index + share) / len(inputs), f"Hiding parts of {name}", [*done, result])

            done.append(self._explain(prepared, index, settings, step))
        return done

    def _explain(
        self, prepared: Prepared, index: int, settings: Any, step: Callable[[float, dict[str, Any]], None]
    ) -> dict[str, Any]:
        """One image: base scores, then windows from coarse to fine, `step` called as the map sharpens."""
        x = prepared.x[index : index + 1]
        shape = (x.shape[1], x.shape[2])
        window = (min(settings.window, shape[0]), min(settings.window, shape[1]))
        logits = settings.score == "logit"
        base = self.model.predict(x, logits=logits)[0]
        top = self.model.decode(self.model.predict(x) if logits else base[None], settings.classes)[0]
        positions = occlusion.corners(shape, window, settings.stride)
        positions = positions[occlusion.coarse_to_fine(positions)]
        fill = make_fill(settings.fill, x[0], self.model.solid)
        scores = np.empty((len(positions), len(base)), np.float32)

        def result(count: int) -> dict[str, Any]:
            maps = []
            for prediction in top:
                drop = base[prediction.index] - scores[:count, prediction.index]
                values = occlusion.average(drop, positions[:count], window, shape)
                maps.append(prediction.as_dict() | {"map": values, "low": np.nanmin(values), "high": np.nanmax(values)})
            return {
                "maps": maps,
                **prepared.seen(index),
                "plotted": "logit" if logits else self.model.info.score_kind,
                "score_kind": self.model.info.score_kind,
                "positions": len(positions),
                "window": window,
                "stride": min(settings.stride, *window),
            }

        size = self.model.occlusion_batch  # asked once: it grows when the model has warmed up meanwhile
        for start in range(0, len(positions), size):  # the page sees a sharper map after every batch
            part = slice(start, start + size)
            scores[part] = self.model.occlude(x, positions[part], window, fill, logits=logits)
            count = min(part.stop, len(positions))
            step(count / len(positions), result(count))
        return result(len(positions)) | {"scores": scores, "base": base, "corners": positions, "fill": fill}

    def explain(self, targets: Targets, settings: Any, show: Show) -> Found:
        """The finished maps of some targets, as a `MapVisualization` gives them."""
        fills = np.stack([make_fill(settings.fill, x, self.model.solid) for x in targets.x])
        window = (settings.window, settings.window)
        return Found(occlusion.occlusion(self.model, targets, fills, window, settings.stride))

    @classmethod
    def logits(cls, settings: Any, info: ModelInfo) -> bool:
        """As chosen."""
        return bool(settings.score == "logit")

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """A seventh of the shorter side, moved by half of it: 32 and 16 for 224 pixels."""
        window = max(1, round(min(info.input_shape[:2]) / 7))
        return {"window": window, "stride": max(1, window // 2)}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """Nothing is larger than the model's input; a logit is offered where there is one."""
        longer = max(info.input_shape[:2])
        scores = ["probability", "logit"] if "logits" in info.capabilities else ["probability"]
        return {"window": longer, "stride": longer, "classes": info.classes, "score": scores}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """A window fits into the model's input; logits only where there are some."""
        limit = max(info.input_shape[:2])
        if settings.window > limit:
            raise InvalidSetting(
                f"'window' must be 1..{limit} pixels for this model, got {settings.window}.", field="window"
            )
        if settings.score == "logit" and "logits" not in info.capabilities:
            raise InvalidSetting(f"{info.name} has no logit behind a softmax. Choose the probability.", field="score")

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One per position, and one for the picture itself; with logits also one to find its best classes."""
        height, width, _ = info.input_shape
        window = (min(settings.window, height), min(settings.window, width))
        positions = occlusion.corners((height, width), window, settings.stride)
        return len(positions) + (2 if settings.score == "logit" else 1)
