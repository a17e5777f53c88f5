"""What every method is given: a model, and what of it is explained.

Methods are functions of a `Model` and its `Targets`; they give one map for each target. Items of all targets (samples,
points, masks) go to the model together, so that its batches are full whatever the number of images and classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from picasso.models.windows import Windows

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

Step = Callable[[float, FloatArray], bool]
"""Told how far a method is, 0..1, and its maps so far, to keep; says whether they are enough, and it ends with them.

It is told 1 when nothing is left to do, and its answer does not matter. It may raise, to end the method with nothing.
"""


class Model(Protocol):
    """The part of `picasso.models.base.Model` that methods use: arrays float32 (N, height, width, channels)."""

    @property
    def batch(self) -> int:
        """Images that it takes at once; it splits longer arrays itself."""

    @property
    def gradient_batch(self) -> int:
        """The same where gradients are computed."""

    def predict(self, x: FloatArray, *, logits: bool = False) -> FloatArray:
        """Scores (N, classes)."""

    def gradients(self, x: FloatArray, classes: Sequence[int], *, logits: bool = True) -> FloatArray:
        """The gradient of image i's score for `classes[i]` with respect to it."""

    def scored_gradients(
        self, x: FloatArray, classes: Sequence[int], *, logits: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """Scores (N, classes), and what `gradients` gives, from the same calls."""

    def guided_gradients(self, x: FloatArray, classes: Sequence[int], *, logits: bool = True) -> FloatArray:
        """As `gradients`, by guided backpropagation."""

    def activations(self, x: FloatArray, layer: str) -> FloatArray:
        """What a layer gives."""

    def layer_gradients(
        self, x: FloatArray, classes: Sequence[int], layer: str, *, logits: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """What a layer gives, and the gradient of the scores with respect to that."""

    def occlude_in_parts(
        self, windows: Windows, *, logits: bool = False, preview: bool = False, enough: Callable[[], bool] = ...
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Scores with one window hidden at a time, batch by batch: the windows' numbers, and (numbers, classes).

        `enough` is asked before each batch; once it says so, none is begun any more.
        """


@dataclass(frozen=True)
class Targets:
    """P scores to be explained, of N images.

    Attributes:
        x: float32 (N, height, width, channels), preprocessed.
        images: int (P,), which image each target is about.
        classes: int (P,), which class's score.
        logits: whether the score is the value before the final softmax or sigmoid, or the model's own output.
    """

    x: FloatArray
    images: IntArray
    classes: IntArray
    logits: bool

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.x.shape[1], self.x.shape[2]

    def scores(self, model: Model, x: FloatArray) -> FloatArray:
        """Each target's score (P,) for the images `x`, one for each of the N."""
        return model.predict(x, logits=self.logits)[self.images, self.classes]

    def gradients(self, model: Model, x: FloatArray, rows: IntArray) -> FloatArray:
        """Gradients for inputs `x`, of the targets with the numbers `rows`; the shape of `x`."""
        return model.gradients(x, self.classes[rows].tolist(), logits=self.logits)


def unwatched(_fraction: float, _maps: FloatArray) -> bool:
    """The step of a method that runs to its end."""
    return False


def parts(count: int, size: int) -> Iterator[slice]:
    """0..count in balanced slices of at most `size`."""
    number = -(-count // size)
    ends = [index * count // number for index in range(number + 1)] if number else []
    yield from map(slice, ends, ends[1:])
