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
from picasso.models.keras_flat import Flat, arranged, as_it_is, flatten, graph_of
from picasso.models.keras_layout import TO_FIRST, channels_first, image_layout
from picasso.models.keras_logits import is_row, one_row
from picasso.models.open_inputs import SPELLED_OUT, assumed_size, assumed_zeros

WANTED_OUTPUT = "Picasso explains one score per class, (images, classes)."
IMAGE_RANK = 4  # (images, height, width, channels)
GREYSCALE_RANK = 3  # (images, height, width)
Constant = np.ndarray[Any, Any]


@dataclass(frozen=True)
class View:
    """One image input and one output of a model, the rest filled in.

    Attributes:
        whole: the model itself.
        flat: the same as one graph.
        number: which of its outputs is explained.
        image: the input of `flat` that takes the image.
        scores: the tensor (None, classes) that is explained: an output of `flat`, without axes of one value.
        shape: (height, width, channels) of the image, all defined; one channel where `image` has no axis for it.
        constants: what the inputs of `flat` are filled with, in their order; None for the image's.
        first: the `id` of every tensor of `flat` that is channels-first.
        inputs, outputs, output, assumptions: as in `ModelInfo`.
        output_classes: as in `Anatomy`.
    """

    whole: Any
    flat: Flat
    number: int
    image: Any
    scores: Any
    shape: tuple[int, int, int]
    constants: list[Constant | None]
    first: set[int]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    output: str
    output_classes: dict[str, int | None]
    assumptions: tuple[Assumption, ...]

    @property
    def takes_pictures(self) -> bool:
        """Whether the image's input is (images, height, width, channels) itself."""
        return not self.first and len(self.image.shape) == IMAGE_RANK

    def feed(self, x: Any) -> list[Any]:
        """The values of all inputs, in their order, for images (n, height, width, channels)."""
        batch = tf.shape(x)[:1]
        x = tf.transpose(x, TO_FIRST) if id(self.image) in self.first else x
        x = tf.squeeze(x, -1) if len(self.image.shape) == GREYSCALE_RANK else x
        return [
            x if constant is None else tf.broadcast_to(constant, tf.concat([batch, constant.shape], 0))
            for constant in self.constants
        ]

    def own(self, x: Any) -> Any:
        """The scores of images as the model itself computes them."""
        scores = keras.tree.flatten(self.whole(arranged(self.whole, self.feed(x)), training=False))[self.number]
        return tf.reshape(scores, (-1, self.scores.shape[1]))


def view(whole: Any, config: Config) -> View:
    """What of a model is explained, as MODEL_INPUT, MODEL_OTHER_INPUTS, MODEL_INPUT_SIZE and MODEL_OUTPUT say.

    Raises:
        NotSupported: no image input or no class scores.
        ConfigError: one of these settings names what is not there.
    """
    assumed: list[Assumption] = []
    network = _with_graph(whole)
    inputs = list(network.inputs)
    place = _image_input(inputs, config.MODEL_INPUT, assumed)
    constants = _constants(inputs, place, config.MODEL_OTHER_INPUTS, assumed)
    flat = _flat(network)
    first = image_layout(flat.tensors, flat.model.inputs[place]) == "channels_first"
    sizes = tuple(inputs[place].shape)[1:]
    is_greyscale = len(sizes) + 1 == GREYSCALE_RANK
    shape = _size((*sizes, 1) if is_greyscale else sizes, first, config.MODEL_INPUT_SIZE, assumed)
    if any(None in tensor.shape[1:] for tensor in inputs):
        entering = (shape[2], *shape[:2]) if first else shape[: len(sizes)]
        flat = _flat(network, [entering if constant is None else constant.shape for constant in constants])
    names, outputs = _output_names(network), list(flat.model.outputs)
    fitting = _fitting(outputs)
    number = _output(names, outputs, config.MODEL_OUTPUT, assumed)
    image = flat.model.inputs[place]
    return View(
        whole,
        flat,
        number,
        image,
        one_row(outputs[number]),
        shape,
        constants,
        channels_first(flat.tensors, image),
        inputs=tuple(
            ModelInput(tensor.name, tuple(tensor.shape)[1:], _filling(constant))
            for tensor, constant in zip(inputs, constants, strict=True)
        ),
        outputs=tuple(names[index] for index in fitting),
        output=names[number],
        output_classes={names[index]: int(network.outputs[index].shape[-1]) for index in fitting},
        assumptions=tuple(assumed),
    )


