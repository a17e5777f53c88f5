"""Runs a graph of constants on images, in one session: scores, layers and gradients are tensors of the same graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from picasso.models.graph_guided import guided_copy, no_guided
from picasso.models.graph_layout import TO_FIRST, TO_LAST, runnable
from picasso.models.graph_search import Ends
from picasso.models.graph_walks import between
from picasso.models.preprocessing import FloatArray

v1 = tf.compat.v1
SIZED = 2  # images that sizes are found with, where the graph takes any number
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}
OWN = "picasso_input"  # where our operations are in the graph, whose names are the file's


class Replaced(threading.local):
    """Values that constants have instead of their own, by name, in one thread."""

    def __init__(self) -> None:
        self.values: dict[str, NDArray[Any]] = {}


class Network:
    """A graph that takes images float32 (n, height, width, channels), whatever it takes itself.

    Args:
        graph_def: of constants.
        ends: where it is entered and left.
        shape: of one image.
        first: the names of its channels-first tensors.
        constants: for each of `ends.others`, what gives its value for a number of images.

    Attributes:
        whole: the graph takes whole numbers.
        batch: the only number of images that it takes; None if it takes any.
        scores, logits: tensors (n, classes); `logits` is None where there are none.
    """

    def __init__(
        self,
        graph_def: Any,
        ends: Ends,
        shape: tuple[int, int, int],
        first: set[str],
        constants: dict[str, Callable[[Any], Any]],
    ) -> None:
        image = entrance(ends)
        self.whole = bool(ends.image.dtype.is_integer)
        self.batch = None if ends.image.shape.rank is None else ends.image.shape[0]
        self._first = frozenset(first)
        self._maps: dict[str, Any] = {}
        self._gradients: dict[tuple[str, bool, bool], Any] = {}
        self._graph = tf.Graph()
        with self._graph.as_default():
            with tf.name_scope(OWN):
                self._images = v1.placeholder(tf.float32, (self.batch, *shape), "images")
                self._classes = v1.placeholder(tf.int64, (self.batch,), "classes")
                ones = tf.ones_like(self._classes, tf.float32)
                self._signs = v1.placeholder_with_default(ones, (self.batch,), "signs")
                entering = self._enter(image)
                count = tf.shape(self._images)[0]
                fed = {ends.others[name].name: constant(count) for name, constant in constants.items()}
            tf.graph_util.import_graph_def(runnable(graph_def), {**fed, image.name: entering}, name="")
            self._image, self._entering = image.name, entering
            self.scores = _row(tf.cast(self._tensor(ends.scores.name), tf.float32))
            self.logits = None
            if ends.logits is not None:
                shaped = tf.reshape(self._tensor(ends.logits.name), tf.shape(self.scores))
                self.logits = tf.cast(shaped, tf.float32)
        self._replaced = Replaced()
        self._session = self._open_session()

    def way(self, logits: bool = False) -> tuple[Any, ...]:
        """The operations that lead from where images enter to the scores (or logits), in order."""
        return between(self._entering, self.logits if logits else self.scores)

    def no_guided(self, logits: bool) -> str:
        """Why there is no guided backpropagation of the scores (or logits), as a sentence; "" where there is."""
        return no_guided(self.way(logits), self._entering, self.logits if logits else self.scores)

    def values(self, names: Sequence[str]) -> list[NDArray[Any]]:
        """The values of constants of the file's graph."""
        found: list[NDArray[Any]] = self._session.run(list(names))
        return found

    @contextmanager
    def replaced(self, values: dict[str, NDArray[Any]]) -> Iterator[None]:
        """While this lasts, constants of the file's graph have other values for this thread, by their names.

        A session prepares itself anew for each set of names that it is given values for, so that the same set should
        be replaced each time.
        """
        before = self._replaced.values
        self._replaced.values = before | values
        try:
            yield
        finally:
            self._replaced.values = before

    def run(
        self,
        tensors: Sequence[Any],
        x: FloatArray,
        classes: NDArray[np.int64] | None = None,
        signs: NDArray[np.float32] | None = None,
    ) -> list[FloatArray]:
        """Tensors' values for images (n, height, width, channels), each (n, ...).

        Gradients need `classes`; they are those of the scores times `signs`.

        The graph is called with as many images as it takes at once; the last part is filled up with its last image.
        """
        size = self.batch or len(x)
        feeds: dict[Any, NDArray[Any]] = {self._images: x}
        given = {self._classes: classes, self._signs: signs}
        feeds |= {tensor: values for tensor, values in given.items() if values is not None}
        parts = []
        for start in range(0, len(x), size):
            count = min(size, len(x) - start)
            rows = np.minimum(np.arange(start, start + size), len(x) - 1)
            fed = {name: array[rows] for name, array in feeds.items()}
            values = self._session.run(list(tensors), fed | self._replaced.values)
            parts.append([value[:count] for value in values])
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def maps(self, name: str) -> Any:
        """A tensor of the file's graph, float32; where that is (n, channels, height, width), turned."""
        if name not in self._maps:
            with self._graph.as_default():
                self._maps[name] = self._turned(self._tensor(name), name)
        return self._maps[name]

    def gradient(self, name: str | None, logits: bool, guided: bool = False) -> Any | None:
        """The gradient of the scores (or logits) of the classes that are fed, added to the graph when first asked for.

        Args:
            name: the tensor of the file's graph that the gradient is with respect to; None for the images.
            guided: by guided backpropagation, with respect to the images; where there is none, `no_guided` says why.

        Returns: a tensor like `maps(name)`; None where none of the scores follows from it.

        Raises:
            LookupError: TensorFlow has no gradient of an operation between.
        """
        key = (name or OWN, logits, guided)
        if key not in self._gradients:
            of = self._images if name is None else self._tensor(name)
            with self._graph.as_default():
                end = self.logits if logits else self.scores
                end = guided_copy(self.way(logits), end, f"{OWN}/guided") if guided else end
                chosen = tf.gather(end, self._classes, batch_dims=1)
                (found,) = tf.gradients(chosen, of, self._signs)
                self._gradients[key] = None if found is None else self._turned(tf.convert_to_tensor(found), name)
            if any(operation.type in CONTROL_FLOW for operation in self._graph.get_operations()):
                # Their gradients give loops and conditions more outputs; a session keeps them as it found them. The old
                # one ends by itself, after whoever is using it in another thread.
                self._session = self._open_session()
        return self._gradients[key]

    def sizes(self, names: Sequence[str]) -> list[tuple[int, ...] | None]:
        """The shapes that tensors have for two images, or as many as the graph takes; None where one has no value."""
        with self._graph.as_default():
            shapes = [tf.shape(self.maps(name)) for name in names]
        x = np.zeros((self.batch or SIZED, *self._images.shape[1:]), np.float32)

        def run(wanted: list[Any]) -> list[tuple[int, ...] | None]:
            return [tuple(map(int, shape)) for shape in self._session.run(wanted, {self._images: x})]

        try:
            return run(shapes)
        except tf.errors.OpError:
            pass  # a branch of a TF1 condition that is not taken has no values
        found: list[tuple[int, ...] | None] = []
        for shape in shapes:
            try:
                found += run([shape])
            except tf.errors.OpError:
                found.append(None)
        return found

    def _open_session(self) -> Any:
        options = v1.ConfigProto()
        # It merges a convolution, an addition and a Relu into one even where the addition itself is asked for, and then
        # does not find it (TensorFlow 2.21). Measured on three networks, it saves no time.
        options.graph_options.rewrite_options.remapping = RewriterConfig.OFF
        return v1.Session(graph=self._graph, config=options)

    def _tensor(self, name: str) -> Any:
        return self._entering if name == self._image else self._graph.get_tensor_by_name(name)

    def _turned(self, tensor: Any, name: str | None) -> Any:
        tensor = tf.cast(tensor, tf.float32)
        return tf.transpose(tensor, TO_LAST) if name in self._first and tensor.shape.rank == 4 else tensor

    def _enter(self, image: Any) -> Any:
        """The images as the graph's entrance takes them."""
        x = tf.transpose(self._images, TO_FIRST) if image.name in self._first else self._images
        if image.shape.rank == 3:  # without an axis for the one channel
            x = self._images[..., 0]
        if self.whole:
            # Rounding has no gradient: that of what follows it is meant.
            x = tf.round(x) if image.dtype.is_integer else x + tf.stop_gradient(tf.round(x) - x)
        return tf.identity(tf.cast(x, image.dtype))  # not the images, which tell other inputs how many there are


def _row(scores: Any) -> Any:
    """Scores (images, classes), of those that have more dimensions."""
    rank = scores.shape.rank
    return scores if rank in (2, None) else tf.reshape(scores, [tf.shape(scores)[0], -1])


def entrance(ends: Ends) -> Any:
    """The tensor that images are put in at: the input; of whole numbers that become floats at once, the floats."""
    takers = [operation for operation in ends.image.consumers() if operation in ends.way]
    if ends.image.dtype.is_integer and len(takers) == 1 and takers[0].type == "Cast":
        floats = takers[0].outputs[0]
        return floats if floats.dtype.is_floating else ends.image
    return ends.image
