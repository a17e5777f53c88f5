"""What a layer computes: on whole maps, and on regions of them. Tensors are (n, height, width, channels)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from picasso.models.incremental.geometry import Axis, same

LOWEST = float(tf.float32.min)  # what lies outside a map for the largest of its cells


@dataclass(eq=False)
class Step:
    """One layer, or several folded into one. Values are numbered: `inputs` and `output` are numbers of values.

    This class is for layers whose every output depends on the whole of their inputs, or of which no more is known.

    Attributes:
        path: the layer's name, for people.
        shape: of one output, without the batch.
        work: multiply-adds for one cell of the output; for a whole output where that has no cells.
        call: computes the output from whole inputs.
        layer: the Keras layer.
    """

    path: str
    inputs: list[int]
    output: int
    shape: tuple[int, ...]
    call: Callable[..., Any]
    layer: Any = None
    work: float = 0.0

    @property
    def whole_work(self) -> float:
        """Multiply-adds for a whole output."""
        return self.work * (math.prod(self.shape[:2]) if len(self.shape) == 3 else 1)

    @property
    def learnt(self) -> int:
        """How many weights it reads."""
        return sum(math.prod(variable.shape) for variable in getattr(self.layer, "variables", ()))

    def whole(self, inputs: list[Any]) -> Any:
        """The output for whole inputs."""
        return self.call(*(tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x for x in inputs))


@dataclass(eq=False)
class Local(Step):
    """A layer each of whose cells depends on few cells of its inputs: on the same one, unless `axes` say otherwise.

    Attributes:
        axes: rows and columns, from those of the inputs to those of the output.
        pad: what lies outside the inputs.
        after: functions of one cell, applied to the output: activations, scales.
        dtype: what it computes in.
    """

    axes: tuple[Axis, Axis] = field(kw_only=True)
    pad: float = 0.0
    after: list[Callable[[Any], Any]] = field(default_factory=list)
    dtype: str = "float32"

    @property
    def entering(self) -> float:
        """Channels of the inputs, roughly: how much is held for one cell of them while the step runs."""
        return len(self.inputs) * self.shape[2]

    @property
    def steps(self) -> tuple[int, int]:
        """How far apart the cells are that are taken from the inputs, so that no cell is taken that is not used."""
        if all(axis.kernel == 1 for axis in self.axes):
            return self.axes[0].stride, self.axes[1].stride
        return 1, 1

    @property
    def cellwise(self) -> bool:
        """Whether each cell of the output depends on the same cell of the inputs only."""
        return all(axis == Axis(axis.size) for axis in self.axes)

    def whole(self, inputs: list[Any]) -> Any:
        return self._finished(self.on_whole(self._cast(inputs)))

    def local(self, regions: list[Any], inside: Callable[[], Any]) -> Any:
        """The output for regions of the inputs that hold what it depends on.

        Args:
            regions: one for each input; cells outside the map are `pad`.
            inside: makes a mask of the regions (n, height, width, 1): 1 inside the map, 0 outside.
        """
        return self._finished(self.on_regions(self._cast(regions), lambda: tf.cast(inside(), self.dtype)))

    def on_whole(self, inputs: list[Any]) -> Any:
        return self.call(*inputs)

    def on_regions(self, regions: list[Any], inside: Callable[[], Any]) -> Any:
        return self.call(*regions)

    def _finished(self, output: Any) -> Any:
        for function in self.after:
            output = function(output)
        return tf.cast(output, self.dtype)

    def _cast(self, inputs: list[Any]) -> list[Any]:
        return [tf.cast(x, self.dtype) for x in inputs]

    def _strides(self) -> list[int]:
        """The strides on regions."""
        return [axis.stride // step for axis, step in zip(self.axes, self.steps, strict=True)]

    def _padding(self) -> str | list[list[int]]:
        """How TensorFlow is told of the padding."""
        rows, columns = self.axes
        if not any((rows.before, rows.after, columns.before, columns.after)):
            return "VALID"
        if all(axis == same(axis.size, axis.kernel, axis.stride, axis.dilation) for axis in self.axes):
            return "SAME"
        return [[0, 0], [rows.before, rows.after], [columns.before, columns.after], [0, 0]]


def untouched(x: Any) -> Any:
    """The call of a layer that moves cells or keeps them, and changes none."""
    return x


@dataclass(eq=False)
class Padding(Local):
    """Zeros around a map, or its borders cut off."""

    call: Callable[..., Any] = untouched

    def on_whole(self, inputs: list[Any]) -> Any:
        rows, columns = self.axes
        grown = [[max(0, n) for n in pair] for pair in ((rows.before, rows.after), (columns.before, columns.after))]
        x = tf.pad(inputs[0], [[0, 0], *grown, [0, 0]])
        top, left = max(0, -rows.before), max(0, -columns.before)
        return x[:, top : top + rows.cells, left : left + columns.cells]


@dataclass(eq=False)
class Convolution(Local):
    """A convolution with bias.

    Attributes:
        kernel: (height, width, inputs, outputs); depthwise (height, width, channels, multiplier).
        bias: (outputs,).
        depthwise: each channel for itself.
    """

    call: Callable[..., Any] = untouched
    kernel: Any = field(kw_only=True)
    bias: Any = field(kw_only=True)
    depthwise: bool = False

    @property
    def entering(self) -> float:
        return float(self.kernel.shape[2])

    @property
    def learnt(self) -> int:
        return math.prod(self.kernel.shape)

    def on_whole(self, inputs: list[Any]) -> Any:
        strides = [axis.stride for axis in self.axes]
        padding = self._padding()
        if self.depthwise and isinstance(padding, list):
            return self._convolved(tf.pad(inputs[0], padding), strides, "VALID")
        return self._convolved(inputs[0], strides, padding)

    def on_regions(self, regions: list[Any], inside: Callable[[], Any]) -> Any:
        return self._convolved(regions[0], self._strides(), "VALID")

    def _convolved(self, x: Any, strides: list[int], padding: Any) -> Any:
        dilations = [axis.dilation for axis in self.axes]
        if self.depthwise:
            x = tf.nn.depthwise_conv2d(x, self.kernel, [1, *strides, 1], padding, dilations=dilations)
        else:
            x = tf.nn.conv2d(x, self.kernel, strides, padding, dilations=dilations)
        return tf.nn.bias_add(x, self.bias)


@dataclass(eq=False)
class Widened(Local):
    """A 1 x 1 convolution into more channels and the depthwise one after it, as in MobileNetV2.

    Regions are taken before both: moving the few channels costs less than computing a rim of the many again.
    """

    call: Callable[..., Any] = untouched
    widen: Convolution = field(kw_only=True)
    depthwise: Convolution = field(kw_only=True)

    @property
    def entering(self) -> float:
        return self.widen.entering + self.widen.shape[2]

    @property
    def learnt(self) -> int:
        return self.widen.learnt + self.depthwise.learnt

    def on_whole(self, inputs: list[Any]) -> Any:
        return self.depthwise.whole([self.widen.whole(inputs)])

    def on_regions(self, regions: list[Any], inside: Callable[[], Any]) -> Any:
        wide = self.widen.local(regions, inside)
        return self.depthwise.local([wide * inside()], inside)  # outside the map the depthwise one sees zeros


@dataclass(eq=False)
class Pool(Local):
    """The largest or the mean of the cells in a window.

    Attributes:
        largest: the largest, else the mean. Cells outside the map are `pad`, LOWEST unless there are zeros around it.
        counted: cells outside the map do not count in the mean.
    """

    call: Callable[..., Any] = untouched
    largest: bool = field(kw_only=True)
    counted: bool = False

    def on_whole(self, inputs: list[Any]) -> Any:
        strides = [axis.stride for axis in self.axes]
        padding = self._padding()
        if padding == "VALID" or self.counted or self.pad == LOWEST:
            return self._pooled(inputs[0], strides, padding)
        margins = [[0, 0], *([axis.before, axis.after] for axis in self.axes), [0, 0]]
        return self._pooled(tf.pad(inputs[0], margins), strides, "VALID")

    def on_regions(self, regions: list[Any], inside: Callable[[], Any]) -> Any:
        strides = self._strides()
        pooled = self._pooled(regions[0], strides, "VALID")
        return pooled / self._pooled(inside(), strides, "VALID") if self.counted else pooled

    def _pooled(self, x: Any, strides: list[int], padding: Any) -> Any:
        pool = tf.nn.max_pool2d if self.largest else tf.nn.avg_pool2d
        return pool(x, [axis.kernel for axis in self.axes], strides, padding)


@dataclass(eq=False)
class Mean(Step):
    """The mean of each channel over the whole map. A patch changes it by the sum of what it changed."""

    def changed(self, mean: Any, before: Any, after: Any, cells: int) -> Any:
        """The mean after a patch (n, height, width, channels) was exchanged for another."""
        difference = tf.cast(after, tf.float32) - tf.cast(before, tf.float32)
        difference = tf.reduce_sum(difference, axis=(1, 2), keepdims=len(self.shape) == 3) / cells
        return mean + difference
