"""How the tensors of a Keras graph follow from each other, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from graphlib import TopologicalSorter
from typing import Any

import keras
import tensorflow as tf


def run(
    inputs: Sequence[Any],
    values: Sequence[Any],
    wanted: Sequence[Any],
    passing: Mapping[int, Callable[[Any], Any]] | None = None,
    around: Callable[[Any], AbstractContextManager[None]] = nullcontext,
) -> list[Any]:
    """Computes tensors of a graph, and nothing that they do not need.

    Args:
        inputs: the graph's inputs, Keras tensors.
        values: of the inputs.
        wanted: Keras tensors that follow from the inputs.
        passing: functions that values pass through when they are computed, by the `id` of the Keras tensor.
        around: makes what is entered while an operation is called.
    """
    known = {id(tensor): tf.cast(value, tensor.dtype) for tensor, value in zip(inputs, values, strict=True)}
    for node in leading_to(wanted):
        if all(id(tensor) in known for tensor in node.outputs):
            continue  # an input
        args, kwargs = node.arguments.fill_in(known)
        with around(node.operation):
            results = keras.tree.flatten(node.operation(*args, **inference(node.operation, kwargs)))
        for tensor, result in zip(node.outputs, results, strict=True):
            change = (passing or {}).get(id(tensor))
            known[id(tensor)] = change(result) if change else result
    return [known[id(tensor)] for tensor in wanted]


def node_of(tensor: Any) -> Any:
    """The call that gives a Keras tensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def leading_to(tensors: Iterable[Any]) -> Iterable[Any]:
    """The calls that tensors are made by, each after those that it needs."""
    graph: dict[Any, list[Any]] = {}
    pending = [node_of(tensor) for tensor in tensors]
    while pending:
        node = pending.pop()
        if node not in graph:
            graph[node] = node.parent_nodes
            pending.extend(graph[node])
    return TopologicalSorter(graph).static_order()


def inference(operation: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, with dropout and the like switched off."""
    return kwargs | {"training": False} if getattr(operation, "_call_has_training_arg", False) else kwargs
