"""What of a Keras model is explained: which input takes the image, which output gives the scores."""

from __future__ import annotations

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
Constant = np.ndarray[Any, Any]


@dataclass(frozen=True)
class View:
    """One image input and one output of a model, the rest filled in.

    Attributes:
        whole: the model itself.
        flat: the same as one graph.
        number: which of its outputs is explained.
        image: the input of `flat` that takes the image.
        shape: (height, width, channels) of the image, all defined.
        constants: what the inputs of `flat` are filled with, in their order; None for the image's.
        first: the `id` of every tensor of `flat` that is channels-first.
        inputs, outputs, output, assumptions: as in `ModelInfo`.
        output_classes: as in `Anatomy`.
    """

    whole: Any
    flat: Flat
    number: int
    image: Any
    shape: tuple[int, int, int]
    constants: list[Constant | None]
    first: set[int]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    output: str
    output_classes: dict[str, int | None]
    assumptions: tuple[Assumption, ...]

    @property
    def scores(self) -> Any:
        """The tensor (None, classes) of `flat` that is explained."""
        return self.flat.model.outputs[self.number]

    def feed(self, x: Any) -> list[Any]:
        """The values of all inputs, in their order, for images (n, height, width, channels)."""
        batch = tf.shape(x)[:1]
        x = tf.transpose(x, TO_FIRST) if id(self.image) in self.first else x
        return [
            x if constant is None else tf.broadcast_to(constant, tf.concat([batch, constant.shape], 0))
            for constant in self.constants
        ]

    def own(self, x: Any) -> Any:
        """The scores of images as the model itself computes them."""
        given, graph = self.feed(x), graph_of(self.whole)
        arranged = given[0] if graph is None else keras.tree.pack_sequence_as(graph._inputs_struct, given)
        return keras.tree.flatten(self.whole(arranged, training=False))[self.number]


def view(whole: Any, config: Config) -> View:
    """What of a model is explained, as MODEL_INPUT, MODEL_OTHER_INPUTS, MODEL_INPUT_SIZE and MODEL_OUTPUT say.

    Raises:
        NotSupported: no image input or no class scores.
        ConfigError: one of these settings names what is not there.
    """
    assumed: list[Assumption] = []
    network = _with_graph(whole)
    inputs = list(network.inputs)
    place = _image_input(inputs, config.MODEL_INPUT)
    constants = _constants(inputs, place, config.MODEL_OTHER_INPUTS, assumed)
    flat = _flat(network)
    first = image_layout(flat.tensors, flat.model.inputs[place]) == "channels_first"
    shape = _size(tuple(inputs[place].shape)[1:], first, config.MODEL_INPUT_SIZE, assumed)
    if any(None in tensor.shape[1:] for tensor in inputs):
        entering = (shape[2], *shape[:2]) if first else shape
        flat = _flat(network, [entering if constant is None else constant.shape for constant in constants])
    names, fitting = _output_names(network), _fitting(network.outputs)
    number = _output(network, config.MODEL_OUTPUT, assumed)
    image = flat.model.inputs[place]
    return View(
        whole,
        flat,
        number,
        image,
        shape,
        constants,
        channels_first(flat.tensors, image),
        inputs=tuple(
            ModelInput(tensor.name, tuple(tensor.shape)[1:], _filling(constant))
            for tensor, constant in zip(inputs, constants, strict=True)
        ),
        outputs=tuple(names[index] for index in fitting),
        output=names[number],
        output_classes={names[index]: int(network.outputs[index].shape[1]) for index in fitting},
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
    shape: tuple[int | None, ...], first: bool, wanted: tuple[int, int] | None, assumed: list[Assumption]
) -> tuple[int, int, int]:
    """The image's (height, width, channels), of an input that may be channels-first and may leave sizes open."""
    channels, height, width = shape if first else (shape[2], *shape[:2])
    if channels is None:
        raise NotSupported(f"The model's input is {shape}: the number of its channels is not defined.")
    if wanted is not None and any(size not in (None, want) for size, want in zip((height, width), wanted, strict=True)):
        raise ConfigError(
            f"MODEL_INPUT_SIZE = {wanted}: this model takes {(height, width)} only. Remove the line.",
            field="MODEL_INPUT_SIZE",
        )
    if wanted is None and None in (height, width):
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
    inputs: list[Any], image: int, given: dict[str, float | list[float]], assumed: list[Assumption]
) -> list[Constant | None]:
    """What each input is filled with, without the batch dimension; None for the image's."""
    others = [tensor for index, tensor in enumerate(inputs) if index != image]
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
    return [values.get(tensor.name) for tensor in inputs]


def _constant(tensor: Any, value: float | list[float]) -> Constant:
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


def _filling(constant: Constant | None) -> str:
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
                    f'MODEL_OUTPUT = "{first}"',
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
