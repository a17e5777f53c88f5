"""The Keras layers that are computed on patches. A layer is known by its exact class: a subclass may do anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from picasso.models.incremental.geometry import Axis, same
from picasso.models.incremental.steps import LOWEST, Convolution, Local, Mean, Padding, Pool, Step
from picasso.models.keras_history import inference

IDENTITIES = {  # when nothing is trained
    *(layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout),
    *(layers.ActivityRegularization, layers.Identity, layers.RandomFlip, layers.RandomRotation, layers.RandomZoom),
    *(layers.RandomTranslation, layers.RandomContrast, layers.RandomBrightness),
}
CELLWISE = {
    *(layers.ReLU, layers.LeakyReLU, layers.ELU),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum),
}
OVER_CHANNELS = {  # cellwise where their `axis` is the last one
    *(layers.BatchNormalization, layers.LayerNormalization, layers.Normalization, layers.UnitNormalization),
    *(layers.Softmax, layers.Concatenate),
}
OPERATIONS = {  # cellwise ones of keras.ops
    *("Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Maximum", "Minimum", "Power", "Negative", "Absolute"),
    *("Abs", "Square", "Sqrt", "Exp", "Log", "Tanh", "Clip", "Relu", "Relu6", "Sigmoid", "Silu", "Gelu", "Elu"),
    *("Softplus", "HardSigmoid", "HardSilu", "LeakyRelu", "Selu"),
}
ACTIVATIONS = {getattr(keras.activations, name) for name in dir(keras.activations) if name[0].islower()} - {
    keras.activations.get,
    keras.activations.serialize,
    keras.activations.deserialize,
}
LAST = {-1, 3}
Shape = tuple[int, ...]


def is_identity(operation: Any) -> bool:
    """Whether it passes its input on."""
    linear = type(operation) is layers.Activation and operation.activation is keras.activations.linear
    return linear or type(operation) in IDENTITIES


def calling(node: Any, function: Callable[..., Any], index: int = 0) -> Callable[..., Any]:
    """Runs a layer's application in the Keras graph, as the model does, with values for its distinct inputs.

    Args:
        function: the layer, or its `call`, which leaves values in the precision they have.
        index: which of its outputs.
    """
    tensors = list({id(tensor): tensor for tensor in node.input_tensors}.values())

    def call(*values: Any) -> Any:
        args, kwargs = node.arguments.fill_in(dict(zip(map(id, tensors), values, strict=True)))
        return keras.tree.flatten(function(*args, **inference(node.operation, kwargs)))[index]

    return call


def known(step: Step, node: Any, shapes: list[Shape], fresh: Iterator[int]) -> list[Step]:
    """The step or steps that `step`, which calls the layer, is exchanged for: itself where the layer is not known.

    Args:
        node: the layer's application in the Keras graph.
        shapes: of its inputs, without the batch.
        fresh: numbers for values that are not in the Keras graph.
    """
    layer = node.operation
    step.work = _work(layer, step.shape)
    first_last = getattr(layer, "data_format", "channels_last") != "channels_last"
    if first_last or getattr(layer, "quantization_mode", None) is not None or len(shapes[0]) != 3:
        return [step]
    if type(layer) is layers.GlobalAveragePooling2D:
        return [Mean(**vars(step))]
    if type(layer) in (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D):
        return _convolutions(step, layer, shapes[0], fresh)
    if type(layer) in (layers.MaxPooling2D, layers.AveragePooling2D):
        axes = _axes(shapes[0], layer.pool_size, layer.strides, (1, 1), layer.padding)
        largest = type(layer) is layers.MaxPooling2D
        counted = not largest and layer.padding == "same"
        return [_like(Pool, step, axes=axes, largest=largest, counted=counted, pad=LOWEST if largest else 0.0)]
    if type(layer) in (layers.ZeroPadding2D, layers.Cropping2D):
        sign, pairs = (1, layer.padding) if type(layer) is layers.ZeroPadding2D else (-1, layer.cropping)
        rows, columns = (
            Axis(size, before=sign * before, after=sign * after)
            for size, (before, after) in zip(shapes[0], pairs, strict=False)
        )
        return [_like(Padding, step, axes=(rows, columns))]
    if _is_cellwise(node, shapes, step.shape):
        if type(layer) is layers.BatchNormalization:
            step.call = _normalise(layer, shapes[0][-1])
        elif not getattr(layer, "weights", None):
            step.call = calling(node, layer.call)  # without Keras' cast to float32
        return [_like(Local, step, axes=(Axis(step.shape[0]), Axis(step.shape[1])))]
    return [step]


def _like(kind: type[Local], step: Step, **more: Any) -> Local:
    content: dict[str, Any] = vars(step) if kind is Local else {k: v for k, v in vars(step).items() if k != "call"}
    return kind(**content, **more)


def _axes(shape: Shape, kernel: Any, strides: Any, dilation: Any, padding: str) -> tuple[Axis, Axis]:
    make = same if padding == "same" else Axis
    rows, columns = (
        make(size, k, stride, d) for size, k, stride, d in zip(shape, kernel, strides, dilation, strict=False)
    )
    return rows, columns


def _convolutions(step: Step, layer: Any, shape: Shape, fresh: Iterator[int]) -> list[Step]:
    """One convolution, or the depthwise and the 1 x 1 one that a separable one is made of."""
    channels, strides, dilation = shape[-1], layer.strides, layer.dilation_rate
    separable = type(layer) is layers.SeparableConv2D
    depthwise = separable or type(layer) is layers.DepthwiseConv2D
    kernel = tf.convert_to_tensor(layer.depthwise_kernel if separable else layer.kernel)
    if type(layer) is layers.Conv2D and layer.groups > 1:
        if layer.groups != channels:
            return [step]
        depthwise = True
        kernel = tf.reshape(kernel, (*kernel.shape[:2], channels, -1))
    if not is_activation(layer.activation) or (depthwise and (max(dilation) > 1 < max(strides))):
        return [step]
    if depthwise and strides[0] != strides[1]:  # TensorFlow has none
        return [step]
    axes = _axes(shape, layer.kernel_size, strides, dilation, layer.padding)
    after = [] if layer.activation in (None, keras.activations.linear) else [layer.activation]
    width = int(np.prod(kernel.shape[2:])) if depthwise else kernel.shape[3]
    bias = tf.zeros(width) if layer.bias is None else tf.convert_to_tensor(layer.bias)
    if not separable:
        return [_like(Convolution, step, axes=axes, kernel=kernel, bias=bias, depthwise=depthwise, after=after)]
    between = Step(
        step.path,
        step.inputs,
        next(fresh),
        (axes[0].cells, axes[1].cells, width),
        step.call,
        layer,
        math.prod(kernel.shape),
    )
    first = _like(Convolution, between, axes=axes, kernel=kernel, bias=tf.zeros(width), depthwise=True)
    step.inputs, step.work = [between.output], float(math.prod(layer.pointwise_kernel.shape))
    bias = tf.zeros(step.shape[-1]) if layer.bias is None else tf.convert_to_tensor(layer.bias)
    return [
        first,
        _like(
            Convolution,
            step,
            axes=(Axis(step.shape[0]), Axis(step.shape[1])),
            kernel=tf.convert_to_tensor(layer.pointwise_kernel),
            bias=bias,
            after=after,
        ),
    ]


def _normalise(layer: Any, channels: int) -> Callable[[Any], Any]:
    """A batch normalization in one pass, with a ReLU after it too: half the time of Keras' own three."""
    scale = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels)
    offset = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels)
    mean, variance = tf.convert_to_tensor(layer.moving_mean), tf.convert_to_tensor(layer.moving_variance)

    def call(x: Any) -> Any:
        return tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, mean, variance, epsilon=layer.epsilon, is_training=False
        )[0]

    return call


