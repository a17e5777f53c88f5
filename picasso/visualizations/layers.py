"""Layers as a setting: those that the model has, by their paths."""

from __future__ import annotations

import difflib

from picasso.errors import InvalidSetting
from picasso.models.info import Layer, ModelInfo


def with_extent(info: ModelInfo) -> list[Layer]:
    """The layers whose output has more than one place, from the image to the scores."""
    return [layer for layer in info.layers if layer.shape[0] * layer.shape[1] > 1]


def chosen_layer(path: str, info: ModelInfo) -> Layer:
    """The layer of that path, or the default one for "".

    Raises:
        InvalidSetting: there is none; the sentence names the nearest ones.
    """
    known = {layer.path: layer for layer in with_extent(info)}
    found = known.get(path or info.default_layer)
    if found is None:
        near = ", ".join(difflib.get_close_matches(path, known, n=3, cutoff=0.4) or list(known)[-3:])
        raise InvalidSetting(
            f"'layer' should be a layer of {info.name} with more than one place, got {path[:80]!r}. "
            f"Near: {near or 'none'}.",
            field="layer",
        )
    return found


def described(layer: Layer) -> dict[str, str]:
    """What a page says of a layer."""
    height, width, channels = layer.shape
    return {"layer": layer.path, "layer_kind": layer.kind, "layer_shape": f"{height} × {width}, {channels:,} channels"}


def unsupported(info: ModelInfo) -> str | None:
    """Why no layer of this model can be shown, as a sentence; None where one can."""
    if with_extent(info):
        return None
    return f"Needs a layer whose output is a map, which {info.name} does not have."
