"""Finds the layers of a TensorFlow graph, which itself knows only operations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from picasso.models.anatomy import Kernel
from picasso.models.graph_layout import INNER, MAPS

CONVOLUTIONS = {
    "Conv2D": "Conv2D",
    "DepthwiseConv2dNative": "DepthwiseConv2D",
    "Conv2DBackpropInput": "Conv2DTranspose",
}
ACTIVATIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign"}
KINDS = {
    **CONVOLUTIONS,
    **{name: name for name in ACTIVATIONS},
    "FusedBatchNorm": "BatchNormalization",
    "FusedBatchNormV2": "BatchNormalization",
    "FusedBatchNormV3": "BatchNormalization",
    "MaxPool": "MaxPooling2D",
    "AvgPool": "AveragePooling2D",
    "Concat": "Concatenate",
    "ConcatV2": "Concatenate",
    "Add": "Add",
    "AddV2": "Add",
    "AddN": "Add",
    "Mul": "Multiply",
}
JOINING = {"Concat", "ConcatV2", "Add", "AddV2", "AddN", "Mul"}  # layers only where they join two branches
CARRYING = {"Identity", "BatchToSpaceND"}  # between a convolution and its bias; the second where it is dilated
POINTWISE = ACTIVATIONS | {
    *("Identity", "IdentityN", "Add", "AddV2", "Sub", "Mul", "RealDiv", "Neg", "Maximum", "Minimum"),
    *("Erf", "Erfc", "Exp", "Log1p", "Pow", "Square"),
}
SIZES = {"Shape", "ShapeN", "Size", "Rank"}  # they ask for a map's size, not for its numbers
WEIGHTED = {*CONVOLUTIONS, "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "MatMul", "BatchMatMulV2"}
INLINED = r"^((Stateful)?PartitionedCall(_\d+)?/)+"  # what stands before the own name of an inlined operation
OWN_NAMES = {"convolution", "depthwise", "conv_transpose", "conv2d_transpose", "maxpool2d"}  # inside a layer's scope


@dataclass(frozen=True)
class Spot:
    """Where a layer is in a graph. `tensor`: its output's name."""

    path: str
    kind: str
    convolution: bool
    tensor: str


def find_layers(way: Sequence[Any], image: Any) -> list[Spot]:
    """The layers among the operations that lead from the image to the scores, in order.

    A convolution is a layer together with the bias and the activation that follow it alone. Whether a layer's output
    really is (images, height, width, channels) shows when it is run.
    """
    order = {operation: index for index, operation in enumerate([image.op, *way])}
    outputs: dict[Any, Any] = {}
    taken: set[Any] = set()
    for operation in way:
        if operation in taken or operation.type not in KINDS or not _is_layer(operation, order):
            continue
        outputs[operation] = operation.outputs[0]
        if operation.type in CONVOLUTIONS:
            outputs[operation], belonging = _with_bias_and_activation(operation.outputs[0], order)
            taken |= belonging
    return [
        Spot(path, KINDS[operation.type], operation.type in CONVOLUTIONS, outputs[operation].name)
        for operation, path in paths(list(outputs)).items()
    ]


def kernels(way: Iterable[Any]) -> tuple[Kernel, ...]:
    """The shapes of the weights of every 2-D convolution of known shape, in order."""
    return tuple(
        _kernel(operation)
        for operation in way
        if operation.type in ("Conv2D", "DepthwiseConv2dNative") and operation.inputs[1].shape.is_fully_defined()
    )


def _kernel(operation: Any) -> Kernel:
    height, width, inputs, outputs = operation.inputs[1].shape
    stride = operation.get_attr("strides")[2 if operation.get_attr("data_format") == b"NCHW" else 1]
    if operation.type == "DepthwiseConv2dNative":  # its last axis counts the outputs of one input
        return Kernel("depthwise", height, width, inputs, inputs * outputs, stride)
    return Kernel("full", height, width, inputs, outputs, stride)


def first_weighted(way: Iterable[Any], image: Any) -> Any | None:
    """What the first operation with learnt weights is given: the tensor; None where there is none."""
    known = {image.op, *way}
    for operation in way:
        if operation.type in WEIGHTED:
            tensor = operation.inputs[MAPS.get(operation.type, 0)]
            if tensor.op in known and any(other.op not in known for other in operation.inputs):
                return tensor
    return None


def _is_layer(operation: Any, order: dict[Any, int]) -> bool:
    if operation.outputs[0].shape.rank not in (4, None):
        return False
    return operation.type not in JOINING or sum(tensor.op in order for tensor in operation.inputs) > 1


def _with_bias_and_activation(tensor: Any, order: dict[Any, int]) -> tuple[Any, set[Any]]:
    """A convolution's output with what follows it alone, and the operations that this takes."""
    taken: set[Any] = set()
    biased = False
    while len(following := _consumers(tensor, order)) == 1:
        operation = following[0]
        bias = operation.type in ("BiasAdd", "Add", "AddV2") and sum(one.op in order for one in operation.inputs) == 1
        if operation.type not in CARRYING and (biased or not bias):
            break
        biased = biased or bias
        taken.add(operation)
        tensor = operation.outputs[0]
    output, activation = _activated(tensor, order)
    return output, taken | activation


def _activated(tensor: Any, order: dict[Any, int]) -> tuple[Any, set[Any]]:
    """A tensor with the activation that follows it alone, and its operations; the tensor itself where none follows.

    An activation is one operation, or several that meet again, as in x * sigmoid(x).
    """
    known, taken = {tensor.name}, set()
    pending = set(_consumers(tensor, order))
    alone = len(pending) == 1
    while pending:
        operation = min(pending, key=order.__getitem__)
        pending.remove(operation)
        foreign = [one for one in operation.inputs if one.name not in known]
        numbers = all(one.op not in order and one.shape.num_elements() == 1 for one in foreign)
        if operation.type not in POINTWISE or not numbers:
            break
        taken.add(operation)
        if not pending:
            return (operation.outputs[0], taken) if not alone or operation.type in ACTIVATIONS else (tensor, set())
        known.update(output.name for output in operation.outputs)
        pending.update(consumer for output in operation.outputs for consumer in _consumers(output, order))
    return tensor, set()


def _consumers(tensor: Any, order: dict[Any, int]) -> list[Any]:
    return [operation for operation in tensor.consumers() if operation in order and operation.type not in SIZES]


def paths(operations: Sequence[Any]) -> dict[Any, str]:
    """Readable names, each once: the layer's that an operation belongs to, or else the operation's own."""
    own = {operation: re.sub(INLINED, "", operation.name.removesuffix(f"/{INNER}")) for operation in operations}
    counts = Counter(own.values())
    own = {operation: name if counts[name] == 1 else operation.name for operation, name in own.items()}
    claimed = set(own.values())
    found = {}
    for operation, name in own.items():
        scope = _scope(name, operation.type)
        found[operation] = name if scope in claimed else scope
        claimed.add(found[operation])
    return found


def _scope(name: str, kind: str) -> str:
    """A name without a last part that only says what kind of operation it is."""
    scope, _, last = name.rpartition("/")
    plain = re.sub(r"_\d+$", "", last).lower()
    kinds = {kind.lower(), re.sub(r"V\d$", "", kind).lower(), KINDS.get(kind, kind).lower(), *OWN_NAMES}
    return scope if scope and plain in kinds else name
