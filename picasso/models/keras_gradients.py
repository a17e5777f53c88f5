"""Gradients that are not TensorFlow's own: of what ReLUs give, and of normalizations.

They are made with the graph, and hold where `tf.gradients` is asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

GIVEN_BY_RELU, SCALED, SHIFTED = "PicassoGivenByReLU", "PicassoScaled", "PicassoShifted"  # as TensorFlow knows them

_guided = ContextVar("_guided", default=False)


@contextmanager
def guiding(guided: bool = True) -> Iterator[None]:
    """Gradients that are added to a graph meanwhile are those of guided backpropagation, if so."""
    before = _guided.set(guided)
    try:
        yield
    finally:
        _guided.reset(before)


def given_by_relu(y: Any) -> Any:
    """What a ReLU gives, as it is; backward, it minds `guiding`."""
    with _overridden({"Identity": GIVEN_BY_RELU}):
        return tf.identity(y)


def shortened(operation: Any) -> AbstractContextManager[None]:
    """While this lasts, a Keras operation that is called has the gradient that takes fewer steps, if there is one.

    A normalization with learnt statistics is a product and a sum with one number for each channel. TensorFlow asks at
    every run which sides these were stretched along, and has gradients of the numbers too: half of the operations of
    MobileNetV2's gradient, and a third of the time to make it.
    """
    if type(operation) is keras.layers.BatchNormalization:
        return _overridden({"Mul": SCALED, "AddV2": SHIFTED})
    return nullcontext()


def _overridden(gradients: dict[str, str]) -> AbstractContextManager[None]:
    return tf.compat.v1.get_default_graph().gradient_override_map(gradients)  # type: ignore[no-any-return]


@tf.RegisterGradient(GIVEN_BY_RELU)  # type: ignore[untyped-decorator]
def _given_by_relu(_operation: Any, gradient: Any) -> Any:
    return tf.nn.relu(gradient) if _guided.get() else gradient


@tf.RegisterGradient(SCALED)  # type: ignore[untyped-decorator]
def _scaled(operation: Any, gradient: Any) -> list[Any]:
    return [gradient * _learnt(operation), None]


@tf.RegisterGradient(SHIFTED)  # type: ignore[untyped-decorator]
def _shifted(operation: Any, gradient: Any) -> list[Any]:
    _learnt(operation)
    return [gradient, None]


def _learnt(operation: Any) -> Any:
    """What a normalization multiplies its input with, or adds to it: the second part, whose shape is known."""
    learnt = operation.inputs[1]
    if not learnt.shape.is_fully_defined():  # it may follow from the images, and must not be left out then
        raise LookupError(f"{operation.name}: a normalization of Keras computes in another way than is known.")
    return learnt
