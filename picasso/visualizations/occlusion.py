"""Occlusion maps (Zeiler & Fergus 2013)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from picasso.attribution import occlusion
from picasso.attribution.fills import make_fill
from picasso.attribution.targets import FloatArray, IntArray, Targets
from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo, usual_window
from picasso.models.preprocessing import Prepared
from picasso.visualizations.base import BaseVisualization, Cost, Field, Fill, Input, Settings
from picasso.visualizations.maps import Found, Show

COMPARED = 16  # positions at which a preview is compared with the exact scores
WORTHWHILE = 1.4  # times as quick as the exact one a preview is, at least: otherwise it is not offered
TOGETHER = 16  # windows of a level, at least: few at a time take longer each


class Occlusion(BaseVisualization):
    """What happens to the scores when one part of the picture is hidden."""

    description = "Hides one part of the picture at a time and shows where that costs a class most."
    reference_link = "https://arxiv.org/abs/1311.2901"
    stoppable = True

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
        precision: Literal["exact", "fast"] = Field(
            "exact",
            title="Precision",
            description="Fast is a preview: computed in bfloat16, which has 3 digits. How far it is from the exact "
            "scores is measured and shown",
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
            if index + 1 < len(inputs) and self.enough():
                break
        return done

    def _explain(
        self, prepared: Prepared, index: int, settings: Any, step: Callable[[float, dict[str, Any]], None]
    ) -> dict[str, Any]:
        """One image: base scores, then windows from coarse to fine, `step` called as the map sharpens."""
        x = prepared.x[index : index + 1]
        shape = (x.shape[1], x.shape[2])
        window = (min(settings.window, shape[0]), min(settings.window, shape[1]))
        logits = settings.score == "logit"
        preview = settings.precision == "fast"
        base = self.model.predict(x, logits=logits)[0]
        top = self.model.decode(self.model.predict(x) if logits else base[None], settings.classes)[0]
        positions = occlusion.corners(shape, window, settings.stride)
        fill = make_fill(settings.fill, x[0], self.model.solid)
        # What drops are measured from: with nothing hidden, in the same precision.
        nothing = -np.array([window], np.int64)
        start = self.model.occlude(x, nothing, window, fill, logits=logits, preview=True)[0] if preview else base
        scores = np.empty((len(positions), len(base)), np.float32)
        known = np.zeros(0, np.int64)  # the positions that have scores

        def result() -> dict[str, Any]:
            maps = []
            for prediction in top:
                drop = start[prediction.index] - scores[known, prediction.index]
                values = occlusion.average(drop, positions[known], window, shape)
                maps.append(prediction.as_dict() | {"map": values, "low": np.nanmin(values), "high": np.nanmax(values)})
            return {
                "maps": maps,
                **prepared.seen(index),
                "plotted": "logit" if logits else self.model.info.score_kind,
                "score_kind": self.model.info.score_kind,
                "positions": len(positions),
                "hidden": len(known),
                "covered": 1 - np.isnan(maps[0]["map"]).mean(),
                "window": window,
                "stride": min(settings.stride, *window),
            }

        for part, found in self._hide(x, positions, window, fill, logits=logits, preview=preview):
            scores[part] = found
            known = np.sort(np.append(known, part))
            step(len(known) / len(positions), result())
            if len(known) < len(positions) and self.enough():
                break
        deviation: dict[str, Any] = {}
        if preview:
            some = known[np.unique(np.linspace(0, len(known) - 1, COMPARED).astype(np.int64))]
            exact = self.model.occlude(x, positions[some], window, fill, logits=logits)
            shown = [prediction.index for prediction in top]
            differences = ((start - scores[some]) - (base - exact))[:, shown]
            deviation = {"compared": len(some), "deviation": np.abs(differences).max()}
        kept = {"scores": scores[known], "base": start, "corners": positions[known], "fill": fill}
        return result() | kept | deviation

    def _hide(
        self, x: FloatArray, positions: IntArray, window: tuple[int, int], fill: FloatArray, **how: bool
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Numbers of positions and their scores, batch by batch, each level whole before the next finer one."""
        for level in occlusion.coarse_to_fine(positions, TOGETHER):
            for part, scores in self.model.occlude_in_parts(x, positions[level], window, fill, **how):
                yield level[part], scores

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
        window = usual_window(info.input_shape)
        return {"window": window, "stride": max(1, window // 2)}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """Nothing is larger than the model's input; a logit is offered where there is one."""
        longer = max(info.input_shape[:2])
        scores = ["probability", "logit"] if "logits" in info.capabilities else ["probability"]
        precisions = ["exact", "fast"] if "preview" in info.capabilities else ["exact"]
        return {
            "window": longer,
            "stride": longer,
            "classes": info.classes,
            "score": scores,
            "precision": precisions,
        }

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
        if settings.precision == "fast" and "preview" not in info.capabilities:
            raise InvalidSetting(
                f"This machine computes {info.name} no quicker in bfloat16. Choose exact.", field="precision"
            )

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One per position, and one for the picture itself; with logits also one to find its best classes."""
        compared = COMPARED + 1 if settings.precision == "fast" else 0
        return cls._positions(settings, info) + (2 if settings.score == "logit" else 1) + compared

    @classmethod
    def cost(cls, settings: Any, info: ModelInfo) -> Cost | None:
        """What the model's windows of that size were found to cost, where each takes less than the whole network."""
        whole = super().cost(settings, info)
        if whole is None or not info.occlusion:
            return whole
        positions, each = cls._positions(settings, info), info.occlusion_cost(settings.window)
        hidden, windows = float(positions), positions
        if settings.precision == "fast":
            hidden, windows = positions / WORTHWHILE + COMPARED + 1, positions + COMPARED + 1
        seconds = whole.seconds - windows * info.seconds_per_image + hidden * each.seconds
        share = f"each {each.share:.0%} of the work of running the whole network".replace("%", " %")
        return Cost(f"{positions:,} positions", seconds, share)

    @classmethod
    def _positions(cls, settings: Any, info: ModelInfo) -> int:
        """How many windows an image has."""
        height, width, _ = info.input_shape
        window = (min(settings.window, height), min(settings.window, width))
        return len(occlusion.corners((height, width), window, settings.stride))