def _flat(network: Any, sizes: list[tuple[int, ...]] | None = None) -> Flat:
    try:
        return flatten(network, sizes)
    except NotSupported:  # less can be seen of it, and what can is right
        return as_it_is(network)


def _with_graph(network: Any) -> Any:
    """A model whose `call` is its own has no graph that says what it computes: it becomes the one layer of another."""
    if graph_of(network) is not None:
        return network
    if getattr(network, "inputs", None):
        inputs = [
            keras.Input(tuple(tensor.shape)[1:], name=tensor.name, dtype=tensor.dtype) for tensor in network.inputs
        ]
    else:
        shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
        if not isinstance(shape, list | tuple) or len(shape) not in (IMAGE_RANK, GREYSCALE_RANK):
            raise NotSupported(
                "The model has no defined input: save it after calling it once, or call it once on an input, "
                "model(keras.Input(shape)), inside the function that MODEL_BUILD names."
            )
        inputs = [keras.Input(tuple(shape[1:]), name="image")]
    return keras.Model(inputs, network(arranged(network, inputs), training=False))


def _image_input(inputs: list[Any], wanted: str | None, assumed: list[Assumption]) -> int:
    """Which input takes the image: one with channels, else one that is (images, height, width)."""
    names = [tensor.name for tensor in inputs]
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(
                f"MODEL_INPUT = {wanted!r}: the model's inputs are {', '.join(names)}.", field="MODEL_INPUT"
            )
        found = [names.index(wanted)]
    else:
        of_rank = {
            rank: [index for index, tensor in enumerate(inputs) if len(tensor.shape) == rank]
            for rank in (IMAGE_RANK, GREYSCALE_RANK)
        }
        found = of_rank[IMAGE_RANK] or of_rank[GREYSCALE_RANK]
    if len(found) > 1:
        choices = ", ".join(names[index] for index in found)
        raise ConfigError(
            f'The model has several image inputs: {choices}. Write MODEL_INPUT = "{names[found[0]]}" for the one that '
            "takes the image.",
            field="MODEL_INPUT",
        )
    if not found or len(inputs[found[0]].shape) not in (IMAGE_RANK, GREYSCALE_RANK):
        shapes = ", ".join(f"{tensor.name} {tuple(tensor.shape)[1:]}" for tensor in inputs)
        raise NotSupported(f"No input of the model takes an image, (height, width, channels): it has {shapes}.")
    image = inputs[found[0]]
    if wanted is None and len(image.shape) == GREYSCALE_RANK:
        assumed.append(
            Assumption(
                f"The model's input {tuple(image.shape)[1:]} has no channels: it is given greyscale pictures, (height, "
                "width).",
                f'MODEL_INPUT = "{image.name}"',
            )
        )
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
        wanted, assumption = assumed_size(height, width)
        assumed.append(assumption)
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
    assumed.extend(assumed_zeros({name: value.shape for name, value in values.items()}, given))
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


def _filling(constant: Constant | None) -> str:
    """A constant as pages show it; "" for the image's input, which has none."""
    if constant is None:
        return ""
    if constant.size and (constant == constant.flat[0]).all():
        return f"{constant.flat[0]:g}"
    return np.array2string(constant, separator=", ", threshold=SPELLED_OUT)


def _fitting(outputs: list[Any]) -> list[int]:
    """Which outputs are (images, classes); behind them those that are so but for further axes of one value."""
    found = [index for index, tensor in enumerate(outputs) if is_row(tensor)]
    return sorted(found, key=lambda index: len(outputs[index].shape))


def _output(names: list[str], outputs: list[Any], wanted: str | int | None, assumed: list[Assumption]) -> int:
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
