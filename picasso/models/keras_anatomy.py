"""What a Keras graph is made of: layers that give maps, convolutions, and what enters the first learnt layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from picasso.models.anatomy import Kernel
from picasso.models.info import Layer
from picasso.models.keras_flat import Flat
from picasso.models.keras_history import leading_to, node_of
from picasso.models.keras_layout import layer_of
from picasso.models.keras_operations import TensorFlowOperation

MAP_RANK = 4  # (images, height, width, channels)
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
CONVOLVING_FUNCTIONS = frozenset({"Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"})  # of keras.ops
Compute = Callable[[list[Any]], list[Any]]


def layers(flat: Flat, image: Any, scores: Any, first: set[int], compute: Compute) -> Iterator[Layer]:
    """Those between image and scores whose output is a map of floats, from the image on.

    Args:
        image, scores: Keras tensors of `flat`.
        first: the `id` of those that are channels-first.
        compute: gives the values of Keras tensors for some image; asked where Keras leaves a size open.
    """
    maps = find_maps(flat, image, scores)
    shapes = {path: tuple(tensor.shape)[1:] for path, tensor in maps.items()}
    undefined = [path for path, shape in shapes.items() if None in shape]
    if undefined:
        values = compute([maps[path] for path in undefined])
        shapes |= {path: tuple(value.shape)[1:] for path, value in zip(undefined, values, strict=True)}
    for path, tensor in maps.items():
        operation, shape = layer_of(node_of(tensor).operation), shapes[path]
        shape = (*shape[1:], shape[0]) if id(tensor) in first else shape
        yield Layer(path, _kind(operation), shape, _convolves(operation))


def find_maps(flat: Flat, image: Any, scores: Any) -> dict[str, Any]:
    """The Keras tensors between image and scores that are maps of floats, by path."""
    return {
        path: tensor
        for path, tensor in between(flat, image, scores)
        if len(tensor.shape) == MAP_RANK and keras.backend.is_float_dtype(tensor.dtype)
    }


def kernels(operations: Iterable[Any]) -> Iterator[Kernel]:
    """The kernels of every 2-D convolution, those inside other layers included, each once."""
    found = dict.fromkeys(part for operation in operations for part in _parts(layer_of(operation)))
    for layer in found:
        stride = layer.strides[0] if isinstance(layer, CONVOLUTIONS) else 1
        if isinstance(layer, keras.layers.SeparableConv2D):
            yield _depthwise(layer.depthwise_kernel.shape, stride)
            yield _full(layer.pointwise_kernel.shape, 1)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            yield _depthwise(layer.kernel.shape, stride)
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            height, width, outputs, inputs = layer.kernel.shape
            yield _full((height, width, inputs, outputs), stride)
        elif isinstance(layer, keras.layers.Conv2D):
            yield _full(layer.kernel.shape, stride)


def entrance(flat: Flat, image: Any, scores: Any) -> Any | None:
    """The tensor that the first layer with learnt weights on the way from the image is given.

    Rescaling, Normalization, arithmetic, casts, padding and augmentation have learnt nothing. None where no layer has,
    or where the first one is a model that Keras has no graph of: it may scale the image itself.
    """
    for _, tensor in between(flat, image, scores):
        node = node_of(tensor)
        layer = layer_of(node.operation)
        if not getattr(layer, "weights", ()) or isinstance(layer, keras.layers.Normalization):
            continue
        return None if isinstance(layer, keras.Model) else _from_image(image, node)
    return None


def weight_bytes(network: Any) -> int:
    """The bytes that all weights of a model take."""
    return sum(int(weight.value.dtype.size) * int(weight.value.shape.num_elements()) for weight in network.weights)


def between(flat: Flat, image: Any, scores: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that follow from `image` and lead to `scores`, both included, in topological order."""
    leading = set(leading_to([scores]))
    reached = {id(image)}
    for path, tensor in flat.tensors.items():
        node = node_of(tensor)
        if node in leading and any(id(entering) in reached for entering in node.input_tensors):
            reached.add(id(tensor))
            yield path, tensor


def _from_image(image: Any, node: Any) -> Any:
    """The first of what enters a call that follows from the image."""
    for tensor in node.input_tensors:
        if tensor is image or any(other is image for one in leading_to([tensor]) for other in one.outputs):
            return tensor
    return None


def _kind(operation: Any) -> str:
    return f"tf.{operation.function}" if isinstance(operation, TensorFlowOperation) else type(operation).__name__


def _convolves(operation: Any) -> bool:
    if isinstance(operation, TensorFlowOperation):
        return "conv2d" in operation.function
    while isinstance(operation, keras.layers.Wrapper):  # SpectralNormalization(Conv2D(...))
        operation = operation.layer
    return isinstance(operation, CONVOLUTIONS) or type(operation).__name__ in CONVOLVING_FUNCTIONS


def _parts(operation: Any) -> Iterable[Any]:
    """A layer and those inside it; nothing for an operation that is no layer."""
    parts: Iterable[Any] = operation._flatten_layers() if isinstance(operation, keras.layers.Layer) else ()
    return parts


def _full(shape: tuple[int, int, int, int], stride: int) -> Kernel:
    height, width, inputs, outputs = shape
    return Kernel("full", height, width, inputs, outputs, stride)


def _depthwise(shape: tuple[int, int, int, int], stride: int) -> Kernel:
    height, width, inputs, multiplier = shape
    return Kernel("depthwise", height, width, inputs, inputs * multiplier, stride)
