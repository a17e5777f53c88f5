"""Guided backpropagation of a Keras graph: which tensors ReLUs give, and whether there are other activations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from picasso.models.guided import PRODUCTS, cannot_see, other_activation
from picasso.models.keras_flat import Flat
from picasso.models.keras_history import leading_to
from picasso.models.keras_layout import layer_of
from picasso.models.keras_logits import Unactivated
from picasso.models.keras_operations import TensorFlowOperation

RELU = "relu"
LAYERS = "keras.src.layers."
OPERATIONS = "keras.src.ops."
# The modules of Keras' layers that have no activation, or one by the name of `activation` that comes last.
PLAIN = {
    *("convolutional", "core", "merging", "normalization", "pooling", "preprocessing", "regularization", "reshaping"),
}
FUNCTIONS = {  # of keras.ops and TensorFlow, in small letters: what is no activation
    *("conv", "depthwiseconv", "separableconv", "convtranspose", "matmul", "dot", "tensordot", "einsum", "batchnorm"),
    *("add", "subtract", "multiply", "divide", "truediv", "truedivide", "negative"),
    *("mean", "average", "sum", "max", "amax", "reducemean", "reducesum", "reducemax"),
    *("maxpool", "averagepool", "adaptivemaxpool", "adaptiveaveragepool", "resize"),
    *("reshape", "transpose", "swapaxes", "moveaxis", "squeeze", "expanddims", "ravel", "flip", "roll"),
    *("concatenate", "concat", "stack", "unstack", "split", "getitem", "slice", "take", "tile", "repeat"),
    *("broadcastto", "pad", "padimages", "cropimages", "depthtospace", "spacetodepth", "cast", "copy", "identity"),
}


def relus(flat: Flat, image: Any, end: Any) -> tuple[list[Any], str]:
    """The Keras tensors between image and end that ReLUs give, plain or capped ones.

    Returns:
        These, and "", or why guided backpropagation cannot be computed: a sentence that names the first layer that
        has another activation, or into which Picasso cannot see.
    """
    paths = {id(tensor): path for path, tensor in flat.tensors.items()}
    found: list[Any] = []
    for node, entering in _between(image, end):
        operation = layer_of(node.operation)
        activation = _activation(operation)
        path, kind = paths.get(id(node.outputs[0]), operation.name), type(operation).__name__
        if activation is None:
            return [], cannot_see(path, kind)
        if entering > 1 and kind in PRODUCTS:
            return [], other_activation(path, "product of two branches")
        if activation == RELU:
            found += node.outputs
        elif activation:
            return [], other_activation(path, activation)
    return found, ""


def _between(image: Any, end: Any) -> Iterator[tuple[Any, int]]:
    """The calls that lead from image to end, in order, each with how many of its inputs follow from the image."""
    reached = {id(image)}
    for node in leading_to([end]):
        entering = sum(id(tensor) in reached for tensor in node.input_tensors)
        if entering:
            reached.update(map(id, node.outputs))
            yield node, entering


def _activation(operation: Any) -> str | None:
    """What an operation applies last: "relu", "" for nothing, the name of another one; None where that is not known."""
    module, kind = type(operation).__module__, type(operation).__name__
    if isinstance(operation, Unactivated):
        inner = _activation(operation.layer)
        return None if inner is None else ""
    if isinstance(operation, TensorFlowOperation):
        return _function(operation.function.rpartition(".")[2])
    if module.startswith(OPERATIONS):
        return _function(kind)
    if type(operation) is keras.layers.ReLU:
        plain = not operation.negative_slope and not operation.threshold
        return RELU if plain else "ReLU with a slope or a threshold"
    if type(operation) is keras.layers.Activation:
        return _called(operation.activation)
    family = module.removeprefix(LAYERS).partition(".")[0]
    if not module.startswith(LAYERS) or isinstance(operation, keras.layers.Wrapper | keras.layers.Lambda):
        return None
    if family == "activations":
        return kind
    return _called(getattr(operation, "activation", None)) if family in PLAIN else None


def _function(name: str) -> str:
    """Of keras.ops or TensorFlow."""
    plain = name.lower().replace("_", "")
    if plain in ("relu", "relu6"):
        return RELU
    return "" if plain in FUNCTIONS else name


def _called(activation: Any) -> str | None:
    """A layer's activation: a function, or another layer."""
    if activation in (None, keras.activations.linear):
        return ""
    if activation in (keras.activations.relu, keras.activations.relu6):
        return RELU
    if isinstance(activation, keras.layers.Layer):
        return _activation(activation)
    return str(getattr(activation, "__name__", type(activation).__name__))
