"""Channels-first Keras graphs: which tensors are (images, channels, height, width), and convolutions of them on a CPU.

TensorFlow convolves channels-first images on a GPU, or where a CPU has oneDNN; everything else in Keras runs anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras

from picasso.models.keras_history import node_of

Layout = Literal["channels_first", "channels_last"]
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
IMAGE_RANK = 4


class ChannelsLast(keras.Operation):  # type: ignore[misc]
    """A channels-first convolution, computed channels-last between two transpositions, with the weights that it has."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name)
        self.layer = layer

    def call(self, x: Any) -> Any:
        """Calls the layer; its own layout is given back, also after an error."""
        layer = self.layer
        layout, spec = layer.data_format, layer.input_spec
        layer.data_format, layer.input_spec = "channels_last", None
        try:
            return keras.ops.transpose(layer(keras.ops.transpose(x, TO_LAST)), TO_FIRST)
        finally:
            layer.data_format, layer.input_spec = layout, spec

    def compute_output_spec(self, x: Any) -> Any:
        """The layer's own."""
        return self.layer.compute_output_spec(x)


def runnable(operation: Any) -> Any:
    """The operation, in a form that TensorFlow runs on every CPU."""
    convolves = isinstance(operation, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    return ChannelsLast(operation) if convolves and operation.data_format == "channels_first" else operation


def layer_of(operation: Any) -> Any:
    """The network's own layer that an operation of its flat graph calls."""
    return operation.layer if isinstance(operation, ChannelsLast) else operation


def image_layout(tensors: Mapping[str, Any], image: Any) -> Layout:
    """How the input `image` is laid out: the first operation behind it that has an opinion decides.

    Args:
        tensors: of the graph, in topological order.
        image: one of its inputs; without an axis for channels it has no layout, and counts as channels-last.
    """
    if len(image.shape) != IMAGE_RANK:
        return "channels_last"
    reached = {id(image)}
    for tensor in tensors.values():
        node = node_of(tensor)
        if any(id(entering) in reached for entering in node.input_tensors):
            taken, _ = _layouts(node.operation)
            if taken is not None:
                return taken
            reached.add(id(tensor))
    return "channels_last"


def channels_first(tensors: Mapping[str, Any], image: Any) -> set[int]:
    """The `id` of every Keras tensor that is (images, channels, height, width)."""
    found = {id(image)} if image_layout(tensors, image) == "channels_first" else set()
    for tensor in tensors.values():
        node = node_of(tensor)
        _, given = _layouts(node.operation)
        inherited = any(id(entering) in found for entering in node.input_tensors)
        if len(tensor.shape) == IMAGE_RANK and (given == "channels_first" or (given is None and inherited)):
            found.add(id(tensor))
    return found


def _layouts(operation: Any) -> tuple[Layout | None, Layout | None]:
    """What an operation takes and gives; None where it does the same with any layout."""
    operation = layer_of(operation)
    order = getattr(operation, "dims", getattr(operation, "axes", None))  # of a Permute, of keras.ops.transpose
    if isinstance(operation, keras.layers.Permute) and order is not None:
        order = (0, *order)
    if isinstance(order, tuple | list) and tuple(order) in (TO_FIRST, TO_LAST):
        return ("channels_last", "channels_first") if tuple(order) == TO_FIRST else ("channels_first", "channels_last")
    stated = None if isinstance(operation, keras.layers.Flatten) else getattr(operation, "data_format", None)
    return stated, stated
