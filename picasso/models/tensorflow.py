"""The TensorFlow adapter: SavedModels, frozen TF1 graphs, TF1 checkpoints. For worker processes only.

Whatever the file is, it becomes a graph of constants (`graphs`), whose ends are found (`graph_search`), and that is
pruned to one function from images to scores and logits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from picasso.config import Config
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.anatomy import Anatomy
from picasso.models.base import Model
from picasso.models.examination import decoder, describe, examine, preprocessor, probe
from picasso.models.graph_files import find_graph_files
from picasso.models.graph_search import Ends, find_ends
from picasso.models.graphs import first_line, open_graph, portable, wrap
from picasso.models.pixels import find_pixels
from picasso.models.preprocessing import FloatArray


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
        self._image = _entrance(ends)
        self._whole = bool(ends.image.dtype.is_integer)
        shape = _shape(ends.image, config)
        wanted = [ends.scores, *([] if ends.logits is None else [ends.logits]), self._image, *ends.others.values()]
        graph_def = portable(source.freeze([tensor.op.name for tensor in wanted]))
        self._prune(graph_def, ends, config)
        classes = self._compile(shape, ends.image.shape[0])
        anatomy = Anatomy(
            shape,
            classes,
            _parameters(graph_def, {operation.name for operation in ends.operations}),
            whole=self._whole,
            warnings=tuple(ends.notes),
        )
        pixels = find_pixels(config, anatomy)
        self.preprocessor = preprocessor(pixels.preprocess, shape)
        logits, sigmoid = ends.logits is not None, ends.sigmoid
        examined = examine(self, shape, self.preprocessor, logits=logits, sigmoid=sigmoid)
        self.info = describe(
            config,
            path,
            framework="tensorflow",
            anatomy=anatomy,
            pixels=pixels,
            examined=examined,
            versions=(("tensorflow", tf.__version__),),
            files=files.files,
        )
        self.own_decode = decoder(config, self.info.classes)

    def _prune(self, graph_def: Any, ends: Ends, config: Config) -> None:
        """Makes the function (image, constants of other inputs) to [scores] or [scores, logits]."""
        wrapped = wrap(graph_def)
        leaving = [ends.scores] if ends.logits is None else [ends.scores, ends.logits]
        self._outputs = len(leaving)
        feeds, fetches = (
            [wrapped.graph.get_tensor_by_name(tensor.name) for tensor in tensors]
            for tensors in ([self._image, *ends.others.values()], leaving)
        )
        self._function = wrapped.prune(feeds, fetches)
        self._constants = [_constant(config.MODEL_OTHER_INPUTS[name], ends.others[name], name) for name in ends.others]

    def _compile(self, shape: tuple[int, int, int], batch: int | None) -> int:
        """Traces once for all batch sizes, or for the only one that the graph takes; returns the number of classes."""
        images = probe(shape, self._whole)
        for size in dict.fromkeys((batch, batch or 1)):  # some graphs have an open batch, but reshape to one image
            self._trace(shape, size)
            try:
                scores = self._scores(images, logits=False)
            except (tf.errors.OpError, TypeError, ValueError) as error:
                problem: Exception = error
                continue
            if scores.ndim == 2 and len(scores) == len(images):
                return int(scores.shape[1])
            problem = NotSupported(
                f"The model's output is {scores.shape} for {len(images)} images; Picasso explains one score per class, "
                "(images, classes). Another output: MODEL_OUTPUT."
            )
        if isinstance(problem, NotSupported):
            raise problem
        raise ModelError(
            f"The model cannot compute scores of images {shape} with TensorFlow {tf.__version__}: "
            f"{first_line(problem)} Check MODEL_INPUT, MODEL_OUTPUT and MODEL_INPUT_SIZE."
        ) from problem

    def _trace(self, shape: tuple[int, int, int], batch: int | None) -> None:
        self._fixed = batch
        images = tf.TensorSpec((batch, *shape), tf.float32)
        indices = tf.TensorSpec((batch,), tf.int64)

        def forward(x: Any) -> Any:
            entering = self._enter(x)
            others = [constant(tf.shape(x)[0]) for constant in self._constants]
            scores, *logits = self._function(entering, *others)
            return [
                tf.cast(scores, tf.float32),
                *(tf.cast(tf.reshape(one, tf.shape(scores)), tf.float32) for one in logits),
            ]

        def backward(output: int) -> Any:
            def gradient(x: Any, classes: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    chosen = tf.gather(forward(x)[output], classes, batch_dims=1)
                return tape.gradient(chosen, x)

            return tf.function(gradient, input_signature=[images, indices], autograph=False)

        self._forward = tf.function(forward, input_signature=[images], autograph=False)
        self._backward = [backward(output) for output in range(self._outputs)]

    def _enter(self, x: Any) -> Any:
        """The images as the graph's entrance takes them."""
        if not self._whole:
            return tf.cast(x, self._image.dtype)
        if self._image.dtype.is_integer:
            return tf.cast(tf.round(x), self._image.dtype)
        # The graph rounds; its own gradient would be zero everywhere. That of what follows the rounding is meant.
        return tf.cast(x + tf.stop_gradient(tf.round(x) - x), self._image.dtype)

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]:
        return self._in_parts(lambda part: self._forward(part)[int(logits)], x)

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        try:
            return self._in_parts(self._backward[int(logits)], x, classes)
        except (LookupError, tf.errors.UnimplementedError) as error:  # mostly when the first call traces it
            raise NotSupported(
                f"{self.info.name} has no gradients: TensorFlow cannot differentiate one of its operations "
                f"({first_line(error)})"
            ) from error

    def _in_parts(self, function: Callable[..., Any], x: FloatArray, *more: NDArray[Any]) -> NDArray[np.float32]:
        """Calls with as many images as the graph takes at once; the last part is filled up with its last image."""
        size = self._fixed or len(x)
        arrays = [x.astype(np.float32, copy=False), *more]
        results = []
        for start in range(0, len(x), size):
            parts = [array[start : start + size] for array in arrays]
            missing = size - len(parts[0])
            filled = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) for part in parts]
            result = function(*(tf.constant(part) for part in filled))
            if result is None:
                raise NotSupported(f"{self.info.name}: its scores cannot be differentiated with respect to its input.")
            results.append(result.numpy()[: len(parts[0])])
        return np.concatenate(results)


