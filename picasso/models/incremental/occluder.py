"""Scores with one window hidden at a time, computed only where a window shows.

Source: Nakandala, Kumar & Papakonstantinou 2019, "Incremental and Approximate Inference for Faster Occlusion-based Deep
CNN Explanations" (Krypton), section 4.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from picasso.models.base import never
from picasso.models.incremental.geometry import IntArray
from picasso.models.incremental.layout import lay_out
from picasso.models.incremental.planning import BATCH, Batch, Planner
from picasso.models.incremental.reading import Graph
from picasso.models.incremental.tracing import compiled
from picasso.models.info import OcclusionPlan
from picasso.models.windows import Windows

FloatArray = NDArray[np.float32]
SECONDS_PER_BATCH = 1.0  # results come batch by batch; a cancel does not wait for a whole one
NOTICED = 0.25  # seconds after which a cancel is noticed
STREAMS = 3  # batches at a time: what one does on a single core, or waits for, does not keep the others waiting
TIMED = 3  # the first time compiles, the second one still prepares buffers


class Occluder:
    """A network as a graph of layers, for occlusion.

    The values of the last un-occluded image are kept, so that parts of one image's windows can be asked for.

    Args:
        graph: the network, folded. Layers that Picasso does not know, nested models too, are computed on whole maps.

    Raises:
        NotSupported: no layer depends on the image.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layout = lay_out(graph)
        self.planner = Planner(self.layout)
        self.work_per_second = 0.0
        self._numbers = sorted(self.layout.kept)
        self._values = graph.function(self._numbers, count=1)
        self._functions: dict[tuple[int, bool, bool], Callable[..., Any]] = {}
        self._tracing = threading.Lock()  # a second stream waits for what the first one makes
        self._kept: tuple[bytes, dict[int, Any]] = (b"", {})  # the last image's digest, and its values

    def prepare(self, x: FloatArray) -> dict[int, Any]:
        """The values of the un-occluded image (1, height, width, channels); run unless it is the last one that was."""
        digest = hashlib.sha256(x.tobytes()).digest()
        before, values = self._kept
        if digest != before:
            values = dict(zip(self._numbers, self._values(tf.constant(x)), strict=True))
            self._kept = digest, values  # at once: another thread may have another image
        return values

    def scores(self, x: FloatArray, output: int = 0) -> FloatArray:
        """One of the outputs (1, classes) for the un-occluded image; occluding it then begins with what this kept."""
        return self.prepare(x)[self.graph.outputs[output]].numpy()  # type: ignore[no-any-return]

    def occlude(
        self,
        x: FloatArray,
        corners: IntArray,
        window: tuple[int, int],
        fill: FloatArray,
        *,
        output: int = 0,
        checkpoint: Callable[[int], None] = lambda windows: None,
        most: int = BATCH,
    ) -> FloatArray:
        """One of the outputs (positions, classes), as `Model.occlude` gives it; the rest as in `occlude_in_parts`."""
        scores = np.empty((len(corners), *self.prepare(x)[self.graph.outputs[output]].shape[1:]), np.float32)
        windows = Windows(x, corners, window, fill)
        for numbers, found in self.occlude_in_parts(windows, output=output, checkpoint=checkpoint, most=most):
            scores[numbers] = found
        return scores

    def occlude_in_parts(
        self,
        windows: Windows,
        *,
        output: int = 0,
        checkpoint: Callable[[int], None] = lambda windows: None,
        most: int = BATCH,
        enough: Callable[[], bool] = never,
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """The same batch by batch, as `Model.occlude_in_parts` gives it.

        Args:
            output: which one, as a number.
            checkpoint: called before each batch with its number of windows, and with 0 while one is waited for; what it
                raises ends those under way at their next segment.
            most: windows per batch.
            enough: as in `Model.occlude_in_parts`; the batches that are under way then are given too.
        """
        kept = self.prepare(windows.x)  # its own, whatever image is prepared between two batches
        number = self.graph.outputs[output]
        left = threading.Event()  # nobody waits for the rest

        def run(batch: Batch) -> tuple[IntArray, FloatArray]:
            rows, columns = batch.sizes[0].tolist()
            patches = windows.some(batch.windows).patches(batch.starts[0].T, (rows, columns))
            return batch.windows, self._run(batch, tf.cast(patches, self.graph.dtype), kept, left)[number].numpy()

        def result(future: Future[tuple[IntArray, FloatArray]]) -> tuple[IntArray, FloatArray]:
            while not wait([future], NOTICED).done:
                checkpoint(0)
            return future.result()

        with ThreadPoolExecutor(STREAMS) as streams:
            running: deque[Future[tuple[IntArray, FloatArray]]] = deque()
            try:
                for batch in self._batches(windows.corners, windows.size, most):
                    if len(running) > STREAMS:  # one more waits, so that no stream does
                        yield result(running.popleft())
                    if enough():
                        break
                    checkpoint(len(batch.windows))
                    running.append(streams.submit(run, batch))
                while running:
                    yield result(running.popleft())
            finally:
                left.set()

    def plan(self, corners: IntArray, window: tuple[int, int]) -> OcclusionPlan:
        """What `occlude` will cost; computes nothing."""
        batches = self._batches(corners, window)
        work = self.planner.total(batches)
        return OcclusionPlan(
            positions=len(corners),
            share=work / (self.graph.dense_work * len(corners)) if self.graph.dense_work else 1.0,
            whole_from=self.planner.first_whole(batches),
            seconds=work / self.work_per_second if self.work_per_second else 0.0,
        )

    def calibrate(self, x: FloatArray, corners: IntArray, window: tuple[int, int]) -> tuple[FloatArray, float]:
        """Times some windows of an image, so that plans know seconds and batches are short.

        Returns:
            The last output for these windows (windows, classes), and the seconds that one of them took.
        """
        fill, times = np.zeros_like(x[0]), []
        for _ in range(TIMED):
            start = time.perf_counter()
            scores = self.occlude(x, corners, window, fill, output=-1)
            times.append(time.perf_counter() - start)
        self.work_per_second = self.planner.total(self._batches(corners, window)) / min(times)
        return scores, min(times) / len(corners)

    def _batches(self, corners: IntArray, window: tuple[int, int], most: int = BATCH) -> list[Batch]:
        return self.planner.batches(corners, window, most, self.work_per_second * SECONDS_PER_BATCH)

    def _run(self, batch: Batch, patches: Any, kept: dict[int, Any], left: threading.Event) -> dict[int, Any]:
        """The network's outputs for the patches of one batch; CancelledError soon after `left` is set."""
        values = {self.graph.image: patches}
        starts, sizes = tf.constant(batch.starts), tf.constant(batch.sizes)
        for index, segment in enumerate(self.layout.segments):
            if left.is_set():
                raise CancelledError
            function = self._function(index, index <= batch.segments, index < batch.segments)
            entering = [values[number] for number in segment.entering]
            values = dict(zip(segment.leaving, function(entering, kept, starts, sizes), strict=True))
        return {**kept, **values}

    def _function(self, index: int, patched: bool, to_patches: bool) -> Callable[..., Any]:
        key = (index, patched, to_patches)
        with self._tracing:
            if key not in self._functions:
                segment, ways = self.layout.segments[index], {"patched": patched, "to_patches": to_patches}
                self._functions[key] = compiled(self.layout, segment, self._kept[1], **ways)
            return self._functions[key]
