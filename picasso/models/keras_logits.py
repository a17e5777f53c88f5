"""The values before a final softmax or sigmoid of a Keras graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras

from picasso.models.keras_history import node_of
from picasso.models.keras_layout import layer_of
from picasso.models.keras_operations import TensorFlowOperation

Link = Literal["softmax", "sigmoid"]
ACTIVATIONS: dict[Any, Link] = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
OPERATIONS: dict[str, Link] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}  # layers and functions of keras.ops
FUNCTIONS: dict[str, Link] = {"softmax": "softmax", "sigmoid": "sigmoid"}  # the last part of a name in TensorFlow


@dataclass(frozen=True)
class Ending:
    """How scores come about: through which function, of which tensor of the graph; both None if of neither kind."""

    link: Link | None = None
    logits: Any = None


def ending(scores: Any) -> Ending:
    """What the Keras tensor `scores` was computed from, where a softmax or sigmoid comes last."""
    node = node_of(scores)
    operation = layer_of(node.operation)
    if isinstance(operation, TensorFlowOperation):
        link = FUNCTIONS.get(operation.function.rpartition(".")[2])
    else:
        link = OPERATIONS.get(type(operation).__name__)
    if link is not None:
        return Ending(link, node.input_tensors[0])
    activation = getattr(operation, "activation", None)
    link = ACTIVATIONS.get(activation) if callable(activation) else None
    if link is None:
        return Ending()
    return Ending(link, Unactivated(operation)(*node.arguments.args, **node.arguments.kwargs))


class Unactivated(keras.Operation):  # type: ignore[misc]
    """A layer called as if it had no activation, with the weights that it has."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name=f"{layer.name}_logits")
        self.layer = layer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; its activation is given back, also after an error."""
        activation = self.layer.activation
        self.layer.activation = keras.activations.linear
        try:
            return self.layer(*args, **kwargs)
        finally:
            self.layer.activation = activation

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's own."""
        return self.layer.compute_output_spec(*args, **kwargs)
