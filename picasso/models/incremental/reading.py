"""From a flat Keras model to steps, in an order in which they can be run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from picasso.errors import NotSupported
from picasso.models.incremental.known import calling, is_identity, known
from picasso.models.incremental.steps import Step
from picasso.models.keras_compiled import InTurn, cut_out
from picasso.models.keras_flat import Flat
from picasso.models.keras_history import inference, leading_to


@dataclass(frozen=True)
class Graph:
    """A network as steps. Everything that is computed has a number.

    Attributes:
        steps: each after those it depends on.
        image: the number of the image.
        outputs: those of the network's outputs.
        constants: the values of its other inputs, for one image.
        shape: (height, width, channels) of the image.
        dtype: what the network takes it as.
        dense_work: multiply-adds of one run of the network as it was read.
    """

    steps: list[Step]
    image: int
    outputs: list[int]
    constants: dict[int, Any]
    shape: tuple[int, ...]
    dtype: str
    dense_work: float

    @property
    def given(self) -> dict[int, tuple[int, ...]]:
        """The shapes of the inputs, without the batch."""
        return {self.image: self.shape} | {number: tuple(x.shape[1:]) for number, x in self.constants.items()}

    @property
    def work(self) -> float:
        """Multiply-adds of one run of these steps."""
        return sum(step.whole_work for step in self.steps)

    def function(self, numbers: Sequence[int], count: int | None = None) -> InTurn:
        """A compiled function of images (n, height, width, channels), any number or `count`, that gives some values."""
        whole = self._traced
        return cut_out(whole, whole.inputs[:1], [whole.structured_outputs[number] for number in numbers], count)

    def checked(self) -> Graph:
        """The same; raises ValueError where a layer does not give the shape that it says."""
        for step in self.steps:
            self._traced.structured_outputs[step.output].shape[1:].assert_is_compatible_with(step.shape)
        return self

    @cached_property
    def _traced(self) -> Any:
        """All values as one function, traced once for whatever is cut out of it."""
        return tf.compat.v1.wrap_function(self.values, [tf.TensorSpec((None, *self.shape))])

    def values(self, images: Any) -> dict[int, Any]:
        """Everything that is computed of images (n, height, width, channels), by number."""
        given = {number: tf.repeat(x, tf.shape(images)[0], axis=0) for number, x in self.constants.items()}
        values = {self.image: tf.cast(images, self.dtype), **given}
        for step in self.steps:
            values[step.output] = step.whole([values[number] for number in step.inputs])
        return values


def read(
    flat: Flat, image: Any, outputs: Sequence[Any], shape: tuple[int, ...], feed: Callable[[Any], list[Any]]
) -> Graph:
    """The steps that lead from the image to some tensors of a flat model.

    Args:
        image: the input of `flat` that takes the image.
        outputs: Keras tensors of `flat`.
        shape: (height, width, channels) of the image.
        feed: makes of a batch of images the values of all inputs of `flat`.

    Raises:
        NotSupported: a layer computes in another precision than float32.
    """
    inputs = flat.model.inputs
    given = [tf.cast(value, tensor.dtype) for tensor, value in zip(inputs, feed(tf.zeros((1, *shape))), strict=True)]
    values = dict(zip(map(id, inputs), given, strict=True))
    nodes = [node for node in leading_to(outputs) if not all(id(tensor) in values for tensor in node.outputs)]
    shapes = _shapes(nodes, values)
    numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
    constants = {number: value for number, value in enumerate(given) if inputs[number] is not image}
    paths = {id(tensor): path for path, tensor in flat.tensors.items()}
    steps: list[Step] = []
    fresh = itertools.count(len(given))
    for node in nodes:
        entering = list({id(tensor): tensor for tensor in node.input_tensors}.values())
        used = [numbers[id(tensor)] for tensor in entering]
        if is_identity(node.operation):
            numbers[id(node.outputs[0])] = used[0]
            continue
        for index, tensor in enumerate(node.outputs):  # of several outputs each is a step that computes them all
            numbers[id(tensor)] = next(fresh)
            path = paths.get(id(tensor), node.operation.name)
            call = calling(node, node.operation, index)
            step = Step(path, used, numbers[id(tensor)], shapes[id(tensor)], call, node.operation)
            sizes = [shapes[id(tensor)] for tensor in entering]
            steps += known(step, node, sizes, fresh) if len(node.outputs) == 1 else [step]
    ends = [numbers[id(tensor)] for tensor in outputs]
    work = sum(step.whole_work for step in steps)
    return Graph(steps, numbers[id(image)], ends, constants, tuple(shape), image.dtype, work)


def _shapes(nodes: Sequence[Any], given: dict[int, Any]) -> dict[int, tuple[int, ...]]:
    """The shape of each value without its batch, by the `id` of its Keras tensor; `given` are the inputs'.

    Raises:
        NotSupported: a layer computes in another precision than float32.
    """
    for node in nodes:
        _check_precision(node.operation)
    known = {id(tensor): tuple(tensor.shape[1:]) for node in nodes for tensor in node.outputs}
    if any(None in shape for shape in known.values()):
        return _traced_shapes(nodes, given)
    return known | {key: tuple(value.shape[1:]) for key, value in given.items()}


def _traced_shapes(nodes: Sequence[Any], given: dict[int, Any]) -> dict[int, tuple[int, ...]]:
    """The same, of a network whose layers cannot say them.

    They are asked of a compiled function: run one by one, oneDNN's convolutions keep a copy of all weights.
    """
    found: list[int] = []

    def shapes() -> list[Any]:
        values = dict(given)
        for node in nodes:
            args, kwargs = node.arguments.fill_in(values)
            computed = keras.tree.flatten(node.operation(*args, **inference(node.operation, kwargs)))
            values.update(zip(map(id, node.outputs), computed, strict=True))
        found.extend(values)
        return [tf.shape(value)[1:] for value in values.values()]

    computed = tf.function(shapes, autograph=False)()
    return {key: tuple(shape.numpy().tolist()) for key, shape in zip(found, computed, strict=True)}


def _check_precision(operation: Any) -> None:
    precision = getattr(operation, "compute_dtype", "float32")
    if precision in ("float16", "bfloat16", "float64"):
        raise NotSupported(f"{operation.name} computes in {precision}: every window is computed as a whole image.")
