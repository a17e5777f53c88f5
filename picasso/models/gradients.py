"""How any TensorFlow function is differentiated, compiled once for all batch sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def gradient_function(forward: Callable[[Any], tuple[Any, Any]], images: Any) -> Any:
    """A compiled function of images, the number of one class for each, and the sign that its score is taken with.

    It returns a tensor, and the gradient of each image's class score with respect to it: both float32 and of the
    tensor's shape; None for the gradient where the scores do not depend on it, or not differentiably.

    Args:
        forward: makes of images a tensor of that forward pass and the scores (n, classes). The tensor is the images
            themselves for their gradients, or what a layer gives.
        images: the `tf.TensorSpec` (n, height, width, channels).
    """
    classes, signs = (tf.TensorSpec(images.shape[:1], dtype) for dtype in (tf.int64, tf.float32))

    def gradient(x: Any, chosen: Any, sign: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)  # also for a layer: nothing else makes the tape record
            tensor, scores = forward(x)
            score = tf.gather(scores, chosen, batch_dims=1)
        found = tape.gradient(score, tensor, output_gradients=sign)
        return tf.cast(tensor, tf.float32), None if found is None else tf.cast(found, tf.float32)

    # Autograph off traces several times faster.
    return tf.function(gradient, input_signature=[images, classes, signs], autograph=False)
