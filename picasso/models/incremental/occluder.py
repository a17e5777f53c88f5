"""Scores with one window hidden at a time, computed only where a window shows (Nakandala et al. 2019, "Krypton")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from picasso.models.incremental.folding import fold
from picasso.models.incremental.geometry import IntArray
from picasso.models.incremental.layout import lay_out
from picasso.models.incremental.planning import BATCH, Batch, Planner
from picasso.models.incremental.reading import read
from picasso.models.incremental.tracing import compiled

FloatArray = NDArray[np.float32]


class Occluder:
    """A network on a layer graph, for occlusion.

    Args:
        network: a functional Keras model; nested models in it are computed whole.
        shape: (height, width, channels) of the image.
        feed: makes of a batch of images what `network` takes.

    Raises:
        NotSupported: a layer computes in another precision than float32.
    """

    def __init__(self, network: Any, shape: tuple[int, int, int], feed: Callable[[Any], Any]) -> None:
        graph = read(network, tf.zeros((1, *shape)), feed)
        self.dense_work = graph.work
        self.graph = fold(graph)
        self.layout = lay_out(self.graph)
        self.planner = Planner(self.layout)
        self._functions: dict[tuple[int, bool, bool], Callable[..., Any]] = {}
        self._kept: dict[int, Any] = {}
        self._digest = b""

    def prepare(self, x: FloatArray) -> None:
        """Runs the un-occluded image (1, height, width, channels) once; the last image's values are kept."""
        digest = hashlib.sha256(np.ascontiguousarray(x)).digest()
        if digest == self._digest:
            return
        values = {self.graph.image: tf.constant(x, tf.float32), **self.graph.constants}
        for step in self.graph.steps:
            values[step.output] = step.whole([values[number] for number in step.inputs])
        self._kept = {number: values[number] for number in self.layout.kept}
        self._digest = digest

    def occlude(
        self,
        x: FloatArray,
        corners: IntArray,
        window: tuple[int, int],
        fill: FloatArray,
        *,
        output: int = 0,
        checkpoint: Callable[[int], None] = lambda windows: None,
        size: int = BATCH,
    ) -> FloatArray:
        """The `output`-th output (positions, classes) of the network, as `Model.occlude` gives it.

        Args:
            checkpoint: called before each batch with its number of windows.
            size: windows per batch, at most.
        """
        self.prepare(x)
        image, cover = self._kept[self.graph.image], tf.constant(fill[None], tf.float32)
        number = self.graph.outputs[output]
        scores = np.empty((len(corners), *self._kept[number].shape[1:]), np.float32)
        for batch in self.planner.batches(corners, window, size):
            checkpoint(len(batch.windows))
            hidden = _hidden(image, cover, corners[batch.windows], window, batch)
            scores[batch.windows] = self._run(batch, hidden)[number].numpy()
        return scores

    def _run(self, batch: Batch, patches: Any) -> dict[int, Any]:
        """The network's outputs for the patches of one batch."""
        values = {self.graph.image: patches}
        starts, sizes = tf.constant(batch.starts), tf.constant(batch.sizes)
        for index, segment in enumerate(self.layout.segments):
            function = self._function(index, index <= batch.segments, index < batch.segments)
            entering = [values[number] for number in segment.entering]
            values = dict(zip(segment.leaving, function(entering, self._kept, starts, sizes), strict=True))
        return {**self._kept, **values}

    def _function(self, index: int, patched: bool, to_patches: bool) -> Callable[..., Any]:
        key = (index, patched, to_patches)
        if key not in self._functions:
            segment = self.layout.segments[index]
            self._functions[key] = compiled(
                self.layout, segment, self._kept, patched=patched, to_patches=to_patches
            )
        return self._functions[key]


def _hidden(image: Any, cover: Any, corners: IntArray, window: tuple[int, int], batch: Batch) -> Any:
    """The image's patches (windows, rows, columns, channels) with their windows hidden."""
    inside, cells = [], []
    for axis in (0, 1):
        positions = batch.starts[0, axis][:, None] + np.arange(batch.sizes[0, axis])
        first = corners[:, axis, None]
        inside.append((positions >= first) & (positions < first + window[axis]))
        cells.append(positions)
    height, width, channels = image.shape[1:]
    covered = inside[0][:, :, None] & inside[1][:, None, :]
    indices = cells[0][:, :, None] * width + cells[1][:, None, :] + covered * (height * width)
    return tf.gather(tf.reshape(tf.concat([image, cover], 0), (-1, channels)), indices.astype(np.int32))
