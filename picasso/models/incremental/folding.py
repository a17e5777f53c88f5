"""Fewer steps with the same numbers: scales and padding move into convolutions, activations to what they follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf
from keras import layers

from picasso.models.incremental.geometry import Axis
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.steps import Convolution, Local, Padding, Pool, Step, Widened
from picasso.models.incremental.thinning import thin

WIDER = 2  # from this many times as many channels on, moving the few is cheaper than computing a rim of the many again


def fold(graph: Graph) -> Graph:
    """The same network in fewer steps."""
    for rule in (_padded, _scaled, _followed, _pooled_first):
        graph = replace(graph, steps=_pairs(graph, rule))
    graph = thin(graph)
    return replace(graph, steps=_pairs(graph, _widened))


def _pairs(graph: Graph, rule: Callable[[Local, Local], list[Local]]) -> list[Step]:
    """Exchanges two steps for what `rule` makes of them, if anything, where nothing else uses what lies between."""
    uses = Counter([number for step in graph.steps for number in step.inputs] + graph.outputs)
    made: dict[int, Step] = {}  # by the number of the output
    for step in graph.steps:
        before = made.get(step.inputs[0]) if len(step.inputs) == 1 else None
        exchanged: list[Local] = []
        if isinstance(before, Local) and isinstance(step, Local) and uses[before.output] == 1:
            exchanged = rule(before, step)
        if before is None or not exchanged:
            made[step.output] = step
            continue
        del made[before.output]
        between = [before.output] * (len(exchanged) - 1)
        inputs, outputs = [before.inputs, *([number] for number in between)], [*between, step.output]
        for part, entering, output in zip(exchanged, inputs, outputs, strict=True):
            made[output] = replace(part, inputs=entering, output=output)
    return list(made.values())


def _padded(before: Local, step: Local) -> list[Local]:
    """Zeros around the map are part of a convolution's own padding, or of a pool's that has none."""
    if not isinstance(before, Padding) or min(n for axis in before.axes for n in (axis.before, axis.after)) < 0:
        return []
    if not isinstance(step, Convolution | Pool) or (isinstance(step, Pool) and _is_padded(step)):
        return []
    axes = [
        replace(axis, size=outer.size, before=axis.before + outer.before, after=axis.after + outer.after)
        for outer, axis in zip(before.axes, step.axes, strict=True)
    ]
    found = replace(step, axes=(axes[0], axes[1]), pad=0.0)
    return [replace(found, counted=False) if isinstance(found, Pool) else found]  # these zeros are cells of the map


def _is_padded(step: Local) -> bool:
    return any(axis.before or axis.after for axis in step.axes)


def _scaled(before: Local, step: Local) -> list[Local]:
    """A batch normalization is a scale and a shift of each channel: both go into the convolution before it."""
    layer = step.layer
    if not isinstance(before, Convolution) or before.after or not isinstance(layer, layers.BatchNormalization):
        return []
    scale = tf.math.rsqrt(tf.convert_to_tensor(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale *= layer.gamma
    bias = (before.bias - layer.moving_mean) * scale
    if layer.center:
        bias += layer.beta
    shape = before.kernel.shape[2:] if before.depthwise else (1, -1)
    return [replace(before, kernel=before.kernel * tf.reshape(scale, shape), bias=bias)]


def _followed(before: Local, step: Local) -> list[Local]:
    """What changes each cell for itself is done at the end of the step before."""
    if type(step) is not Local or not step.cellwise or isinstance(before, Padding):
        return []
    after = [*before.after, step.call, *step.after]
    return [replace(before, after=after, shape=step.shape, work=before.work + step.work)]


def _pooled_first(before: Local, step: Local) -> list[Local]:
    """The mean of what a 1 x 1 convolution gives is what it gives for the mean, which has fewer cells (DenseNet)."""
    if not isinstance(before, Convolution) or not isinstance(step, Pool) or before.after or before.depthwise:
        return []
    if step.largest or not before.cellwise or (_is_padded(step) and not step.counted):
        return []
    shape = (*step.shape[:2], before.kernel.shape[2])
    rows, columns = (Axis(axis.cells) for axis in step.axes)
    return [
        replace(step, shape=shape, after=[]),
        replace(before, shape=step.shape, axes=(rows, columns), after=step.after),
    ]


def _widened(before: Local, step: Local) -> list[Local]:
    """Regions are taken where there are few channels."""
    if not isinstance(before, Convolution) or not isinstance(step, Convolution) or not step.depthwise:
        return []
    if before.depthwise or any(axis != Axis(axis.size) for axis in before.axes):
        return []
    if before.shape[-1] < WIDER * before.kernel.shape[2]:
        return []
    grown = step.axes[0].stride * step.axes[1].stride
    work = before.work * grown + step.work
    return [
        Widened(
            step.path, step.inputs, step.output, step.shape, work=work, axes=step.axes, widen=before, depthwise=step
        )
    ]
