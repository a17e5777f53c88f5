"""The TensorFlow adapter: SavedModels, frozen TF1 graphs, TF1 checkpoints. For worker processes only.

Whatever the file is, it becomes a graph of constants (`graphs`); its ends (`graph_search`) and layers (`graph_layers`)
are found, and it is run on images in one session (`graph_network`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from picasso.config import Config
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.anatomy import Anatomy
from picasso.models.base import Model
from picasso.models.examination import decoder, describe, examine, preprocessor, probe, rounding
from picasso.models.graph_files import FORMATS, find_graph_files
from picasso.models.graph_layers import find_layers, first_weighted, kernels
from picasso.models.graph_layout import TO_LAST, channels_first
from picasso.models.graph_learnt import learnt
from picasso.models.graph_network import SIZED, Network
from picasso.models.graph_search import Ends, find_ends
from picasso.models.graph_walks import behind
from picasso.models.graphs import Source, first_line, open_graph, portable
from picasso.models.info import Assumption, Layer
from picasso.models.open_inputs import assumed_size
from picasso.models.pixels import find_pixels
from picasso.models.preprocessing import FloatArray
from picasso.models.shuffling import shuffled


class TensorFlowModel(Model):
    """A TensorFlow graph with one image input and one output of class scores.

    Raises:
        ModelError: the files cannot be opened; the sentence says why and what to do.
        ConfigError: several inputs, outputs or signatures fit, or a name of the config does not.
        NotSupported: the input is no image, or the output no scores.
    """

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        files = find_graph_files(path, config.MODEL_CHECKPOINT)
        source = open_graph(files, config)
        ends = find_ends(source, config)
        anatomy = self._build(source, ends, config, FORMATS[files.format])
        pixels = find_pixels(config, anatomy)
        self.preprocessor = preprocessor(pixels.preprocess, anatomy.shape)
        logits, sigmoid = ends.logits is not None, ends.sigmoid
        outputs = [tensor.dtype for operation in self._network.way() for tensor in operation.outputs]
        coarsest = rounding(dtype.as_numpy_dtype for dtype in outputs if dtype.is_floating)
        examined = examine(
            self,
            anatomy.shape,
            self.preprocessor,
            logits=logits,
            sigmoid=sigmoid,
            rounding=coarsest,
            coarsest=coarsest,
            whole=anatomy.whole,
        )
        self.info = describe(
            config,
            path,
            framework="tensorflow",
            anatomy=anatomy,
            pixels=pixels,
            examined=examined,
            guided=not self._network.no_guided("logits" in examined.capabilities),
            versions=(("tensorflow", tf.__version__),),
            files=files.files,
        )
        self.own_decode = decoder(config, self.info.classes)

    def _build(self, source: Source, ends: Ends, config: Config, kind: str) -> Anatomy:
        """Makes what runs the graph, and tells what was read from it. Keeps nothing of `source`."""
        first = channels_first(ends.image, ends.way)
        shape, assumed = _shape(ends, ends.image.name in first, config)
        spots = find_layers(ends.way, ends.image)
        entering = first_weighted(ends.way, ends.image)
        graph_def = portable(source.freeze([ends.scores.op.name]))
        constants = {name: _constant(ends.values[name], tensor, name) for name, tensor in ends.others.items()}
        try:
            self._network = network = Network(graph_def, ends, shape, first, constants)
            classes = _classes(network, shape)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise ModelError(
                f"The model cannot compute scores of images {shape} with TensorFlow {tf.__version__}: "
                f"{first_line(error)} Check MODEL_INPUT, MODEL_OUTPUT and MODEL_INPUT_SIZE."
            ) from error
        self._learnt = learnt(network.way())
        images = network.batch or SIZED
        layers = {
            spot.tensor: Layer(spot.path, spot.kind, (size[1], size[2], size[3]), spot.convolution)
            for spot, size in zip(spots, network.sizes([spot.tensor for spot in spots]), strict=True)
            if size is not None and len(size) == 4 and size[0] == images and all(size)
        }
        self._tensors = {layer.path: tensor for tensor, layer in layers.items()}
        parameters, weight_bytes = _weights(graph_def, {one.name for one in behind([ends.scores.op], ends.image)})
        return Anatomy(
            shape,
            classes,
            parameters,
            weight_bytes,
            layers=tuple(layers.values()),
            kernels=kernels(ends.way),
            entrance=None if entering is None else _entrance(network, entering.name),
            inputs=ends.inputs,
            outputs=ends.outputs,
            output=ends.output,
            output_classes=ends.output_classes,
            format=kind,
            writer=source.writer,
            whole=network.whole,
            assumptions=(*assumed, *ends.assumptions),
        )

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]:
        return self._network.run([self._network.logits if logits else self._network.scores], x)[0]

    def _scores_beside(self, x: FloatArray, patience: float) -> NDArray[np.float32]:
        return self._scores(x, False)  # weights are replaced for the thread that shuffles them only

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        return self._backward([], None, x, classes, logits)[0]

    def _scored_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], logits: bool
    ) -> tuple[NDArray[np.float32], FloatArray]:
        end = self._network.logits if logits else self._network.scores
        scores, gradients = self._backward([end], None, x, classes, logits)
        return scores, gradients

    def _guided_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], signs: NDArray[np.float32], logits: bool
    ) -> FloatArray:
        reason = self._network.no_guided(logits)
        if reason:
            raise NotSupported(f"{self.info.name}: {reason}")
        return self._backward([], None, x, classes, logits, signs, guided=True)[0]

    def _activations(self, x: FloatArray, layer: str) -> FloatArray:
        return self._network.run([self._network.maps(self._tensors[layer])], x)[0]

    def _layer_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], layer: str, logits: bool
    ) -> tuple[FloatArray, FloatArray]:
        maps = self._network.maps(self._tensors[layer])
        activations, gradients = self._backward([maps], self._tensors[layer], x, classes, logits)
        return activations, gradients

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """As in `Model`: what begins with a convolution, a matrix product or a normalisation is a layer here."""
        return tuple(self._learnt)

    @contextmanager
    def _shuffle(self, layers: tuple[str, ...], seed: int) -> Iterator[None]:
        """As in `Model`: the graph's constants stay, the session is given others."""
        chosen = [name for path in layers for name in self._learnt[path]]
        every = [name for names in self._learnt.values() for name in names]
        values = dict(zip(every, self._network.values(every), strict=True))
        values |= zip(chosen, shuffled([values[name] for name in chosen], seed), strict=True)
        with self._network.replaced(values):
            yield

    def _backward(
        self,
        more: list[Any],
        tensor: str | None,
        x: FloatArray,
        classes: NDArray[np.int64],
        logits: bool,
        signs: NDArray[np.float32] | None = None,
        *,
        guided: bool = False,
    ) -> list[FloatArray]:
        """The values of `more`, and last the gradient with respect to a layer's tensor, or to the images (None)."""
        try:
            gradient = self._network.gradient(tensor, logits, guided)
            if gradient is None:
                what = "its input" if tensor is None else f"the layer {tensor.removesuffix(':0')}"
                raise NotSupported(f"{self.info.name}: its scores cannot be differentiated with respect to {what}.")
            return self._network.run([*more, gradient], x, classes, signs)
        except (LookupError, tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as error:
            raise NotSupported(
                f"{self.info.name} has no gradients: TensorFlow cannot differentiate one of its operations "
                f"({first_line(error)})"
            ) from error


def _classes(network: Network, shape: tuple[int, int, int]) -> int:
    """Finds out by running how many classes there are, and whether the graph takes several images at once."""
    images = probe(shape, network.whole)
    try:
        scores = _probed(network, images)
    except (tf.errors.OpError, NotSupported):
        if network.batch is not None:
            raise
        network.batch = 1  # some graphs have an open batch, but reshape to one image
        scores = _probed(network, images)
    return int(scores.shape[1])


def _probed(network: Network, images: FloatArray) -> FloatArray:
    (scores,) = network.run([network.scores], images)
    if scores.ndim != 2 or len(scores) != len(images):
        raise NotSupported(
            f"The model's output is {scores.shape} for {len(images)} images; Picasso explains one score per class, "
            "(images, classes). Another output: MODEL_OUTPUT."
        )
    return scores


def _entrance(network: Network, name: str) -> Callable[[FloatArray], FloatArray]:
    return lambda images: network.run([network.maps(name)], images)[0]


def _shape(ends: Ends, first: bool, config: Config) -> tuple[tuple[int, int, int], tuple[Assumption, ...]]:
    """(height, width, channels) of what a graph takes, and what was assumed; `first`: it has the channels first."""
    height, width, channels = _sizes(ends, first)
    size = config.MODEL_INPUT_SIZE
    if size is not None and (height or size[0], width or size[1]) != size:
        raise ConfigError(
            f"MODEL_INPUT_SIZE = {size}, but the model takes images of ({height}, {width}). Leave it out.",
            field="MODEL_INPUT_SIZE",
        )
    if size is None and None in (height, width):
        size, assumption = assumed_size(height, width)
        return (*size, channels), (assumption,)
    return (*(size or (int(height or 0), int(width or 0))), channels), ()


def _sizes(ends: Ends, first: bool) -> tuple[int | None, int | None, int]:
    """(height, width, channels) of the image input, where the graph tells them."""
    shape = ends.image.shape
    if shape.rank == 3:
        return shape[1], shape[2], 1
    height, width, channels = (
        None if shape.rank is None else shape[axis] for axis in (TO_LAST[1:] if first else (1, 2, 3))
    )
    # Where the input leaves the channels open, the first convolution has them; images have three.
    return height, width, channels or next((kernel.inputs for kernel in kernels(ends.way)), 3)


def _constant(value: float | list[float], tensor: Any, name: str) -> Callable[[Any], Any]:
    """What gives another input's value for a batch: as it is, or repeated to fill the input's shape."""
    array = np.asarray(value, tensor.dtype.as_numpy_dtype)
    shape = tensor.shape
    if shape.rank is None or shape.is_compatible_with(array.shape):
        return lambda batch: tf.constant(array)
    try:
        filled = np.broadcast_to(array, [size or 1 for size in shape])
    except ValueError as error:
        wanted = tuple(shape[1:]) if shape.rank else "one number"
        raise ConfigError(
            f"MODEL_OTHER_INPUTS: {name} must be {wanted} (without the batch dimension), got {value}.",
            field="MODEL_OTHER_INPUTS",
        ) from error
    if shape[0] is not None:
        return lambda batch: tf.constant(filled)
    return lambda batch: tf.broadcast_to(tf.constant(filled[0]), tf.concat([[batch], filled.shape[1:]], 0))


def _weights(graph_def: Any, names: set[str]) -> tuple[int, int]:
    """How many numbers the graph's float constants hold, those without a dimension aside, and the bytes they take."""
    parameters = weight_bytes = 0
    for node in graph_def.node:
        if node.op != "Const" or node.name not in names:
            continue
        kind, shape = tf.as_dtype(node.attr["dtype"].type), node.attr["value"].tensor.tensor_shape.dim
        if kind.is_floating and shape:
            count = math.prod(dimension.size for dimension in shape)
            parameters, weight_bytes = parameters + count, weight_bytes + count * kind.size
    return parameters, weight_bytes
