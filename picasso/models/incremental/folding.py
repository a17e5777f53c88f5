"""Fewer steps with the same numbers: scales into kernels, padding into convolutions, activations onto what is before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf
from keras import layers

from picasso.models.incremental.geometry import Axis
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.steps import Convolution, Local, Padding, Pool, Step, Widened

WIDER = 2  # from this many times as many channels on, moving the few is cheaper than computing a rim of the many again


def fold(graph: Graph) -> Graph:
    """The same network in fewer steps."""
    for rule in (_padded, _scaled, _followed, _widened):
        graph = replace(graph, steps=_pairs(graph, rule))
    return graph


def _pairs(graph: Graph, rule: Callable[[Local, Local], Local | None]) -> list[Step]:
    """Exchanges two steps for one where `rule` makes one of them and nothing else uses what lies between."""
    uses = Counter([number for step in graph.steps for number in step.inputs] + graph.outputs)
    made: dict[int, Step] = {}  # by the number of the output
    for step in graph.steps:
        before = made.get(step.inputs[0]) if len(step.inputs) == 1 else None
        if isinstance(before, Local) and isinstance(step, Local) and uses[before.output] == 1:
            both = rule(before, step)
            if both is not None:
                del made[before.output]
                made[step.output] = replace(both, inputs=before.inputs, output=step.output, shape=step.shape)
                continue
        made[step.output] = step
    return list(made.values())


def _padded(before: Local, step: Local) -> Local | None:
    """Zeros around the map are part of a convolution's own padding, or of a pool's that has none."""
    if not isinstance(before, Padding) or min(n for axis in before.axes for n in (axis.before, axis.after)) < 0:
        return None
    if not isinstance(step, Convolution | Pool) or (isinstance(step, Pool) and _is_padded(step)):
        return None
    axes = [
        replace(axis, size=outer.size, before=axis.before + outer.before, after=axis.after + outer.after)
        for outer, axis in zip(before.axes, step.axes, strict=True)
    ]
    return replace(step, axes=(axes[0], axes[1]), **({"pad": 0.0} if isinstance(step, Pool) else {}))


def _is_padded(step: Local) -> bool:
    return any(axis.before or axis.after for axis in step.axes)


def _scaled(before: Local, step: Local) -> Local | None:
    """A batch normalization is a scale and a shift of each channel: both go into the convolution before it."""
    layer = step.layer
    if not isinstance(before, Convolution) or before.after or not isinstance(layer, layers.BatchNormalization):
        return None
    scale = tf.math.rsqrt(tf.convert_to_tensor(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale *= layer.gamma
    bias = (before.bias - layer.moving_mean) * scale
    if layer.center:
        bias += layer.beta
    shape = before.kernel.shape[2:] if before.depthwise else (1, -1)
    return replace(before, kernel=before.kernel * tf.reshape(scale, shape), bias=bias)


def _followed(before: Local, step: Local) -> Local | None:
    """What changes each cell for itself is done at the end of the step before."""
    if type(step) is not Local or not step.cellwise or isinstance(before, Padding):
        return None
    return replace(before, after=[*before.after, step.call, *step.after], work=before.work + step.work)


def _widened(before: Local, step: Local) -> Local | None:
    """Regions are taken where there are few channels."""
    if not isinstance(before, Convolution) or not isinstance(step, Convolution) or not step.depthwise:
        return None
    if before.depthwise or any(axis != Axis(axis.size) for axis in before.axes):
        return None
    if before.shape[-1] < WIDER * before.kernel.shape[2]:
        return None
    grown = step.axes[0].stride * step.axes[1].stride
    work = before.work * grown + step.work
    return Widened(
        step.path, step.inputs, step.output, step.shape, work=work, axes=step.axes, widen=before, depthwise=step
    )
