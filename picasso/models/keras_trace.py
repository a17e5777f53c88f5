"""A network as one TensorFlow graph, traced once: its scores, layers and gradients are all tensors of that graph.

What is asked for is cut out of it as a function that computes nothing else, and nothing is traced twice: on the default
model the first map of a layer takes 0.6 seconds of a processor, and 1.5 with a trace of its own. Scores come with every
gradient, as they cost nothing there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from picasso.models.keras_compiled import Copies, InTurn, cut_out
from picasso.models.keras_gradients import given_by_relu, guiding

v1 = tf.compat.v1
Forward = Callable[[Any, dict[int, Callable[[Any], Any]]], list[Any]]


class Trace:
    """What can be computed of a network for images (n, height, width, channels), any number of them.

    Args:
        forward: makes the network's outputs, float32 (n, classes) each, of images; and a mapping from the `id` of
            Keras tensors to functions that their values pass through.
        images: their `tf.TensorSpec`. Nothing is traced before the first call.
        layers: the Keras tensors that are of interest, by path.
        relus: those that ReLUs give.
    """

    def __init__(self, forward: Forward, images: Any, layers: Mapping[str, Any], relus: Iterable[Any] = ()) -> None:
        self._forward, self._images = forward, images
        self._layers, self._relus = layers, {id(tensor) for tensor in relus}
        self._given: dict[str, Any] = {}
        self._made: dict[Any, Any] = {}
        self._building = threading.RLock()  # one thread warms up while another runs

    @property
    def _outputs(self) -> Any:
        """The trace: a function of the images that gives the outputs."""
        return self._once("trace", lambda: v1.wrap_function(lambda x: self._forward(x, self._kept()), [self._images]))

    def _kept(self) -> dict[int, Callable[[Any], Any]]:
        """What keeps the layers' values, each as a tensor of its own, and tells ReLUs' from others.

        Also where a layer (Dropout) hands on what it was given: a gradient is of what follows this layer alone.
        """
        paths = {id(tensor): path for path, tensor in self._layers.items()}

        def keeper(key: int) -> Callable[[Any], Any]:
            def keep(value: Any) -> Any:
                kept = given_by_relu(value) if key in self._relus else tf.identity(value)
                if key in paths:
                    self._given[paths[key]] = kept
                return kept

            return keep

        return {key: keeper(key) for key in paths.keys() | self._relus}

    def outputs(self, x: Any) -> list[Any]:
        """The network's outputs."""
        return self._once("outputs", lambda: InTurn(self._outputs))(self._tensor(x))  # type: ignore[no-any-return]

    def layer(self, x: Any, path: str) -> Any:
        """What a layer gives, float32."""

        def make() -> InTurn:
            whole = self._outputs
            with whole.graph.as_default():
                given = tf.cast(self._given[path], tf.float32)
            return cut_out(whole, whole.inputs[:1], [given])

        return self._once(("layer", path), make)(self._tensor(x))[0]

    def gradient(
        self, x: Any, classes: Any, signs: Any, output: int, path: str | None = None, *, guided: bool = False
    ) -> tuple[Any, Any, Any] | None:
        """All scores of one output, what a layer gives (or the images), and the gradient with respect to that.

        It is that of each image's score for its class times its sign. Several threads may ask at once.

        Args:
            classes: int (n,).
            signs: float (n,).
            output: which one, as a number.
            path: of the layer; None for the images.
            guided: by guided backpropagation.

        Returns:
            Three tensors, float32; None where the scores do not follow from the layer, or not differentiably.

        Raises:
            LookupError: TensorFlow has no gradient of an operation between.
        """
        key, count = (output, path, guided), 1 if len(x) == 1 else None
        made = self._once(("gradient", *key), lambda: self._differentiated(*key))
        if made is None:
            return None
        x, (inputs, outputs) = self._tensor(x), made

        def copy() -> InTurn:
            with self._building:
                return cut_out(self._outputs, inputs, outputs, count)

        function = self._once(("function", count, *key), lambda: Copies(copy))
        scores, *given, gradient = function(x, tf.constant(classes, tf.int64), tf.constant(signs, tf.float32))
        return scores, given[0] if given else x, gradient

    def _tensor(self, x: Any) -> Any:
        self._images.shape.assert_is_compatible_with(x.shape)  # the functions themselves take any shape that fits
        return tf.constant(x, tf.float32)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made for a key, now or earlier."""
        with self._building:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def _differentiated(self, output: int, path: str | None, guided: bool) -> tuple[list[Any], list[Any]] | None:
        """Adds a gradient to the trace.

        Returns:
            What it follows from (images, classes, signs), and what is computed (scores, the layer's, the gradient);
            None where there is no gradient.
        """
        images = self._outputs.inputs[0]
        with self._outputs.graph.as_default():
            classes, signs = (v1.placeholder(dtype, self._images.shape[:1]) for dtype in (tf.int64, tf.float32))
            scores = self._outputs.structured_outputs[output]
            score = tf.gather(scores, classes, batch_dims=1)
            with guiding(guided):
                (gradient,) = tf.gradients(score, images if path is None else self._given[path], signs)
            if gradient is None:
                return None
            given = [] if path is None else [tf.cast(self._given[path], tf.float32)]
            gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        return [images, classes, signs], [scores, *given, gradient]
