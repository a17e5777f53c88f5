"""Finds the learnt weights of a TensorFlow graph of constants, and the layers that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from picasso.models.graph_layers import WEIGHTED, paths
from picasso.models.graph_network import OWN
from picasso.models.graph_walks import behind

STARTING = WEIGHTED | {"BatchMatMul", "BatchMatMulV3", "Einsum"}


def learnt(way: Sequence[Any]) -> dict[str, list[str]]:
    """The names of the constants that each layer has learnt, by the layer's path, from the scores back to the image.

    A convolution, matrix product or normalisation begins a layer; what is added to its output and multiplied with it
    later on belongs to it too. What stands before the first of them, such as a mean to subtract, is not learnt.

    Args:
        way: the operations that lead from the images to the scores, as `Network.way` gives them.
    """
    known = set(way)
    owners: dict[Any, Any] = {}
    found: dict[Any, dict[str, None]] = {}
    for operation in way:
        owner = next((owners[tensor.op] for tensor in operation.inputs if tensor.op in owners), None)
        constants = _constants([tensor for tensor in operation.inputs if tensor.op not in known])
        if constants and operation.type in STARTING:
            owner = operation
        if owner is not None:
            owners[operation] = owner
            found.setdefault(owner, {}).update(dict.fromkeys(constants))
    seen: set[str] = set()
    layers = {}
    names = paths([owner for owner, constants in found.items() if constants])
    for owner, path in reversed(names.items()):
        own = [name for name in found[owner] if name not in seen]
        seen.update(own)
        if own:
            layers[path] = own
    return layers


def _constants(tensors: Iterable[Any]) -> list[str]:
    """The names of the weights that tensors are computed from."""
    operations = {tensor.op for tensor in tensors}
    operations |= behind(operations)
    return sorted(operation.outputs[0].name for operation in operations if _is_weight(operation))


def _is_weight(operation: Any) -> bool:
    """Whether it is a constant with several floats, or bytes that stand for floats; whole numbers are sizes and axes.

    Neither a value for another input of the graph, nor one inside a loop or condition, which cannot be replaced.
    """
    if operation.type != "Const" or operation.control_inputs or operation.name.startswith(f"{OWN}/"):
        return False
    tensor = operation.outputs[0]
    floats = tensor.dtype.is_floating or (tensor.dtype.is_integer and tensor.dtype.size == 1)
    default = any(consumer.type == "PlaceholderWithDefault" for consumer in tensor.consumers())
    return floats and not default and (tensor.shape.num_elements() or 0) > 1
