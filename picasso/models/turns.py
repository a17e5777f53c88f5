"""Compiled functions, each run by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def in_turn(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function; a second thread that calls it waits until the first one has its result.

    TensorFlow merges a convolution, its bias and an addition into one operation, which keeps what it adds from one step
    to the next where all threads see it (`fuse_add_src_` in its `mkl_conv_ops.cc`, 2.21): two threads in it add each
    other's images, or crash. Other functions, of the same graph too, have operations of their own.
    """
    lock = threading.Lock()

    def run(*args: Any) -> Any:
        with lock:
            return function(*args)

    return run
