"""Finds in a TensorFlow graph where the image goes in, and what the config calls a tensor."""

from __future__ import annotations

import difflib
from typing import Any

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported
from picasso.models.graph_layers import WEIGHTED
from picasso.models.graph_walks import after
from picasso.models.graphs import Source
from picasso.models.open_inputs import DEFAULT_SIZE

LISTED = 3  # so many tensors are suggested


def find_image(source: Source, config: Config) -> Any:
    """The tensor that takes the image: the one that the config names, or else the only input that can.

    Returns: (batch, height, width, channels) or channels first; (batch, height, width) of grey images; of unknown
        shape, where the config names it.

    Raises:
        ConfigError: several fit or none does, or the name is not in the graph.
        NotSupported: the config names what takes no image.
    """
    if config.MODEL_INPUT is not None:
        image = named(source, config.MODEL_INPUT, source.inputs, "MODEL_INPUT")
        if not is_number(image) or (image.shape.rank is not None and not _is_image(image)):
            raise NotSupported(
                f"MODEL_INPUT: {described(config.MODEL_INPUT, image)} is not an image input; Picasso needs numbers "
                "(batch, height, width, channels)."
            )
        return image
    fit = {name: tensor for name, tensor in source.inputs.items() if _is_image(tensor)}
    fit = {name: tensor for name, tensor in fit.items() if tensor.shape.rank == 4} or fit
    if len(fit) == 1:
        return next(iter(fit.values()))
    if fit:
        raise ConfigError(
            f"The model has several inputs that could take the image: {listed(fit)}. Write which: "
            f'MODEL_INPUT = "{next(iter(fit))}".',
            field="MODEL_INPUT",
        )
    raise ConfigError(
        f"No image input was found among the model's inputs ({listed(source.inputs) or 'there are none'}). "
        f"{_suggestion(source)}",
        field="MODEL_INPUT",
    )


def named(source: Source, name: str, keys: dict[str, Any], setting: str) -> Any:
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


def listed(tensors: dict[str, Any]) -> str:
    """Tensors with their shapes and types, for a sentence."""
    return ", ".join(described(name, tensor) for name, tensor in tensors.items())


def is_number(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer)


def described(name: str, tensor: Any) -> str:
    shape = "unknown shape" if tensor.shape.rank is None else tuple(tensor.shape)
    return f"{name} ({shape} {tensor.dtype.name})"


def _is_image(tensor: Any) -> bool:
    """Whether it has four dimensions, or is (batch, height, width): an open number of grey images of known size."""
    shape = tensor.shape
    is_grey = shape.rank == 3 and shape[0] is None and shape[1:].is_fully_defined()
    return is_number(tensor) and (shape.rank == 4 or is_grey)


def _suggestion(source: Source) -> str:
    """What to write where no input takes an image: a tensor further in, or an input whose shape is not known."""
    inner = _inner_images(source)
    if inner:
        first = dict(list(inner.items())[:LISTED])
        return (
            f"The first tensors of shape (batch, height, width, channels) that follow from them: {listed(first)}. "
            f'Write which takes the image: MODEL_INPUT = "{next(iter(first))}".'
        )
    for name, tensor in source.inputs.items():
        if tensor.shape.rank is None and is_number(tensor):
            return f'If {name} takes the image, write MODEL_INPUT = "{name}" and MODEL_INPUT_SIZE = {DEFAULT_SIZE}.'
    return 'Name the tensor of shape (batch, height, width, channels) where the image goes in: MODEL_INPUT = "name:0".'


def _inner_images(source: Source) -> dict[str, Any]:
    """What is made of the inputs before any learnt layer and has the shape of images of known size, in order."""
    following = set(after(source.inputs.values()))
    learnt = {operation for operation in following if operation.type in WEIGHTED}
    following -= learnt.union(after(output for operation in learnt for output in operation.outputs))
    return {
        tensor.name.removesuffix(":0"): tensor
        for operation in source.graph.get_operations()
        if operation in following
        for tensor in operation.outputs
        if tensor.shape.rank == 4 and tensor.shape[1:].is_fully_defined() and is_number(tensor)
        if tensor.dtype == tensor.dtype.base_dtype  # else it refers to a variable, which a saver's file name restores
    }
