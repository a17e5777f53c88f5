"""Compiled functions of TensorFlow: cut out of a trace, and run by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


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


def cut_out(trace: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> InTurn:
    """A function that computes nothing but some tensors of a trace, from others; it gives a list of them.

    Args:
        trace: made by `tf.compat.v1.wrap_function`.
        inputs: float or int tensors of its graph.
    """
    # Without a signature, TensorFlow looks for one in vain in every call, and writes all values into an error that
    # nobody sees: that takes longer than the gradient of a small network.
    signature = tuple(tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs)
    return InTurn(trace.prune(list(inputs), list(outputs), input_signature=(signature, {})))