def _entrance(ends: Ends) -> Any:
    """The tensor that images are put in at: the input; of whole numbers that become floats at once, the floats."""
    if not ends.image.dtype.is_integer:
        return ends.image
    takers = [operation for operation in ends.image.consumers() if operation in ends.operations]
    if len(takers) == 1 and takers[0].type == "Cast" and takers[0].outputs[0].dtype.is_floating:
        return takers[0].outputs[0]
    return ends.image


def _shape(image: Any, config: Config) -> tuple[int, int, int]:
    height, width, channels = image.shape[1:]
    if channels is None:
        raise NotSupported(
            f"The model's input {image.name} has an undefined number of channels; Picasso needs (batch, height, width, "
            "channels). Name a tensor further in: MODEL_INPUT."
        )
    size = config.MODEL_INPUT_SIZE
    if size is None and None in (height, width):
        raise ConfigError(
            f"The model takes images of any size. Write which (height, width) to use: MODEL_INPUT_SIZE = "
            f"({height or 224}, {width or 224}).",
            field="MODEL_INPUT_SIZE",
        )
    if size is not None and (height or size[0], width or size[1]) != size:
        raise ConfigError(
            f"MODEL_INPUT_SIZE = {size}, but the model takes images of ({height}, {width}). Leave it out.",
            field="MODEL_INPUT_SIZE",
        )
    return (*(size or (height, width)), channels)


def _constant(value: float | list[float], tensor: Any, name: str) -> Callable[[Any], Any]:
    """What gives another input's value for a batch: as it is, or repeated where the input has a batch dimension."""
    array = np.asarray(value, tensor.dtype.as_numpy_dtype)
    shape = tensor.shape
    if shape.rank is None or shape.is_compatible_with(array.shape):
        return lambda batch: tf.constant(array)
    if shape.rank == 0 or not shape[1:].is_compatible_with(array.shape):
        wanted = tuple(shape[1:]) if shape.rank else "one number"
        raise ConfigError(
            f"MODEL_OTHER_INPUTS: {name} must be {wanted} (without the batch dimension), got {value}.",
            field="MODEL_OTHER_INPUTS",
        )
    return lambda batch: tf.broadcast_to(tf.constant(array), tf.concat([[batch], array.shape], 0))


def _parameters(graph_def: Any, names: set[str]) -> int:
    """How many numbers the graph's float constants hold, those without a dimension aside."""
    shapes = [
        [dimension.size for dimension in node.attr["value"].tensor.tensor_shape.dim]
        for node in graph_def.node
        if node.op == "Const" and node.name in names and tf.as_dtype(node.attr["dtype"].type).is_floating
    ]
    return sum(int(np.prod(shape)) for shape in shapes if shape)
