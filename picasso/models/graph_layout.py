"""Channels-first graphs: which of their tensors are so, and how they run where TensorFlow cannot run them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

MAPS = {  # the operations that depend on the layout, and which of their inputs is the map
    "Conv2D": 0,
    "DepthwiseConv2dNative": 0,
    "Conv2DBackpropInput": 2,
    "MaxPool": 0,
    "AvgPool": 0,
    "FusedBatchNorm": 0,
    "FusedBatchNormV2": 0,
    "FusedBatchNormV3": 0,
    "BiasAdd": 0,
}
TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)
PER_AXIS = ("strides", "dilations", "ksize")  # attributes with a number for each axis
INNER = "channels_last"  # last part of the name of an operation between two transposes


def channels_first(image: Any, way: Iterable[Any]) -> set[str]:
    """The names of those tensors on the way from the image, itself included, that are (batch, channels, height, width).

    Operations that depend on the layout say which it is, and transposes change it. All others keep that of what they
    compute with. The image has the layout that the first of these operations takes.

    Args:
        way: operations in order, as `graph_walks.between` gives them.
    """
    way = list(way)
    found = {image.name} if _takes_first(way) else set()
    for operation in way:
        layout = _layout(operation)
        inherited = any(tensor.name in found for tensor in operation.inputs)
        if layout == TO_FIRST or (layout is None and inherited):
            found.update(tensor.name for tensor in operation.outputs)
    return found


def _takes_first(way: Iterable[Any]) -> bool:
    for operation in way:
        layout = _layout(operation)
        if layout is not None:
            turns = operation.type == "Transpose"  # what it takes is not what it gives
            return layout == (TO_LAST if turns else TO_FIRST)
    return False


def _layout(operation: Any) -> tuple[int, ...] | None:
    """What an operation gives, channels first or last (as the transpose to it); None if that depends on its input."""
    if operation.type in MAPS and operation.outputs[0].shape.rank in (4, None):
        return TO_FIRST if operation.get_attr("data_format") == b"NCHW" else TO_LAST
    if operation.type == "Transpose":
        order = tf.get_static_value(operation.inputs[1])
        if order is not None and tuple(order) in (TO_FIRST, TO_LAST):
            return tuple(order)
    return None


def runnable(graph_def: Any) -> Any:
    """The same `GraphDef`, each channels-first operation made channels-last between two transposes.

    On a CPU, TensorFlow has channels-first convolution and pooling only where it is built with oneDNN and that is on.
    Weights are laid out alike in both. Every name still means the same numbers in the same layout.
    """
    first = {node.name for node in graph_def.node if node.op in MAPS and node.attr["data_format"].s == b"NCHW"}
    if not first:
        return graph_def
    result = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        for index, name in enumerate(node.input):
            operation, colon, output = name.partition(":")
            if operation in first and output not in ("", "0"):  # statistics of a normalisation: they have no layout
                node.input[index] = f"{operation}/{INNER}{colon}{output}"
        result.node.extend(_between_transposes(node) if node.name in first else [node])
    return result


def _between_transposes(node: Any) -> Sequence[Any]:
    name, index = node.name, MAPS[node.op]
    last, first, axis = (f"{name}/{part}" for part in ("to_last", "to_first", "axis"))
    kind = node.attr["T"].type
    nodes = [
        _constant(last, TO_LAST),
        _constant(first, TO_FIRST),
        _node("Transpose", f"{name}/in", [node.input[index], last], T=kind, Tperm=tf.int32.as_datatype_enum),
    ]
    inner = tf.compat.v1.NodeDef()
    inner.CopyFrom(node)
    inner.name = f"{name}/{INNER}"
    inner.input[index] = nodes[-1].name
    if node.op == "Conv2DBackpropInput":  # its first input is the output's shape
        whole = tf.int32.as_datatype_enum
        nodes.append(_constant(axis, 0))
        nodes.append(
            _node("GatherV2", f"{name}/sizes", [node.input[0], last, axis], Tparams=whole, Tindices=whole, Taxis=whole)
        )
        inner.input[0] = nodes[-1].name
    _turn_attributes(inner)
    outer = _node("Transpose", name, [inner.name, first], T=kind, Tperm=tf.int32.as_datatype_enum)
    return [*nodes, inner, outer]


def _turn_attributes(node: Any) -> None:
    node.attr["data_format"].s = b"NHWC"
    for key in PER_AXIS:
        if key in node.attr:
            values = list(node.attr[key].list.i)
            node.attr[key].list.i[:] = [values[axis] for axis in TO_LAST]
    padding = list(node.attr["explicit_paddings"].list.i) if "explicit_paddings" in node.attr else []
    if padding:  # before and after, for each axis
        node.attr["explicit_paddings"].list.i[:] = [padding[2 * axis + side] for axis in TO_LAST for side in (0, 1)]
    if "_output_shapes" in node.attr:
        del node.attr["_output_shapes"]


def _node(kind: str, name: str, inputs: Sequence[str], **types: int) -> Any:
    node = tf.compat.v1.NodeDef(op=kind, name=name, input=inputs)
    for key, value in types.items():
        node.attr[key].type = value
    return node


def _constant(name: str, value: Any) -> Any:
    node = _node("Const", name, [], dtype=tf.int32.as_datatype_enum)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return node
