"""One flat graph of a Keras model: nested models are taken apart, so that every layer inside can be reached.

In Keras 3 the tensors inside a nested model lead to that model's own input, not to the image. Calling the same layers
again, one after the other, joins them into a single graph with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.models.functional import Functional

from picasso.errors import NotSupported
from picasso.models.keras_history import inference
from picasso.models.keras_layout import runnable


@dataclass(frozen=True)
class Flat:
    """A model without models inside.

    Attributes:
        model: a functional model of the network's own layers, with its inputs and outputs.
        operations: what is called, in topological order, by path: "backbone/block5_conv3". A layer's second call is
            "conv#2", its third "conv#3"; the same holds for a nested model: "backbone#2/block1_conv1".
        tensors: what each call gives, by the same path; where it gives several, the others are "split:1", "split:2".
    """

    model: Any
    operations: dict[str, Any]
    tensors: dict[str, Any]


def flatten(network: Any, sizes: Sequence[tuple[int | None, ...]] | None = None) -> Flat:
    """`network` as one graph, with nested models, at any depth and however often they are called, taken apart.

    The very same layers are called, with `training=False`; channels-first convolutions between two transpositions. What
    Keras has no graph of (subclassed models, wrappers) stays one node.

    Args:
        network: a functional or Sequential model.
        sizes: the shapes of its inputs without the batch dimension, where they are to be more definite than its own.

    Raises:
        NotSupported: its layers cannot be called again.
    """
    graph = graph_of(network)
    if graph is None:
        raise NotSupported(f"Keras has no graph of {network.name}.")
    shapes = sizes or [tuple(tensor.shape)[1:] for tensor in graph.inputs]
    inputs = [
        keras.Input(tuple(shape), name=tensor.name, dtype=tensor.dtype, sparse=tensor.sparse or None)
        for tensor, shape in zip(graph.inputs, shapes, strict=True)
    ]
    joiner = _Joiner()
    try:
        outputs = joiner.join(graph, inputs)
        with distinct_names(joiner.operations):
            model = keras.Model(
                keras.tree.pack_sequence_as(graph._inputs_struct, inputs),
                keras.tree.pack_sequence_as(graph._outputs_struct, outputs),
                name=network.name,
            )
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise NotSupported(f"The layers of {network.name} cannot be joined to one graph: {error}") from error
    return Flat(model, joiner.operations, joiner.tensors)


def as_it_is(network: Any) -> Flat:
    """`network` itself, where it cannot be flattened: its nested models are single nodes."""
    joiner = _Joiner()
    for node in _nodes(graph_of(network)):
        joiner.name(node.operation, node.outputs, "")
    return Flat(network, joiner.operations, joiner.tensors)


@contextmanager
def distinct_names(operations: dict[str, Any]) -> Iterator[None]:
    """While this lasts, no two operations have the same name: Keras refuses to make a model of them otherwise."""
    names = {operation: operation.name for operation in operations.values()}
    try:
        for path, operation in reversed(operations.items()):
            operation.name = path
        yield
    finally:
        for operation, name in names.items():
            operation.name = name


class _Joiner:
    """Calls the operations of graphs within graphs, one after the other, and keeps what they give."""

    def __init__(self) -> None:
        self.operations: dict[str, Any] = {}
        self.tensors: dict[str, Any] = {}
        self._taken: set[str] = set()

    def join(self, graph: Any, inputs: Sequence[Any], scope: str = "") -> list[Any]:
        """Calls everything in `graph` on `inputs`; returns its outputs."""
        known = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
        for node in _nodes(graph):
            inner = _inner_graph(node)
            args, kwargs = node.arguments.fill_in(known)
            if inner is not None:
                entering = self._enter(inner, args[0], scope)
                results = self.join(inner, entering, f"{self._path(node.operation.name, scope)}/")
            else:
                operation = runnable(node.operation)
                results = keras.tree.flatten(operation(*args, **inference(operation, kwargs)))
                self.name(operation, results, scope)
            known.update((id(tensor), result) for tensor, result in zip(node.outputs, results, strict=True))
        return [known[id(tensor)] for tensor in graph.outputs]

    def name(self, operation: Any, tensors: Sequence[Any], scope: str) -> None:
        """Keeps one call and its results by their paths."""
        path = self._path(operation.name, scope)
        self.operations[path] = operation
        self.tensors |= {f"{path}:{index}" if index else path: tensor for index, tensor in enumerate(tensors)}

    def _enter(self, graph: Any, given: Any, scope: str) -> list[Any]:
        """What enters a nested model, in the order and with the types of its inputs."""
        entering = []
        for tensor, value in zip(graph.inputs, _arranged(graph, given), strict=True):
            if tensor.dtype != value.dtype:
                value = keras.ops.cast(value, tensor.dtype)
                self.name(value._keras_history.operation, [value], scope)
            entering.append(value)
        return entering

    def _path(self, name: str, scope: str) -> str:
        path, count = f"{scope}{name}", 1
        while path in self._taken:
            count += 1
            path = f"{scope}{name}#{count}"
        self._taken.add(path)
        return path


def graph_of(network: Any) -> Any | None:
    """The functional model that `network` is or has inside; None where its `call` is its own."""
    if type(network).call is keras.Sequential.call:
        network = network._functional
    return network if isinstance(network, Functional) and type(network).call is Functional.call else None


def arranged(network: Any, values: Sequence[Any]) -> Any:
    """Values of the inputs of a model, as its `call` takes them: one alone, a list or a dictionary."""
    struct = getattr(getattr(network, "_functional", network), "_inputs_struct", None)
    return values[0] if struct is None else keras.tree.pack_sequence_as(struct, list(values))


def _inner_graph(node: Any) -> Any | None:
    """The graph of the nested model that a node calls; None for a layer, and where the call is not a plain one."""
    graph = graph_of(node.operation) if isinstance(node.operation, keras.Model) else None
    args, kwargs = node.arguments.args, node.arguments.kwargs
    settings = [value for name, value in kwargs.items() if name != "training"]
    if graph is None or len(args) != 1 or any(value is not None for value in keras.tree.flatten(settings)):
        return None
    given = _arranged(graph, args[0])
    if len(given) != len(graph.inputs):
        return None
    ranks = zip(given, graph.inputs, strict=True)
    return graph if all(keras.backend.is_keras_tensor(x) and len(x.shape) == len(y.shape) for x, y in ranks) else None


def _arranged(graph: Any, given: Any) -> list[Any]:
    """The inputs of a call in the order of the model's: a dictionary goes by their names."""
    if isinstance(given, dict) and not isinstance(graph._inputs_struct, dict):
        return [given.get(tensor.name) for tensor in graph.inputs]
    flat: list[Any] = keras.tree.flatten(given)
    return flat


def _nodes(graph: Any) -> Iterator[Any]:
    """The calls in a graph, each after those that it needs."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if node.operation and not node.is_input)
