"""From a flat Keras model to steps, in an order in which they can be run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from picasso.errors import NotSupported
from picasso.models.incremental.known import calling, is_identity, known
from picasso.models.incremental.steps import Step
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

    def compiled(self, images: Any) -> Any:
        """A function of images, given as a `tf.TensorSpec`, that gives the outputs, float32: traced once for all."""

        def outputs(x: Any) -> list[Any]:
            values = self.values(x)
            return [tf.cast(values[number], tf.float32) for number in self.outputs]

        return tf.function(outputs, [images], autograph=False)  # which traces several times faster

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

    The network is run once, on zeros, which shows the shape of every value.

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
    numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
    constants = {number: value for number, value in enumerate(given) if inputs[number] is not image}
    paths = {id(tensor): path for path, tensor in flat.tensors.items()}
    steps: list[Step] = []
    fresh = itertools.count(len(given))
    for node in leading_to(outputs):
        if all(id(tensor) in values for tensor in node.outputs):
            continue  # an input
        _check_precision(node.operation)
        args, kwargs = node.arguments.fill_in(values)
        computed = keras.tree.flatten(node.operation(*args, **inference(node.operation, kwargs)))
        values.update(zip(map(id, node.outputs), computed, strict=True))
        entering = list({id(tensor): tensor for tensor in node.input_tensors}.values())
        used = [numbers[id(tensor)] for tensor in entering]
        if is_identity(node.operation):
            numbers[id(node.outputs[0])] = used[0]
            continue
        for index, tensor in enumerate(node.outputs):  # of several outputs each is a step that computes them all
            numbers[id(tensor)] = next(fresh)
            path = paths.get(id(tensor), node.operation.name)
            size = tuple(computed[index].shape[1:])
            step = Step(path, used, numbers[id(tensor)], size, calling(node, node.operation, index), node.operation)
            shapes = [tuple(values[id(given)].shape[1:]) for given in entering]
            steps += known(step, node, shapes, fresh) if len(computed) == 1 else [step]
    ends = [numbers[id(tensor)] for tensor in outputs]
    work = sum(step.whole_work for step in steps)
    return Graph(steps, numbers[id(image)], ends, constants, tuple(shape), image.dtype, work)


def _check_precision(operation: Any) -> None:
    precision = getattr(operation, "compute_dtype", "float32")
    if precision in ("float16", "bfloat16", "float64"):
        raise NotSupported(f"{operation.name} computes in {precision}: every window is computed as a whole image.")
