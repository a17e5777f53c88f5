"""Finds in a TensorFlow graph where it is entered and left: the scores, the logits behind them, all other inputs.

What cannot be decided is asked: each `ConfigError` lists the candidates and the line to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported
from picasso.models.graph_image import described, find_image, is_number, listed, named
from picasso.models.graph_walks import after, behind, between, root
from picasso.models.graphs import Source, placeholders
from picasso.models.info import Assumption, ModelInput
from picasso.models.open_inputs import assumed_zeros

PREFERENCE = ({"Softmax"}, {"Sigmoid"}, {"BiasAdd", "MatMul", "Add", "AddV2"})  # what scores come out of, best first
NO_SCORES = {"TopK", "TopKV2"}
FED = {"Placeholder", "PlaceholderV2"}
DATA_SOURCES = {"IteratorGetNext", "QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2"}


@dataclass(frozen=True)
class Ends:
    """Where a graph is entered and left; all tensors are of `Source.graph`.

    Attributes:
        image: as `find_image` gives it.
        scores: (batch, classes), or that with dimensions of 1.
        logits: what enters the final softmax or sigmoid, in its shape; None without one.
        sigmoid: the scores come out of a sigmoid.
        others: placeholders that need a constant, by the name that a config uses; `values`: these constants.
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
    values: dict[str, float | list[float]]
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
    image = find_image(source, config)
    given = {name: named(source, name, source.inputs, "MODEL_OTHER_INPUTS") for name in config.MODEL_OTHER_INPUTS}
    found = _candidates(source, image, list(given.values()))
    output, scores, assumptions = _scores(source, image, found, config)
    operations = behind([scores.op], image) | {scores.op}
    if image.op not in operations:
        raise ConfigError(
            f"The output {scores.name} does not depend on the input {image.name}. Check MODEL_INPUT and MODEL_OUTPUT.",
            field="MODEL_OUTPUT",
        )
    others = {name: tensor for name, tensor in given.items() if tensor.op in operations and tensor.name != image.name}
    missing = _missing(source, operations, {image.op, *(tensor.op for tensor in others.values())})
    _check_fed(scores, {name: tensor for name, tensor in missing.items() if not _is_fillable(tensor)})
    others |= missing
    shapes = {name: tuple(size or 1 for size in _inner_shape(tensor)) for name, tensor in others.items()}
    values = {name: config.MODEL_OTHER_INPUTS.get(name, 0.0) for name in others}
    last = root(scores).op
    return Ends(
        image=image,
        scores=scores,
        logits=last.inputs[0] if last.type in ("Softmax", "Sigmoid") else None,
        sigmoid=last.type == "Sigmoid",
        others=others,
        values=values,
        way=between(image, scores),
        inputs=_inputs(source, image, others, values, operations),
        outputs=tuple(dict.fromkeys([*found, output])),
        output=output,
        output_classes={name: tensor.shape[-1] if tensor.shape.rank else None for name, tensor in found.items()},
        assumptions=(*assumptions, *assumed_zeros(shapes, config.MODEL_OTHER_INPUTS)),
    )


def _inputs(
    source: Source, image: Any, others: dict[str, Any], values: dict[str, float | list[float]], operations: set[Any]
) -> tuple[ModelInput, ...]:
    keys = {tensor.name: name for name, tensor in source.inputs.items()}

    def described(tensor: Any, constant: str = "") -> ModelInput:
        return ModelInput(keys.get(tensor.name, tensor.name.removesuffix(":0")), _inner_shape(tensor), constant)

    given = [described(tensor, str(values[name])) for name, tensor in others.items()]
    own = [
        described(operation.outputs[0], "its default")
        for operation in source.graph.get_operations()
        if operation.type == "PlaceholderWithDefault" and operation in operations and operation is not image.op
    ]
    return (described(image), *given, *(one for one in own if one.name not in {each.name for each in given}))


def _candidates(source: Source, image: Any, given: list[Any]) -> dict[str, Any]:
    """What could be the class scores, by name: the file's outputs, or else those that are found."""
    outputs = _final(source, image, given) if source.outputs is None else source.outputs
    rows = {name: tensor for name, tensor in outputs.items() if tensor.dtype.is_floating and _is_row(tensor)}
    return {name: tensor for name, tensor in rows.items() if tensor.shape.rank in (2, None)} or rows


def _scores(
    source: Source, image: Any, found: dict[str, Any], config: Config
) -> tuple[str, Any, tuple[Assumption, ...]]:
    """The output's name, its tensor, and what was assumed in choosing it."""
    wanted = config.MODEL_OUTPUT
    if isinstance(wanted, str) and not wanted.isdecimal():
        scores = named(source, wanted, source.outputs or {}, "MODEL_OUTPUT")
        if not _is_row(scores):
            raise NotSupported(
                f"MODEL_OUTPUT: {described(wanted, scores)} has not one score per class, (images, classes)."
            )
        return wanted.removesuffix(":0"), scores, ()
    if not found:
        seen = f": its outputs are {listed(source.outputs)}" if source.outputs else ""
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
            f"The model has several outputs that could be the class scores: {listed(best)}. Write which: "
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
            f"MODEL_OUTPUT = {number}: the outputs are numbered 0 to {len(found) - 1}: {listed(found)}.",
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
        if tensor.shape.rank
        and _is_row(tensor)
        and tensor.dtype.is_floating
        and not operation.name.startswith("gradients/")
    ]
    inner = behind([tensor.op for tensor in candidates])
    roots = [root(tensor, rank=tensor.shape.rank) for tensor in candidates if tensor.op not in inner]
    return {tensor.name.removesuffix(":0"): tensor for tensor in sorted(roots, key=lambda one: one.name)}


def _is_row(tensor: Any) -> bool:
    """Whether it has one score per class, as far as is known: (images, classes), or that with dimensions of 1."""
    rank = tensor.shape.rank
    return rank in (2, None) or (rank > 2 and sum(size != 1 for size in tensor.shape[1:]) <= 1)


def _is_switch(tensor: Any) -> bool:
    return tensor.shape.rank in (0, None) and (tensor.dtype.is_floating or tensor.dtype.is_bool)


def _missing(source: Source, operations: set[Any], fed: set[Any]) -> dict[str, Any]:
    """The placeholders among `operations` that nothing is fed to, by the name that a config uses."""
    keys = {tensor.name: name for name, tensor in source.inputs.items()}
    missing = [operation.outputs[0] for operation in operations if operation.type in FED and operation not in fed]
    named = {keys.get(tensor.name, tensor.op.name): tensor for tensor in missing}
    return dict(sorted(named.items()))


def _is_fillable(tensor: Any) -> bool:
    """Whether zeros say "nothing" there: a switch such as `keep_prob`, a single number, would be turned off by one."""
    return bool(tensor.shape.rank) and is_number(tensor)


def _check_fed(scores: Any, missing: dict[str, Any]) -> None:
    if not missing:
        return
    values = ", ".join(f'"{name}": {1.0 if "keep" in name else 0}' for name in missing)
    raise ConfigError(
        f"The output {scores.name} also needs {listed(missing)}. Write the constants: "
        f"MODEL_OTHER_INPUTS = {{{values}}}.",
        field="MODEL_OTHER_INPUTS",
    )


def _inner_shape(tensor: Any) -> tuple[int | None, ...]:
    """A tensor's shape without the batch dimension; () where it has none or it is not known."""
    return tuple(tensor.shape[1:]) if tensor.shape.rank else ()
