"""From a flat functional Keras model to steps, in an order in which they can be run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from picasso.errors import NotSupported
from picasso.models.incremental.known import is_identity, known
from picasso.models.incremental.steps import Step

Node = Any


@dataclass(frozen=True)
class Graph:
    """A network as steps. Everything that is computed has a number.

    Attributes:
        steps: each after those it depends on.
        image: the number of the image.
        outputs: those of the network's outputs.
        constants: the values of its other inputs, for one image.
        shape: (height, width, channels) of the image.
    """

    steps: list[Step]
    image: int
    outputs: list[int]
    constants: dict[int, Any]
    shape: tuple[int, ...]

    @property
    def given(self) -> dict[int, tuple[int, ...]]:
        """The shapes of the inputs, without the batch."""
        return {self.image: self.shape} | {number: tuple(x.shape[1:]) for number, x in self.constants.items()}

    @property
    def work(self) -> float:
        """Multiply-adds of one run of the network."""
        return sum(step.whole_work for step in self.steps)


def read(network: Any, x: Any, feed: Callable[[Any], Any]) -> Graph:
    """The steps of a functional model; a layer that is a model itself becomes one step on whole maps.

    Args:
        x: one image (1, height, width, channels); the network is run on it once, which shows every shape.
        feed: makes of a batch of images what `network` takes.

    Raises:
        NotSupported: a layer computes in another precision than float32.
    """
    given = tf.nest.flatten(feed(x))
    values = dict(zip(map(id, network.inputs), given, strict=True))
    numbers = {id(tensor): number for number, tensor in enumerate(network.inputs)}
    image = next(number for number, value in enumerate(given) if value is x)
    constants = {number: value for number, value in enumerate(given) if number != image}
    steps: list[Step] = []
    fresh = itertools.count(len(given))
    for node in _in_order(network):
        _check_precision(node.operation)
        args, kwargs = node.arguments.fill_in(values)
        outputs = tf.nest.flatten(_called(node.operation, args, kwargs))
        values.update(zip(map(id, node.outputs), outputs, strict=True))
        tensors = list({id(tensor): tensor for tensor in node.input_tensors}.values())
        inputs = [numbers[id(tensor)] for tensor in tensors]
        if is_identity(node.operation):
            numbers[id(node.outputs[0])] = inputs[0]
            continue
        for index, tensor in enumerate(node.outputs):  # of several outputs each is a step that computes them all
            numbers[id(tensor)] = next(fresh)
            step = Step(
                node.operation.name,
                inputs,
                numbers[id(tensor)],
                tuple(outputs[index].shape[1:]),
                _call(node, tensors, index),
                node.operation,
            )
            shapes = [tuple(values[id(tensor)].shape[1:]) for tensor in tensors]
            steps += known(step, node, shapes, fresh) if len(outputs) == 1 else [step]
    return Graph(steps, image, [numbers[id(tensor)] for tensor in network.outputs], constants, tuple(x.shape[1:]))


def _in_order(network: Any) -> list[Node]:
    """The applications of layers, each after those it depends on."""
    order: list[Node] = []
    seen = {id(tensor) for tensor in network.inputs}

    def add(tensor: Any) -> None:
        waiting = [tensor]
        while waiting:  # a deep network would exceed Python's recursion limit
            latest = waiting[-1]
            if id(latest) in seen:
                waiting.pop()
                continue
            operation, index, _ = latest._keras_history
            node = operation._inbound_nodes[index]
            missing = [needed for needed in node.input_tensors if id(needed) not in seen]
            waiting.extend(missing)
            if not missing:
                order.append(node)
                seen.update(map(id, node.outputs))

    for tensor in network.outputs:
        add(tensor)
    return order


def _check_precision(operation: Any) -> None:
    precision = getattr(operation, "compute_dtype", "float32")
    if precision in ("float16", "bfloat16", "float64"):
        raise NotSupported(f"{operation.name} computes in {precision}: every window is computed as a whole image.")


def _called(operation: Any, args: Any, kwargs: Any) -> Any:
    if getattr(operation, "_call_has_training_arg", False):
        kwargs = {**kwargs, "training": False}
    return operation(*args, **kwargs)


def _call(node: Node, tensors: list[Any], index: int = 0) -> Callable[..., Any]:
    """Runs the layer itself as the model does, with values for `tensors`."""

    def call(*values: Any) -> Any:
        args, kwargs = node.arguments.fill_in(dict(zip(map(id, tensors), values, strict=True)))
        return tf.nest.flatten(_called(node.operation, args, kwargs))[index]

    return call
