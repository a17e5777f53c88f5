"""Finds in a TensorFlow graph where the image goes in, where the scores come out, and the logits behind them.

What cannot be decided is asked: each `ConfigError` lists the candidates and the line to write.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported
from picasso.models.graphs import Source, placeholders

PASSING = {"Identity", "IdentityN", "Reshape", "Squeeze", "EnsureShape", "Cast"}  # the same numbers come out
PREFERENCE = ({"Softmax"}, {"Sigmoid"}, {"BiasAdd", "MatMul", "Add", "AddV2"})  # what scores come out of, best first
NO_SCORES = {"TopK", "TopKV2"}
FED = {"Placeholder", "PlaceholderV2"}
DATA_SOURCES = {"IteratorGetNext", "QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2"}


@dataclass(frozen=True)
class Ends:
    """Where a graph is entered and left; all are tensors of `Source.graph`.

    Attributes:
        image: (batch, height, width, channels).
        scores: (batch, classes).
        logits: what enters the final softmax, in the softmax's shape; None without one.
        sigmoid: the scores come out of a sigmoid.
        others: placeholders that need a constant, with the key of `MODEL_OTHER_INPUTS` that gives it.
        operations: all that the scores are computed with.
        notes: sentences about what was chosen.
    """

    image: Any
    scores: Any
    logits: Any | None
    sigmoid: bool
    others: dict[str, Any]
    operations: frozenset[Any]
    notes: tuple[str, ...]


def find_ends(source: Source, config: Config) -> Ends:
    """The ends that the config names, or else those that are beyond doubt.

    Raises:
        ConfigError: several fit, none fits, or a name is not in the graph.
        NotSupported: the input is no image of known shape, or the output no scores.
    """
    image = _image(source, config)
    given = {name: _named(source, name, source.inputs, "MODEL_OTHER_INPUTS") for name in config.MODEL_OTHER_INPUTS}
    scores, notes = _scores(source, image, list(given.values()), config)
    operations = _behind([scores.op], image) | {scores.op}
    if image.op not in operations:
        raise ConfigError(
            f"The output {scores.name} does not depend on the input {image.name}. Check MODEL_INPUT and MODEL_OUTPUT.",
            field="MODEL_OUTPUT",
        )
    others = {name: tensor for name, tensor in given.items() if tensor.op in operations and tensor.name != image.name}
    _check_fed(scores, operations, {image.op, *(tensor.op for tensor in others.values())})
    root = _root(scores)
    logits = root.op.inputs[0] if root.op.type == "Softmax" else None
    return Ends(image, scores, logits, root.op.type == "Sigmoid", others, frozenset(operations), tuple(notes))


def _named(source: Source, name: str, keys: dict[str, Any], setting: str) -> Any:
    """The tensor that the config calls `name`: a signature's key, or a tensor's name with or without ":0"."""
    if name in keys:
        return keys[name]
    try:
        return source.graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        known = [*keys, *(operation.name for operation in source.graph.get_operations())]
        near = difflib.get_close_matches(name.partition(":")[0], known, n=3, cutoff=0.5) or list(keys)
        raise ConfigError(
            f"{setting}: the graph has no tensor {name!r}. The nearest: {', '.join(near)}.", field=setting
        ) from error


def _image(source: Source, config: Config) -> Any:
    if config.MODEL_INPUT is not None:
        image = _named(source, config.MODEL_INPUT, source.inputs, "MODEL_INPUT")
        if image.shape.rank != 4 or not _is_number(image):
            raise NotSupported(
                f"MODEL_INPUT: {_described(config.MODEL_INPUT, image)} is not an image input; Picasso needs numbers "
                "(batch, height, width, channels)."
            )
        return image
    fit = {name: tensor for name, tensor in source.inputs.items() if tensor.shape.rank == 4 and _is_number(tensor)}
    if len(fit) == 1:
        return next(iter(fit.values()))
    if fit:
        raise ConfigError(
            f"The model has several inputs that could take the image: {_listed(fit)}. Write which: "
            f'MODEL_INPUT = "{next(iter(fit))}".',
            field="MODEL_INPUT",
        )
    raise ConfigError(
        f"No image input was found among the model's inputs ({_listed(source.inputs) or 'there are none'}). Name the "
        'tensor of shape (batch, height, width, channels) where the image goes in: MODEL_INPUT = "name:0".',
        field="MODEL_INPUT",
    )


def _scores(source: Source, image: Any, given: list[Any], config: Config) -> tuple[Any, list[str]]:
    wanted = config.MODEL_OUTPUT
    if isinstance(wanted, str) and not wanted.isdecimal():
        scores = _named(source, wanted, source.outputs or {}, "MODEL_OUTPUT")
        if scores.shape.rank not in (2, None):
            raise NotSupported(
                f"MODEL_OUTPUT: {_described(wanted, scores)} has not one score per class, (images, classes)."
            )
        return scores, []
    found = _final(source, image, given) if source.outputs is None else source.outputs
    found = {
        name: tensor for name, tensor in found.items() if tensor.shape.rank in (2, None) and tensor.dtype.is_floating
    }
    if not found:
        seen = f": its outputs are {_listed(source.outputs)}" if source.outputs else ""
        raise ConfigError(
            f"No output with one score per class, (images, classes), was found{seen}. Name it: "
            'MODEL_OUTPUT = "name:0".',
            field="MODEL_OUTPUT",
        )
    if wanted is not None:
        return _numbered(found, int(wanted)), []
    best = _preferred(found)
    if len(best) > 1:
        raise ConfigError(
            f"The model has several outputs that could be the class scores: {_listed(best)}. Write which: "
            f'MODEL_OUTPUT = "{next(iter(best))}".',
            field="MODEL_OUTPUT",
        )
    ((name, scores),) = best.items()
    behind = _behind([scores.op], image) | {scores.op}
    others = [other for other, tensor in found.items() if tensor.op not in behind]
    if not others:
        return scores, []
    note = f"The output '{name}' is explained; the model also has {', '.join(others)}."
    return scores, [f'{note} Another one: MODEL_OUTPUT = "{others[0]}".']


def _numbered(found: dict[str, Any], number: int) -> Any:
    if not 0 <= number < len(found):
        raise ConfigError(
            f"MODEL_OUTPUT = {number}: the outputs are numbered 0 to {len(found) - 1}: {_listed(found)}.",
            field="MODEL_OUTPUT",
        )
    return list(found.values())[number]


def _preferred(found: dict[str, Any]) -> dict[str, Any]:
    for kinds in PREFERENCE:
        fit = {name: tensor for name, tensor in found.items() if _root(tensor).op.type in kinds}
        if fit:
            return fit
    return found


def _final(source: Source, image: Any, given: list[Any]) -> dict[str, Any]:
    """The last tensors (images, classes) that follow from the image alone, by name; for graphs that name no outputs.

    What needs labels (losses, gradients, accuracies) is no candidate; what needs a switch such as `keep_prob` is.
    """
    fed = [tensor for tensor in placeholders(source.graph).values() if tensor.op.type in FED]
    blocked = [tensor for tensor in fed if tensor.name != image.name and not _is_switch(tensor)]
    blocked += [
        tensor
        for operation in source.graph.get_operations()
        if operation.type in DATA_SOURCES
        for tensor in operation.outputs
        if tensor.name != image.name
    ]
    given_names = {tensor.name for tensor in given}
    unusable = set(_after([tensor for tensor in blocked if tensor.name not in given_names], image))
    candidates = [
        tensor
        for operation in _after([image])
        if operation not in unusable and operation.type not in NO_SCORES
        for tensor in operation.outputs
        if tensor.shape.rank == 2 and tensor.dtype.is_floating and not operation.name.startswith("gradients/")
    ]
    inner = _behind([tensor.op for tensor in candidates])
    roots = {_root(tensor, rank=2).name: _root(tensor, rank=2) for tensor in candidates if tensor.op not in inner}
    return {name.removesuffix(":0"): tensor for name, tensor in sorted(roots.items())}


def _is_switch(tensor: Any) -> bool:
    return tensor.shape.rank in (0, None) and (tensor.dtype.is_floating or tensor.dtype.is_bool)


def _root(tensor: Any, rank: int | None = None) -> Any:
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


def _after(tensors: Iterable[Any], stop: Any | None = None) -> list[Any]:
    """All operations that compute with `tensors`, directly or not; not those that do so only through `stop`."""
    found: dict[Any, None] = {}
    waiting = list(tensors)
    while waiting:
        for operation in waiting.pop().consumers():
            if operation not in found:
                found[operation] = None
                waiting.extend(one for one in operation.outputs if stop is None or one.name != stop.name)
    return list(found)


def _behind(operations: Iterable[Any], stop: Any | None = None) -> set[Any]:
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


def _check_fed(scores: Any, operations: set[Any], fed: set[Any]) -> None:
    missing = [operation for operation in operations if operation.type in FED and operation not in fed]
    if not missing:
        return
    names = {operation.name: operation.outputs[0] for operation in sorted(missing, key=lambda one: one.name)}
    values = ", ".join(f'"{name}": {1.0 if "keep" in name else 0}' for name in names)
    raise ConfigError(
        f"The output {scores.name} also needs {_listed(names)}. Write the constants: "
        f"MODEL_OTHER_INPUTS = {{{values}}}.",
        field="MODEL_OTHER_INPUTS",
    )


def _is_number(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer)


def _listed(tensors: dict[str, Any]) -> str:
    return ", ".join(_described(name, tensor) for name, tensor in tensors.items())


def _described(name: str, tensor: Any) -> str:
    shape = "unknown shape" if tensor.shape.rank is None else tuple(tensor.shape)
    return f"{name} ({shape} {tensor.dtype.name})"