def is_activation(function: Any) -> bool:
    """Whether it is one of Keras' own, which change each cell for itself."""
    return function is None or type(function) in CELLWISE or (callable(function) and function in ACTIVATIONS)


def _is_cellwise(node: Any, shapes: list[Shape], shape: Shape) -> bool:
    layer, kind = node.operation, type(node.operation)
    if kind in OVER_CHANNELS:
        fitting = set(tf.nest.flatten(layer.axis)) <= LAST
    elif kind is layers.Activation:
        fitting = is_activation(layer.activation)
    elif kind is layers.PReLU:
        fitting = {1, 2} <= set(layer.shared_axes or ())
    elif kind is layers.Dense:
        fitting = is_activation(layer.activation)
    elif kind is layers.Rescaling:
        fitting = max(np.ndim(layer.scale), np.ndim(layer.offset)) <= 1
    elif isinstance(layer, layers.Layer):
        fitting = kind in CELLWISE
    else:
        fitting = kind.__module__.startswith("keras.") and kind.__name__ in OPERATIONS
    arguments = tf.nest.flatten((node.arguments.args, node.arguments.kwargs))
    constants = [value for value in arguments if hasattr(value, "shape") and not keras.backend.is_keras_tensor(value)]
    per_channel = all(len(value.shape) <= 1 for value in constants)
    aligned = all(len(given) == 3 and given[:2] in (shape[:2], (1, 1)) for given in shapes)
    return fitting and per_channel and aligned and len(shape) == 3


def _work(layer: Any, shape: Shape) -> float:
    """Multiply-adds for one cell of the output, or for all of it where it is not a map."""
    kernel = getattr(layer, "kernel", None)
    return 0.0 if kernel is None else float(math.prod(kernel.shape))
