"""Finds in a TensorFlow graph where the image goes in, where the scores come out, and the logits behind them.

What cannot be decided is asked: each `ConfigError` lists the candidates and the line to write.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported
from picasso.models.graph_walks import after, behind, between, root
from picasso.models.graphs import Source, placeholders
from picasso.models.info import Assumption, ModelInput

PREFERENCE = ({"Softmax"}, {"Sigmoid"}, {"BiasAdd", "MatMul", "Add", "AddV2"})  # what scores come out of, best first
NO_SCORES = {"TopK", "TopKV2"}
FED = {"Placeholder", "PlaceholderV2"}
DATA_SOURCES = {"IteratorGetNext", "QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2"}


@dataclass(frozen=True)
class Ends:
    """Where a graph is entered and left; all tensors are of `Source.graph`.

    Attributes:
        image: (batch, height, width, channels), or channels first.
        scores: (batch, classes).
        logits: what enters the final softmax or sigmoid, in its shape; None without one.
        sigmoid: the scores come out of a sigmoid.
        others: placeholders that need a constant, with the key of `MODEL_OTHER_INPUTS` that gives it.
        way: the operations that lead from the image to the scores, each after those that it computes with.
        inputs: all that the scores are computed with, the image first.
        outputs: the names of those that can be explained; `output`: the one that is.
        output_classes: as in `Anatomy`.
        assumptions: what was chosen.
    """

    image: Any
    scores: Any
    logits: Any | None
    sigmoid: bool
    others: dict[str, Any]
    way: tuple[Any, ...]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    output: str
    output_classes: dict[str, int | None]
    assumptions: tuple[Assumption, ...]


def find_ends(source: Source, config: Config) -> Ends:
    """The ends that the config names, or else those that are beyond doubt.

    Raises:
        ConfigError: several fit, none fits, or a name is not in the graph.
        NotSupported: the input is no image of known shape, or the output no scores.
    """
    image = _image(source, config)
    given = {name: _named(source, name, source.inputs, "MODEL_OTHER_INPUTS") for name in config.MODEL_OTHER_INPUTS}
    found = _candidates(source, image, list(given.values()))
    output, scores, assumptions = _scores(source, image, found, config)
    operations = behind([scores.op], image) | {scores.op}
    if image.op not in operations:
        raise ConfigError(
            f"The output {scores.name} does not depend on the input {image.name}. Check MODEL_INPUT and MODEL_OUTPUT.",
            field="MODEL_OUTPUT",
        )
    others = {name: tensor for name, tensor in given.items() if tensor.op in operations and tensor.name != image.name}
    _check_fed(scores, operations, {image.op, *(tensor.op for tensor in others.values())})
    last = root(scores).op
    return Ends(
        image=image,
        scores=scores,
        logits=last.inputs[0] if last.type in ("Softmax", "Sigmoid") else None,
        sigmoid=last.type == "Sigmoid",
        others=others,
        way=between(image, scores),
        inputs=_inputs(source, image, others, operations, config),
        outputs=tuple(dict.fromkeys([*found, output])),
        output=output,
        output_classes={name: tensor.shape[1] if tensor.shape.rank else None for name, tensor in found.items()},
        assumptions=assumptions,
    )


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


def _inputs(
    source: Source, image: Any, others: dict[str, Any], operations: set[Any], config: Config
) -> tuple[ModelInput, ...]:
    keys = {tensor.name: name for name, tensor in source.inputs.items()}

    def described(tensor: Any, constant: str = "") -> ModelInput:
        shape = tuple(tensor.shape[1:]) if tensor.shape.rank else ()
        return ModelInput(keys.get(tensor.name, tensor.name.removesuffix(":0")), shape, constant)

    given = [described(tensor, str(config.MODEL_OTHER_INPUTS[name])) for name, tensor in others.items()]
    own = [
        described(operation.outputs[0], "its default")
        for operation in source.graph.get_operations()
        if operation.type == "PlaceholderWithDefault" and operation in operations and operation is not image.op
    ]
    return (described(image), *given, *(one for one in own if one.name not in {each.name for each in given}))


def _candidates(source: Source, image: Any, given: list[Any]) -> dict[str, Any]:
    """What could be the class scores, by name: the file's outputs, or else those that are found."""
    outputs = _final(source, image, given) if source.outputs is None else source.outputs
    return {
        name: tensor for name, tensor in outputs.items() if tensor.shape.rank in (2, None) and tensor.dtype.is_floating
    }


def _scores(
    source: Source, image: Any, found: dict[str, Any], config: Config
) -> tuple[str, Any, tuple[Assumption, ...]]:
    """The output's name, its tensor, and what was assumed in choosing it."""
    wanted = config.MODEL_OUTPUT
    if isinstance(wanted, str) and not wanted.isdecimal():
        scores = _named(source, wanted, source.outputs or {}, "MODEL_OUTPUT")
        if scores.shape.rank not in (2, None):
            raise NotSupported(
                f"MODEL_OUTPUT: {_described(wanted, scores)} has not one score per class, (images, classes)."
            )
        return wanted.removesuffix(":0"), scores, ()
    if not found:
        seen = f": its outputs are {_listed(source.outputs)}" if source.outputs else ""
        raise ConfigError(
            f"No output with one score per class, (images, classes), was found{seen}. Name it: "
            'MODEL_OUTPUT = "name:0".',
            field="MODEL_OUTPUT",
        )
    if wanted is not None:
        return *_numbered(found, int(wanted)), ()
    best = _preferred(found)
    if len(best) > 1:
        raise ConfigError(
            f"The model has several outputs that could be the class scores: {_listed(best)}. Write which: "
            f'MODEL_OUTPUT = "{next(iter(best))}".',
            field="MODEL_OUTPUT",
        )
    ((name, scores),) = best.items()
    needed = behind([scores.op], image) | {scores.op}
    others = [other for other, tensor in found.items() if tensor.op not in needed]
    if not others:
        return name, scores, ()
    sentence = f"The output '{name}' is explained; the model also has {', '.join(others)}."
    return name, scores, (Assumption(sentence, f'MODEL_OUTPUT = "{name}"'),)


def _numbered(found: dict[str, Any], number: int) -> tuple[str, Any]:
    if not 0 <= number < len(found):
        raise ConfigError(
            f"MODEL_OUTPUT = {number}: the outputs are numbered 0 to {len(found) - 1}: {_listed(found)}.",
            field="MODEL_OUTPUT",
        )
    return list(found.items())[number]


def _preferred(found: dict[str, Any]) -> dict[str, Any]:
    for kinds in PREFERENCE:
        fit = {name: tensor for name, tensor in found.items() if root(tensor).op.type in kinds}
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
    unusable = set(after([tensor for tensor in blocked if tensor.name not in given_names], image))
    candidates = [
        tensor
        for operation in after([image])
        if operation not in unusable and operation.type not in NO_SCORES
        for tensor in operation.outputs
        if tensor.shape.rank == 2 and tensor.dtype.is_floating and not operation.name.startswith("gradients/")
    ]
    inner = behind([tensor.op for tensor in candidates])
    roots = {root(tensor, rank=2).name: root(tensor, rank=2) for tensor in candidates if tensor.op not in inner}
    return {name.removesuffix(":0"): tensor for name, tensor in sorted(roots.items())}


def _is_switch(tensor: Any) -> bool:
    return tensor.shape.rank in (0, None) and (tensor.dtype.is_floating or tensor.dtype.is_bool)


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
