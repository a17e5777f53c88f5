"""Walks through a TensorFlow graph: what follows from a tensor, what an operation needs, where numbers come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PASSING = {"Identity", "IdentityN", "Reshape", "Squeeze", "EnsureShape", "Cast"}  # the same numbers come out


def after(tensors: Iterable[Any], stop: Any | None = None) -> list[Any]:
    """All operations that compute with `tensors`, directly or not; not those that do so only through `stop`."""
    found: dict[Any, None] = {}
    waiting = list(tensors)
    while waiting:
        for operation in waiting.pop().consumers():
            if operation not in found:
                found[operation] = None
                waiting.extend(one for one in operation.outputs if stop is None or one.name != stop.name)
    return list(found)


def behind(operations: Iterable[Any], stop: Any | None = None) -> set[Any]:
    """All operations that `operations` compute with; of `stop`, a tensor, only its own operation."""
    found: set[Any] = set()
    waiting = list(operations)
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                if stop is None or tensor.name != stop.name:
                    waiting.append(tensor.op)
    return found


def between(image: Any, scores: Any) -> tuple[Any, ...]:
    """The operations that lead from one tensor to another, each after those that it computes with."""
    leading = behind([scores.op], image) | {scores.op}
    found = {operation for operation in after([image]) if operation in leading}
    return tuple(operation for operation in image.graph.get_operations() if operation in found)


def root(tensor: Any, rank: int | None = None) -> Any:
    """Where the numbers of a tensor come from: back through operations that only pass them on.

    Args:
        rank: stop where the tensor before has another number of dimensions or of classes.
    """
    while tensor.op.type in PASSING:
        before = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
        if rank is not None and before.shape.rank != rank:
            break
        if rank is not None and not before.shape[-1:].is_compatible_with(tensor.shape[-1:]):
            break
        tensor = before
    return tensor
