"""What of a Keras model is explained: which input takes the image, which output gives scores, where its logits are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported

DEFAULT_SIZE = (224, 224)
WANTED_OUTPUT = "Picasso explains one score per class, (images, classes)."
IMAGE_RANK = 4  # (images, height, width, channels)


@dataclass(frozen=True)
class View:
    """One image input and one output of a model, the rest filled in.

    Attributes:
        network: the model with that one output.
        shape: (height, width, channels) of the image, all defined.
        classes: how many scores.
        feed: makes of a batch of images what `network` takes.
        warnings: what was assumed, one sentence each with the line to write.
    """

    network: Any
    shape: tuple[int, int, int]
    classes: int
    feed: Callable[[Any], Any]
    warnings: tuple[str, ...]


def view(network: Any, config: Config) -> View:
    """What of `network` is explained, as MODEL_INPUT, MODEL_OTHER_INPUTS, MODEL_INPUT_SIZE and MODEL_OUTPUT say.

    Raises:
        NotSupported: no image input or no class scores.
        ConfigError: one of these settings names what is not there.
    """
    warnings: list[str] = []
    network = _with_graph(network, config)
    inputs = list(network.inputs)
    image = _image_input(inputs, config.MODEL_INPUT)
    shape = _size(tuple(inputs[image].shape)[1:], config.MODEL_INPUT_SIZE, warnings)
    constants = _constants(inputs, image, config.MODEL_OTHER_INPUTS, warnings)
    output = _output(network, config.MODEL_OUTPUT, warnings)
    if len(inputs) > 1 or len(network.outputs) > 1:
        network = keras.Model(inputs, network.outputs[output], name=network.name)

    def feed(x: Any) -> Any:
        parts = [
            x
            if constant is None
            else tf.broadcast_to(tf.constant(constant), tf.concat([tf.shape(x)[:1], constant.shape], 0))
            for constant in constants
        ]
        return parts if len(parts) > 1 else parts[0]

    return View(network, shape, int(network.outputs[0].shape[1]), feed, tuple(warnings))


def _with_graph(network: Any, config: Config) -> Any:
    """A subclassed model has no inputs of its own: it becomes the one layer of a model that has."""
    if getattr(network, "inputs", None) and getattr(network, "outputs", None):
        return network
    shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
    if not isinstance(shape, list | tuple) or len(shape) != IMAGE_RANK or shape[-1] is None:
        raise NotSupported("The model has no defined input: build it, or save it after calling it once.")
    image = keras.Input(tuple(shape[1:]), name="image")
    return keras.Model(image, network(image, training=False))


def _image_input(inputs: list[Any], wanted: str | None) -> int:
    names = [tensor.name for tensor in inputs]
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(
                f"MODEL_INPUT = {wanted!r}: the model's inputs are {', '.join(names)}.", field="MODEL_INPUT"
            )
        found = [names.index(wanted)]
    else:
        found = [index for index, tensor in enumerate(inputs) if len(tensor.shape) == IMAGE_RANK]
    if len(found) > 1:
        choices = ", ".join(names[index] for index in found)
        raise ConfigError(
            f'The model has several image inputs: {choices}. Write MODEL_INPUT = "{names[found[0]]}" for the one that '
            "takes the image.",
            field="MODEL_INPUT",
        )
    if not found or len(inputs[found[0]].shape) != IMAGE_RANK:
        shapes = ", ".join(f"{tensor.name} {tuple(tensor.shape)[1:]}" for tensor in inputs)
        raise NotSupported(f"No input of the model takes an image, (height, width, channels): it has {shapes}.")
    return found[0]


def _size(shape: tuple[int | None, ...], wanted: tuple[int, int] | None, warnings: list[str]) -> tuple[int, int, int]:
    height, width, channels = shape
    if channels is None:
        raise NotSupported(f"The model's input is {shape}: the number of its channels is not defined.")
    if wanted is not None and any(size not in (None, want) for size, want in zip(shape, wanted, strict=False)):
        raise ConfigError(
            f"MODEL_INPUT_SIZE = {wanted}: this model takes {(height, width)} only. Remove the line.",
            field="MODEL_INPUT_SIZE",
        )
    if wanted is None and None in shape:
        wanted = DEFAULT_SIZE
        warnings.append(
            f"The model takes pictures of any size; {wanted[0]} x {wanted[1]} is used. Write MODEL_INPUT_SIZE = "
            f"({wanted[0]}, {wanted[1]}) with the (height, width) that it was trained on."
        )
    if wanted is not None:
        height, width = height or wanted[0], width or wanted[1]
    return int(height or 0), int(width or 0), int(channels)


def _constants(
    inputs: list[Any], image: int, given: dict[str, float | list[float]], warnings: list[str]
) -> list[np.ndarray[Any, Any] | None]:
    names = [tensor.name for index, tensor in enumerate(inputs) if index != image]
    for name in given:
        if name not in names:
            others = ", ".join(names) or "none"
            raise ConfigError(
                f"MODEL_OTHER_INPUTS names {name}; the inputs besides the image are: {others}.",
                field="MODEL_OTHER_INPUTS",
            )
    return [None if index == image else _constant(tensor, given, warnings) for index, tensor in enumerate(inputs)]


def _constant(tensor: Any, given: dict[str, float | list[float]], warnings: list[str]) -> np.ndarray[Any, Any]:
    shape = tuple(size or 1 for size in tuple(tensor.shape)[1:])
    if tensor.dtype == "string":
        raise NotSupported(f"The model's input {tensor.name} takes text; Picasso can fill in numbers only.")
    if tensor.name not in given:
        zeros = "0.0" if not shape else str([0.0] * shape[-1]) if len(shape) == 1 and shape[0] <= 4 else "[...]"
        warnings.append(
            f"The input {tensor.name} {shape} is filled with zeros. Write MODEL_OTHER_INPUTS = "
            f'{{"{tensor.name}": {zeros}}} with what it should be.'
        )
    try:
        return np.broadcast_to(np.asarray(given.get(tensor.name, 0)), shape).astype(tensor.dtype)
    except ValueError as error:
        raise ConfigError(
            f"MODEL_OTHER_INPUTS: {tensor.name} takes {shape} numbers, got {given[tensor.name]!r}.",
            field="MODEL_OTHER_INPUTS",
        ) from error


def _output(network: Any, wanted: str | int | None, warnings: list[str]) -> int:
    outputs, names = list(network.outputs), _output_names(network)
    fitting = [i for i, tensor in enumerate(outputs) if len(tensor.shape) == 2 and tensor.shape[1] is not None]
    if wanted is None:
        if not fitting:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in outputs)
            raise NotSupported(
                f"The model's output is {shapes}; Picasso explains one score per class, (images, classes)."
            )
        others = [f"{index} ({name})" for index, name in enumerate(names) if index != fitting[0]]
        if others:
            warnings.append(
                f"The model has several outputs; {names[fitting[0]]} is explained. The others are {', '.join(others)}: "
                f"write MODEL_OUTPUT = {0 if fitting[0] else 1} for another one."
            )
        return fitting[0]
    listed = [str(index) for index in range(len(outputs))]
    if str(wanted) not in names + listed:
        choices = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
        raise ConfigError(f"MODEL_OUTPUT = {wanted!r}: the model's outputs are {choices}.", field="MODEL_OUTPUT")
    index = names.index(str(wanted)) if str(wanted) in names else int(wanted)
    if index not in fitting:
        raise NotSupported(f"The model's output {names[index]} is {tuple(outputs[index].shape)}; {WANTED_OUTPUT}")
    return index


def _output_names(network: Any) -> list[str]:
    struct = getattr(network, "_outputs_struct", None)
    if isinstance(struct, dict):
        return sorted(struct)
    return [tensor._keras_history.operation.name for tensor in network.outputs]


def with_logits(network: Any) -> Any | None:
    """A model with the weights of `network` that gives [scores, values before the final softmax].

    A softmax inside the last nested model is found there, at any depth; nothing is computed twice. None without one.
    """
    try:
        ends = _before_softmax(network.outputs[0])
    except (AttributeError, ValueError, IndexError):  # a graph that Keras cannot rebuild
        return None
    return None if ends is None else keras.Model(network.inputs, list(ends))


def _before_softmax(scores: Any) -> tuple[Any, Any] | None:
    """Two tensors of the same graph: the scores, and what their softmax was computed from."""
    operation, node, _ = scores._keras_history
    sources = operation._inbound_nodes[node].input_tensors
    activation = getattr(operation, "activation", None)
    if type(operation).__name__ == "Softmax" or getattr(operation, "function", "").endswith("nn.softmax"):
        return scores, sources[0]
    if activation is keras.activations.softmax:
        if isinstance(operation, keras.layers.Activation):
            return scores, sources[0]
        settings = operation.get_config() | {"activation": "linear", "name": f"{operation.name}_logits"}
        linear = type(operation).from_config(settings)
        logits = linear(sources[0] if len(sources) == 1 else sources)
        linear.set_weights(operation.get_weights())
        return scores, logits
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None) and len(operation.outputs) == 1:
        inner = with_logits(operation)
        if inner is not None:
            found, logits = inner(sources[0] if len(sources) == 1 else list(sources))
            return found, logits
    return None


def final_activation(network: Any) -> Any:
    """The activation of the layer that gives the scores, inside nested models too; None where there is none."""
    if not getattr(network, "outputs", None):
        return None
    operation = network.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model):
        return final_activation(operation)
    return getattr(operation, "activation", None)
