"""What of a Keras model is explained: which input takes the image, which output gives the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from picasso.config import Config
from picasso.errors import ConfigError, NotSupported
from picasso.models.info import Assumption, ModelInput
from picasso.models.keras_flat import Flat, as_it_is, flatten, graph_of
from picasso.models.keras_layout import TO_FIRST, channels_first, image_layout

DEFAULT_SIZE = (224, 224)
WANTED_OUTPUT = "Picasso explains one score per class, (images, classes)."
IMAGE_RANK = 4  # (images, height, width, channels)
SPELLED_OUT = 4  # so many numbers are written one by one


@dataclass(frozen=True)
class View:
    """One image input and one output of a model, the rest filled in.

    Attributes:
        flat: the model with that one output, as one graph.
        image: the input of `flat` that takes the image.
        shape: (height, width, channels) of the image, all defined.
        first: the `id` of every tensor of `flat` that is channels-first.
        feed: makes of a batch of images the values of all inputs of `flat`, in their order.
        own: the scores of a batch of images as the model itself computes them.
        inputs, outputs, output, assumptions: as in `ModelInfo`.
    """

    flat: Flat
    image: Any
    shape: tuple[int, int, int]
    first: set[int]
    feed: Callable[[Any], list[Any]]
    own: Callable[[Any], Any]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    output: str
    assumptions: tuple[Assumption, ...]

    @property
    def scores(self) -> Any:
        """The tensor (None, classes) of `flat` that is explained."""
        return self.flat.model.outputs[0]


def view(network: Any, config: Config) -> View:
    """What of `network` is explained, as MODEL_INPUT, MODEL_OTHER_INPUTS, MODEL_INPUT_SIZE and MODEL_OUTPUT say.

    Raises:
        NotSupported: no image input or no class scores.
        ConfigError: one of these settings names what is not there.
    """
    assumed: list[Assumption] = []
    whole, network = network, _with_graph(network)
    inputs = list(network.inputs)
    image = _image_input(inputs, config.MODEL_INPUT)
    others = [tensor for tensor in inputs if tensor is not inputs[image]]
    constants = _constants(others, config.MODEL_OTHER_INPUTS, assumed)
    names, fitting = _output_names(network), _fitting(network.outputs)
    output = _output(network, config.MODEL_OUTPUT, assumed)
    if len(inputs) > 1 or len(network.outputs) > 1:
        network = keras.Model(inputs, network.outputs[output], name=network.name)
    filled = [constants.get(tensor.name) for tensor in inputs]
    flat = _flat(network)
    is_first = image_layout(flat.tensors, flat.model.inputs[image]) == "channels_first"
    order = (1, 2, 0) if is_first else (0, 1, 2)
    sizes = tuple(inputs[image].shape)[1:]
    shape = _size(tuple(sizes[axis] for axis in order), config.MODEL_INPUT_SIZE, assumed)
    if any(None in tensor.shape[1:] for tensor in inputs):
        entering = (shape[2], *shape[:2]) if is_first else shape
        flat = _flat(network, [entering if constant is None else constant.shape for constant in filled])

    def feed(x: Any) -> list[Any]:
        batch = tf.shape(x)[:1]
        x = tf.transpose(x, TO_FIRST) if is_first else x
        return [
            x if constant is None else tf.broadcast_to(constant, tf.concat([batch, constant.shape], 0))
            for constant in filled
        ]

    def own(x: Any) -> Any:
        graph = graph_of(whole)
        given = feed(x)[0] if graph is None else keras.tree.pack_sequence_as(graph._inputs_struct, feed(x))
        return keras.tree.flatten(whole(given, training=False))[output]

    return View(
        flat,
        flat.model.inputs[image],
        shape,
        channels_first(flat.tensors, flat.model.inputs[image]),
        feed,
        own,
        inputs=tuple(
            ModelInput(tensor.name, tuple(tensor.shape)[1:], _filling(constants.get(tensor.name))) for tensor in inputs
        ),
        outputs=tuple(names[index] for index in fitting),
        output=names[output],
        assumptions=tuple(assumed),
    )


def _flat(network: Any, sizes: list[tuple[int, ...]] | None = None) -> Flat:
    try:
        return flatten(network, sizes)
    except NotSupported:  # less can be seen of it, and what can is right
        return as_it_is(network)


def _with_graph(network: Any) -> Any:
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


def _size(
    shape: tuple[int | None, ...], wanted: tuple[int, int] | None, assumed: list[Assumption]
) -> tuple[int, int, int]:
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
        assumed.append(
            Assumption(
                f"The model takes pictures of any size: {wanted[0]} x {wanted[1]} (height x width) is used.",
                f"MODEL_INPUT_SIZE = {wanted}",
            )
        )
    if wanted is not None:
        height, width = height or wanted[0], width or wanted[1]
    return int(height or 0), int(width or 0), int(channels)


def _constants(
    others: list[Any], given: dict[str, float | list[float]], assumed: list[Assumption]
) -> dict[str, np.ndarray[Any, Any]]:
    """What each input besides the image is filled with, by its name, without the batch dimension."""
    names = [tensor.name for tensor in others]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"MODEL_OTHER_INPUTS names {name}; the inputs besides the image are: {', '.join(names) or 'none'}.",
                field="MODEL_OTHER_INPUTS",
            )
    values = {tensor.name: _constant(tensor, given.get(tensor.name, 0.0)) for tensor in others}
    missing = [name for name in names if name not in given]
    if missing:
        which = ", ".join(f"{name} {values[name].shape}" for name in missing)
        every = ", ".join(f'"{name}": {given.get(name) or _zeros(values[name].shape)}' for name in names)
        what = f"input {which} is" if len(missing) == 1 else f"inputs {which} are"
        assumed.append(Assumption(f"The {what} filled with zeros.", f"MODEL_OTHER_INPUTS = {{{every}}}"))
    return values


def _constant(tensor: Any, value: float | list[float]) -> np.ndarray[Any, Any]:
    shape = tuple(size or 1 for size in tuple(tensor.shape)[1:])
    if tensor.dtype == "string":
        raise NotSupported(f"The model's input {tensor.name} takes text; Picasso can fill in numbers only.")
    try:
        return np.broadcast_to(np.asarray(value), shape).astype(tensor.dtype)
    except ValueError as error:
        raise ConfigError(
            f"MODEL_OTHER_INPUTS: {tensor.name} takes {shape} numbers, got {value!r}.",
            field="MODEL_OTHER_INPUTS",
        ) from error


def _zeros(shape: tuple[int, ...]) -> str:
    """A zero as one writes it: one for each number where there are few, else one for all."""
    return str([0.0] * shape[0]) if len(shape) == 1 and shape[0] <= SPELLED_OUT else "0.0"


def _filling(constant: np.ndarray[Any, Any] | None) -> str:
    """A constant as pages show it; "" for the image's input, which has none."""
    if constant is None:
        return ""
    if constant.size and (constant == constant.flat[0]).all():
        return f"{constant.flat[0]:g}"
    return np.array2string(constant, separator=", ", threshold=SPELLED_OUT)


def _fitting(outputs: list[Any]) -> list[int]:
    """Which outputs are (images, classes)."""
    return [i for i, tensor in enumerate(outputs) if len(tensor.shape) == 2 and tensor.shape[1] is not None]


def _output(network: Any, wanted: str | int | None, assumed: list[Assumption]) -> int:
    outputs, names = list(network.outputs), _output_names(network)
    fitting = _fitting(outputs)
    if wanted is None:
        if not fitting:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in outputs)
            raise NotSupported(f"The model's output is {shapes}; {WANTED_OUTPUT}")
        first, *others = [names[index] for index in fitting]
        if others:
            assumed.append(
                Assumption(
                    f"The model has several outputs: {first} is explained. Others are {', '.join(others)}.",
                    f'MODEL_OUTPUT = "{others[0]}"',
                )
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
