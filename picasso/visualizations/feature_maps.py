"""What a layer's channels show of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from picasso.attribution.feature_maps import strength, strongest
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field, Input, Settings
from picasso.visualizations.layers import chosen_layer, described, unsupported, with_extent


class FeatureMaps(BaseVisualization):
    """The outputs of a layer, channel by channel."""

    description = "Shows what the strongest channels of one of the model's layers give for the picture."
    reference_link = "https://arxiv.org/abs/1311.2901"
    needs = frozenset({"activations"})

    class settings(Settings):  # noqa: N801 - the attribute's name is fixed
        layer: str = Field(
            "", title="Layer", description="Whose channels; early ones see edges, late ones whole things"
        )
        channels: int = Field(24, ge=1, le=64, title="Channels", description="How many, the strongest first")

    def make_visualization(self, inputs: Sequence[Input], output_dir: Path, settings: Any) -> Sequence[Any]:
        """Gives, for each input, its strongest channels."""
        prepared = self.model.preprocess([item.data for item in inputs])
        layer = chosen_layer(settings.layer, self.model.info)
        results: list[dict[str, Any]] = []
        for index, item in enumerate(inputs):
            activations = self.model.activations(prepared.x[index : index + 1], layer.path)[0]
            strengths = strength(activations)
            channels = [
                {
                    "number": number,
                    "label": f"Channel {number}",
                    "strength": strengths[number],
                    "activation": activations[..., number],
                    "low": activations[..., number].min(),
                    "high": activations[..., number].max(),
                }
                for number in strongest(activations, settings.channels)
            ]
            results.append(
                {
                    "channels": channels,
                    "of": layer.shape[2],
                    "signed": bool(activations.min() < 0),
                    **described(layer),
                    **prepared.seen(index),
                }
            )
            self.progress((index + 1) / len(inputs), f"Looking at {item.filename}", results)
        return results

    @classmethod
    def defaults(cls, info: ModelInfo) -> dict[str, Any]:
        """The last layer with more than one place."""
        return {"layer": info.default_layer}

    @classmethod
    def limits(cls, info: ModelInfo) -> dict[str, Any]:
        """The model's own layers."""
        return {"layer": [layer.path for layer in with_extent(info)]}

    @classmethod
    def check_settings(cls, settings: Any, info: ModelInfo) -> None:
        """The layer is one of the model's."""
        chosen_layer(settings.layer, info)

    @classmethod
    def unsupported_reason(cls, info: ModelInfo) -> str | None:
        """It also needs a layer with more than one place."""
        return super().unsupported_reason(info) or unsupported(info)

    @classmethod
    def model_calls(cls, settings: Any, info: ModelInfo) -> int | None:
        """One per image."""
        return 1
