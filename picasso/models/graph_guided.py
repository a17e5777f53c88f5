"""Guided backpropagation of a TensorFlow graph: a copy of its operations, with other gradients of the ReLUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from picasso.models.graph_layers import SIZES
from picasso.models.guided import PRODUCTS, cannot_see, other_activation

RELUS = {"Relu": "PicassoGuidedRelu", "Relu6": "PicassoGuidedRelu6"}  # and the names of their gradients
ACTIVATIONS = {
    *("LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Softmax", "LogSoftmax"),
    *("Maximum", "Minimum", "ClipByValue", "Abs", "Square", "Sqrt", "Rsqrt", "Pow"),
    *("Exp", "Expm1", "Log", "Log1p", "Erf", "Erfc"),
}
PLAIN = PRODUCTS | {  # what is no activation; dropout selects
    *("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "SpaceToBatchND", "BatchToSpaceND"),
    *("Add", "AddV2", "AddN", "BiasAdd", "Sub", "Neg", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "LRN"),
    *("MaxPool", "AvgPool", "Mean", "Sum", "Max", "ResizeBilinear", "ResizeNearestNeighbor"),
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "Pad", "PadV2", "MirrorPad", "Tile", "BroadcastTo"),
    *("Concat", "ConcatV2", "Pack", "Unpack", "Split", "SplitV", "Slice", "StridedSlice", "GatherV2"),
    *("DepthToSpace", "SpaceToDepth", "Select", "SelectV2", "Identity", "IdentityN", "Cast", "EnsureShape"),
    *("StopGradient", "PreventGradient", "CheckNumerics", "Snapshot"),
    *("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"),
}


def no_guided(way: Sequence[Any], image: Any, end: Any) -> str:
    """Why guided backpropagation cannot be computed, a sentence that names the first operation that is to blame.

    Args:
        way: the operations that lead from one tensor to the other, in order.
    """
    following = _following(way, image)
    for operation in _leading(way, end):
        branches = [tensor.op in following for tensor in operation.inputs]
        if not any(branches) or operation.type in RELUS:
            continue
        if operation.type in ACTIVATIONS:
            return other_activation(operation.name, operation.type)
        if operation.type not in PLAIN:
            return cannot_see(operation.name, operation.type)
        if operation.type in PRODUCTS and sum(branches) > 1:
            return other_activation(operation.name, "product of two branches")
    return ""


def _following(way: Sequence[Any], image: Any) -> set[Any]:
    """What depends on the image's numbers, itself included, not on their count only."""
    found = {image.op}
    for operation in way:
        if operation.type not in SIZES and any(tensor.op in found for tensor in operation.inputs):
            found.add(operation)
    return found


def _leading(way: Sequence[Any], end: Any) -> list[Any]:
    """What decides the numbers of `end`, not only how many there are."""
    needed, found = {end.op}, []
    for operation in reversed(way):
        if operation in needed and operation.type not in SIZES:
            needed.update(tensor.op for tensor in operation.inputs)
            found.append(operation)
    return found[::-1]


def guided_copy(way: Sequence[Any], end: Any, scope: str) -> Any:
    """What `end` is in a copy of the operations that lead to it, whose gradient is the guided one.

    Args:
        way: as above; everything else that they compute with is shared.
        scope: where the copy's names are.
    """
    known = set(way)
    copies = tf.compat.v1.GraphDef()
    for operation in way:
        node = copies.node.add()
        node.CopyFrom(operation.node_def)
        node.input[:] = [name for name in node.input if not name.startswith("^")]
        if operation.type in RELUS:
            node.attr["_gradient_op_type"].s = RELUS[operation.type].encode()
    shared = {one.name: one for operation in way for one in operation.inputs if one.op not in known}
    (found,) = tf.graph_util.import_graph_def(copies, shared, [end.name], name=scope)
    return found


@tf.RegisterGradient(RELUS["Relu"])  # type: ignore[untyped-decorator]
def _relu(operation: Any, gradient: Any) -> Any:
    return tf.raw_ops.ReluGrad(gradients=tf.nn.relu(gradient), features=operation.outputs[0])


@tf.RegisterGradient(RELUS["Relu6"])  # type: ignore[untyped-decorator]
def _relu6(operation: Any, gradient: Any) -> Any:
    return tf.raw_ops.Relu6Grad(gradients=tf.nn.relu(gradient), features=operation.outputs[0])
