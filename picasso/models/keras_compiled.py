"""Compiled functions of TensorFlow: cut out of a trace, and each run by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1


class InTurn:
    """A compiled function; a second thread that calls it waits until the first one has its result.

    TensorFlow merges a convolution, its bias and an addition into one operation, which keeps what it adds from one step
    to the next where all threads see it (`fuse_add_src_` in its `mkl_conv_ops.cc`, 2.21): two threads in it add each
    other's images, or crash. Other functions, of the same graph too, have operations of their own.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._lock = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        with self._lock:
            return self.function(*args)


class Copies:
    """A compiled function that several threads may run at once: each has a copy of its own, made when it is needed.

    Args:
        make: makes one; called by one thread at a time.
    """

    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self._make, self._idle = make, list[Callable[..., Any]]()
        self._making = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        with self._making:
            function = self._idle.pop() if self._idle else self._make()
        try:
            return function(*args)
        finally:
            self._idle.append(function)


def cut_out(trace: Any, inputs: Sequence[Any], outputs: Sequence[Any], count: int | None = None) -> InTurn:
    """A function that computes nothing but some tensors of a trace, from others; it gives a list of them.

    Args:
        trace: made by `tf.compat.v1.wrap_function`.
        inputs: float or int tensors of its graph, each of a batch.
        count: how many the batch always has. TensorFlow then works out all shapes once: a gradient takes 5 % less time.
    """
    nodes = _leading_to(trace.graph.as_graph_def(), outputs)
    names = {node.name for node in nodes.node}
    learnt = [(tensor, value) for value, tensor in trace.graph.captures if tensor.op.name in names]

    def compute(*values: Any) -> list[Any]:
        graph = v1.get_default_graph()
        given = [*zip(inputs, values, strict=True), *((tensor, graph.capture(value)) for tensor, value in learnt)]
        mapped: dict[str, Any] = {}
        for tensor, value in given:
            if tensor.op.name in names:  # an output need not follow from all inputs
                mapped |= {tensor.name: value, f"^{tensor.op.name}": value}  # computed with, or waited for
        return tf.graph_util.import_graph_def(nodes, mapped, [tensor.name for tensor in outputs])  # type: ignore[no-any-return]

    signature = [tf.TensorSpec((count, *tensor.shape[1:]), tensor.dtype) for tensor in inputs]
    function = v1.wrap_function(compute, signature)
    function.graph.variables = trace.graph.variables  # which are looked up where the function is frozen
    return InTurn(function)


def _leading_to(graph: Any, tensors: Sequence[Any]) -> Any:
    """The part of a graph, as a protocol buffer, that some tensors of it need."""
    nodes = {node.name: node for node in graph.node}
    needed, waiting = set(), [tensor.op.name for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [before.lstrip("^").partition(":")[0] for before in nodes[name].input]
    part = v1.GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.name in needed:
            part.node.add().CopyFrom(node)
            part.node[-1].attr.pop("_class", None)  # beside which other one it is placed, which may not be needed
    return part
