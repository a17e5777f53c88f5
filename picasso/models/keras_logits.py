"""The values before a final softmax or sigmoid of a Keras graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import keras

from picasso.models.incremental.known import is_identity
from picasso.models.keras_history import node_of
from picasso.models.keras_layout import layer_of
from picasso.models.keras_operations import TensorFlowOperation

Link = Literal["softmax", "sigmoid"]
ACTIVATIONS: dict[Any, Link] = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
OPERATIONS: dict[str, Link] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}  # layers and functions of keras.ops
FUNCTIONS: dict[str, Link] = {"softmax": "softmax", "sigmoid": "sigmoid"}  # the last part of a name in TensorFlow
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "ExpandDims"})  # layers and functions of keras.ops


@dataclass(frozen=True)
class Ending:
    """How scores come about: through which function, of which tensor of the graph; both None if of neither kind."""

    link: Link | None = None
    logits: Any = None


def is_row(tensor: Any) -> bool:
    """Whether a Keras tensor is (images, classes), or that with further axes of one value: (images, 1, 1, classes)."""
    sizes = tuple(tensor.shape)[1:]
    return bool(sizes) and None not in sizes and sum(size != 1 for size in sizes) <= 1


def one_row(tensor: Any) -> Any:
    """A tensor that `is_row`, as (images, classes)."""
    return tensor if len(tensor.shape) == 2 else keras.ops.reshape(tensor, (-1, math.prod(tensor.shape[1:])))


def ending(scores: Any) -> Ending:
    """What the Keras tensor `scores` was computed from, where a softmax or sigmoid comes last.

    What only hands values on, as dropout and a Reshape of one row do, may come behind it. Logits are (images, classes).
    """
    node = node_of(scores)
    while _hands_on(node):
        node = node_of(node.input_tensors[0])
    found = _ending(node)
    return found if found.logits is None else Ending(found.link, one_row(found.logits))


def _hands_on(node: Any) -> bool:
    if is_identity(node.operation):
        return True
    reshapes = type(node.operation).__name__ in RESHAPES and len(node.input_tensors) == 1
    return reshapes and all(is_row(tensor) for tensor in (*node.input_tensors, *node.outputs))


def _ending(node: Any) -> Ending:
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
        # Beside the layer, not the layer itself for a moment: another thread may be calling that.
        self.layer = object.__new__(type(layer))
        vars(self.layer).update(vars(layer), activation=keras.activations.linear)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer."""
        return self.layer(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's own."""
        return self.layer.compute_output_spec(*args, **kwargs)
