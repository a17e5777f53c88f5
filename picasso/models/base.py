"""What every adapter gives: `Model`. Everything outside `picasso.models` sees only this.

Arrays are float32, (N, height, width, channels). Scores are (N, classes).
"""

from __future__ import annotations

import difflib
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from picasso.errors import Busy, NotFinite, NotSupported
from picasso.models.decoding import Prediction, highest, own_decode
from picasso.models.info import Layer, ModelInfo, OcclusionPlan
from picasso.models.preprocessing import FloatArray, OwnFunction, Prepared, ReadyMade
from picasso.models.windows import Windows

MAX_BATCH = 32
LARGEST_MAP = 2**27  # numbers of a batch's largest map: 512 MB
SECONDS_PER_BATCH = 1.0  # a cancel waits for one batch at most
GRADIENTS = (17, 9, 5)  # images at a time: as many of these as take no longer than SECONDS_OF_GRADIENTS
SECONDS_OF_GRADIENTS = 2.0
FEW = 4  # images from which on they are divided among streams


def nothing() -> None:
    """The checkpoint of a model that nobody watches."""


def finite(values: FloatArray) -> bool:
    """Whether there is no NaN and no infinity among them."""
    with np.errstate(over="ignore", invalid="ignore"):
        sum_ = values.sum()  # takes a third of the time, and is finite unless the numbers are very large
    return bool(np.isfinite(sum_) or np.isfinite(values).all())


def never() -> bool:
    """Of whoever wants all: never enough."""
    return False


def said(error: Exception) -> str:
    """An error of a framework, in a line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


def hide(x: FloatArray, corners: NDArray[np.int64], window: tuple[int, int], fill: FloatArray) -> FloatArray:
    """Copies of one image, each with one window hidden: (positions, height, width, channels). As `Model.occlude`."""
    return Windows(x, corners, window, fill).hidden()


def side_by_side(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], streams: int) -> list[Any]:
    """What a function gives for each call's arguments, in order; so many at a time, a single one in this thread."""
    if streams == 1:
        return [function(*call) for call in calls]
    found: list[Any] = []
    with ThreadPoolExecutor(streams) as pool:
        running: deque[Future[Any]] = deque()
        for call in calls:
            running.append(pool.submit(function, *call))
            if len(running) == streams:
                found.append(running.popleft().result())
        return found + [future.result() for future in running]


class Model(ABC):
    """A trained network, opened. An adapter implements `_scores` and, where it can, `_gradients`."""

    info: ModelInfo
    preprocessor: ReadyMade | OwnFunction
    own_decode: tuple[Callable[..., Any], str] | None = None
    # Parts of a batch whose gradients are computed side by side, in threads of their own: more than one only where
    # these threads see shuffled weights too.
    streams = 1
    checkpoint: Callable[[], None]

    def __init__(self) -> None:
        self.checkpoint = nothing
        self.calls = 0  # images that went through the network since the model was opened
        self._as_learnt = threading.RLock()  # held while weights are shuffled, and by whoever needs those learnt
        self._decoding = threading.Lock()  # a function of the user's own is called by one thread at a time

    @abstractmethod
    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]:
        """One batch (n, height, width, channels) to scores or logits (n, classes)."""

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        """One batch: the gradient of each image's class score (or logit) with respect to that image."""
        raise NotSupported(f"{self.info.name} has no gradients.")

    def _scored_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], logits: bool
    ) -> tuple[NDArray[np.float32], FloatArray]:
        """One batch: scores and gradients; an adapter that has both from one call gives them so."""
        return self._scores(x, logits), self._gradients(x, classes, logits)

    def _guided_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], signs: NDArray[np.float32], logits: bool
    ) -> FloatArray:
        """One batch: the same by guided backpropagation, of each image's class score (or logit) times its sign (n,)."""
        raise NotSupported(f"{self.info.name} has no guided backpropagation.")

    def _activations(self, x: FloatArray, layer: str) -> FloatArray:
        """One batch: what a layer gives for it, (n, height, width, channels)."""
        raise NotSupported(f"{self.info.name} does not show its layers.")

    def _layer_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], layer: str, logits: bool
    ) -> tuple[FloatArray, FloatArray]:
        """One batch: a layer's activations, and the gradient of each image's class score with respect to them."""
        raise NotSupported(f"{self.info.name} does not show its layers.")

    def _shuffle(self, layers: tuple[str, ...], seed: int) -> AbstractContextManager[None]:
        """While this lasts, the weights of these layers, the first of `weighted_layers`, are shuffled."""
        raise NotImplementedError  # an adapter that has `weighted_layers` has this

    def _keep_learnt(self) -> None:
        """Before weights are shuffled: what an adapter answers others with meanwhile is made here."""

    @contextmanager
    def watched(self, checkpoint: Callable[[], None]) -> Iterator[None]:
        """While this lasts, `checkpoint` is called before every batch; it may raise `Cancelled`."""
        self.checkpoint = checkpoint
        try:
            yield
        finally:
            self.checkpoint = nothing

    @property
    def batch(self) -> int:
        """Images per batch: 32, or fewer where one would take longer than a second, or have a map of 512 MB."""
        shapes = [self.info.input_shape, *(layer.shape for layer in self.info.layers)]
        most = min(MAX_BATCH, LARGEST_MAP // max(math.prod(shape) for shape in shapes))
        if self.info.seconds_per_image:
            most = min(most, int(SECONDS_PER_BATCH / self.info.seconds_per_image))
        return max(1, most)

    @property
    def gradient_batch(self) -> int:
        """Images at a time where gradients are computed: fewer, because backward keeps every layer's output."""
        each = self.info.gradient_seconds
        return next((count for count in GRADIENTS if count * each <= SECONDS_OF_GRADIENTS), GRADIENTS[-1])

    def warm_up(self) -> None:
        """Does ahead what first gradients would have to wait for, and finds out whether there are any."""
        name, logits = self.info.name, "logits" in self.info.capabilities
        x, classes = np.zeros((1, *self.info.input_shape), np.float32), np.zeros(1, np.int64)
        try:
            self._gradients(x, classes, logits)
            self.info = replace(self.info, seconds_per_gradient=self._seconds_per_gradient(logits))
            with suppress(NotSupported, KeyError):  # no layer, or no way back to it: said where one is chosen
                self._layer_gradients(x, classes, self.info.default_layer, logits)
        except NotSupported as error:
            self._go_without({"gradients", "guided"}, error.message)
        except Exception as error:  # the model itself works: whatever its framework raises costs the gradients only
            self._go_without(
                {"gradients", "guided"}, f"{name} has no gradients: the first one failed with {said(error)}"
            )
        if "guided" in self.info.capabilities:
            try:
                self._guided_gradients(x, classes, np.ones(1, np.float32), logits)
            except Exception as error:
                self._go_without({"guided"}, f"{name} has no guided backpropagation: it failed with {said(error)}")

    def _go_without(self, capabilities: set[str], sentence: str) -> None:
        """What the model turned out not to be able to do is not offered; the sentence says why."""
        self.info = replace(
            self.info,
            capabilities=self.info.capabilities - capabilities,
            warnings=(*self.info.warnings, sentence),
        )

    def _seconds_per_gradient(self, logits: bool) -> float:
        """Seconds that the gradient of one image of a batch takes."""
        count, times = max(2, self.gradient_batch // (2 * self.streams)), []  # one alone may go another way
        part = np.zeros((count, *self.info.input_shape), np.float32), np.zeros(count, np.int64), logits
        for _ in range(2):
            start = time.perf_counter()
            side_by_side(self._gradients, [part] * self.streams, self.streams)
            times.append(time.perf_counter() - start)
        return min(times) / (count * self.streams)

    def preprocess(self, images: Sequence[Image.Image]) -> Prepared:
        """What the model takes, made from pictures of any size."""
        return self.preprocessor(images)

    def solid(self, level: int) -> FloatArray:
        """The input (height, width, channels) of a picture that is one grey level, 0..255: what can hide a region."""
        height, width, channels = self.info.input_shape
        picture = (
            Image.new("L", (width, height), level) if channels == 1 else Image.new("RGB", (width, height), (level,) * 3)
        )
        hidden: FloatArray = self.preprocess([picture]).x[0]
        return hidden

    def picture(self, x: FloatArray) -> Image.Image:
        """One input (height, width, channels) as a picture; exact where the preprocess function is a ready-made one."""
        return self.preprocessor.picture(x)

    def predict(self, x: FloatArray, *, logits: bool = False) -> NDArray[np.float32]:
        """Scores (N, classes) of preprocessed images (N, height, width, channels).

        Args:
            x: float32, as `preprocess` gives it.
            logits: the values before the final softmax or sigmoid instead of the model's output.

        Raises:
            NotSupported: `logits` is asked for and the model has none.
            NotFinite: an image has numbers that are not finite, or the model gave such scores.
            ValueError: the images do not have the model's shape, or there are none.
        """
        self._check_logits(logits)
        parts = [self._scores(part, logits) for part in self._batches(self._taken(x))]
        return self._checked(np.concatenate(parts), logits)

    def predict_beside(self, x: FloatArray, patience: float) -> NDArray[np.float32]:
        """As `predict`, of one batch, for somebody else than the run that is under way in another thread.

        It is not counted, calls no checkpoint, and is never of shuffled weights.

        Raises:
            Busy: weights are shuffled, were so for `patience` seconds, and there are no others.
        """
        return self._checked(self._scores_beside(x, patience), False)

    def _scores_beside(self, x: FloatArray, patience: float) -> NDArray[np.float32]:
        """One batch of scores with the weights as learnt, whatever another thread does to them meanwhile.

        An adapter that has the learnt weights at hand while they are shuffled overrides this: then nobody waits.
        """
        if not self._as_learnt.acquire(timeout=patience):
            raise Busy(f"A check is trying {self.info.name} with shuffled weights. It answers again after that.")
        try:
            return self._scores_asked(x)
        finally:
            self._as_learnt.release()

    def _scores_asked(self, x: FloatArray) -> NDArray[np.float32]:
        """`_scores` for whoever is not a run; an adapter whose functions wait for a run's batch has others for this."""
        return self._scores(x, False)

    def gradients(self, x: FloatArray, classes: Sequence[int], *, logits: bool = True) -> FloatArray:
        """The gradient of `classes[i]`'s logit (or score) for image i with respect to it; the shape of `x`.

        Raises:
            NotSupported: the model has no gradients, or no logits where they are asked for.
            NotFinite, ValueError: as `predict`; or a class does not exist.
        """
        self._check_logits(logits)

        def run(part: FloatArray, outputs: NDArray[np.int64], signs: FloatArray) -> tuple[FloatArray, ...]:
            return (self._gradients(part, outputs, logits) * signs,)

        (gradients,) = self._in_parts(run, x, classes)
        return self._finite(gradients, "gradients")

    def scored_gradients(
        self, x: FloatArray, classes: Sequence[int], *, logits: bool = True
    ) -> tuple[NDArray[np.float32], FloatArray]:
        """What `predict` and `gradients` give, for what the gradients cost."""
        self._check_logits(logits)

        def run(part: FloatArray, outputs: NDArray[np.int64], signs: FloatArray) -> tuple[FloatArray, ...]:
            scores, gradients = self._scored_gradients(part, outputs, logits)
            return scores, gradients * signs

        scores, gradients = self._in_parts(run, x, classes)
        return self._checked(scores, logits), self._finite(gradients, "gradients")

    def guided_gradients(self, x: FloatArray, classes: Sequence[int], *, logits: bool = True) -> FloatArray:
        """As `gradients`, but that every ReLU y hands back g * (g > 0) * (y > 0), and not g * (y > 0).

        Source: Springenberg et al. 2014, "Striving for Simplicity: The All Convolutional Net", section 3.4.

        Raises:
            NotSupported: an activation is no ReLU, or cannot be seen; or as `gradients`.
        """
        self._check_logits(logits)

        def run(part: FloatArray, outputs: NDArray[np.int64], signs: FloatArray) -> tuple[FloatArray, ...]:
            return (self._guided_gradients(part, outputs, signs.ravel(), logits),)

        (gradients,) = self._in_parts(run, x, classes)
        return self._finite(gradients, "gradients")

    def layer(self, path: str) -> Layer:
        """The layer of that path.

        Raises:
            NotSupported: there is none; the sentence names the nearest ones.
        """
        known = {layer.path: layer for layer in self.info.layers}
        if path not in known:
            near = difflib.get_close_matches(path, known, n=3, cutoff=0.4) or list(known)[-3:]
            raise NotSupported(f"{self.info.name} has no layer {path!r} with a map. Near: {', '.join(near) or 'none'}.")
        return known[path]

    def activations(self, x: FloatArray, layer: str) -> FloatArray:
        """What a layer gives for preprocessed images: float32 (N, height, width, channels), its `shape`.

        Args:
            x: float32 (N, height, width, channels).
            layer: a path out of `info.layers`.

        Raises:
            NotSupported: there is no such layer.
        """
        path = self.layer(layer).path
        found = np.concatenate([self._activations(part, path) for part in self._batches(self._taken(x))])
        return self._finite(found, "activations")

    def layer_gradients(
        self, x: FloatArray, classes: Sequence[int], layer: str, *, logits: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """A layer's activations, and the gradient of `classes[i]`'s logit (or score) for image i with respect to them.

        Both float32 (N, height, width, channels).

        Raises:
            NotSupported: there is no such layer, no gradient between it and the scores, or no logits.
        """
        self._check_logits(logits)
        path = self.layer(layer).path

        def run(part: FloatArray, outputs: NDArray[np.int64], signs: FloatArray) -> tuple[FloatArray, ...]:
            activations, gradients = self._layer_gradients(part, outputs, path, logits)
            return activations, gradients * signs

        activations, gradients = self._in_parts(run, x, classes)
        return self._finite(activations, "activations"), self._finite(gradients, "gradients")

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """The paths of the layers that have learnt weights, from the scores back to the image.

        Only those between image and scores; none where the weights cannot be shuffled.
        """
        return ()

    @contextmanager
    def shuffled(self, count: int, seed: int) -> Iterator[None]:
        """While this lasts, the values inside each weight array of the first `count` `weighted_layers` are permuted.

        Everything that is computed is then that of the shuffled model. Afterwards, also after an error, the weights
        are the very same as before. The same seed gives the same model, and more layers shuffle the first ones alike.

        Raises:
            NotSupported: there are no weights that can be shuffled.
        """
        layers = self.weighted_layers
        if not layers:
            raise NotSupported(f"{self.info.name} has no learnt weights that Picasso could shuffle.")
        self._keep_learnt()
        with self._as_learnt, self._shuffle(layers[:count], seed):
            yield

    def occlude(
        self,
        x: FloatArray,
        corners: NDArray[np.int64],
        window: tuple[int, int],
        fill: FloatArray,
        *,
        logits: bool = False,
        preview: bool = False,
    ) -> NDArray[np.float32]:
        """Scores (positions, classes) of one image with one window hidden at a time.

        Args:
            x: float32 (1, height, width, channels), preprocessed.
            corners: int (positions, 2), each window's top and left; a window may overhang the border.
            window: (height, width) in pixels of the model's input.
            fill: float32 (height, width, channels), what hides: its part under the window replaces the image's.
            logits: values before the final softmax or sigmoid instead of the model's output.
            preview: quicker, in bfloat16, which has 3 digits.

        Raises:
            NotSupported: `logits` or `preview` is asked for and the model has none.
        """
        scores = np.empty((len(corners), self.info.classes), np.float32)
        parts = self.occlude_in_parts(Windows(x, corners, window, fill), logits=logits, preview=preview)
        for numbers, found in parts:
            scores[numbers] = found
        return scores

    def occlude_in_parts(
        self,
        windows: Windows,
        *,
        logits: bool = False,
        preview: bool = False,
        enough: Callable[[], bool] = never,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The same batch by batch, in the order that is quickest: for each, the windows' numbers and their scores.

        Adapters that need not run the whole network override this.

        Args:
            enough: asked before each batch; once it says so, none is begun any more.
        """
        if preview:
            raise NotSupported(f"{self.info.name} has no quicker preview of occlusion on this machine.")
        if not len(windows):
            return
        for part in np.array_split(np.arange(len(windows)), math.ceil(len(windows) / self.batch)):
            if enough():
                return
            yield part, self.predict(windows.some(part).hidden(), logits=logits)

    def occlusion_plan(self, corners: NDArray[np.int64], window: tuple[int, int]) -> OcclusionPlan:
        """What `occlude` costs for these windows, before it is begun."""
        return OcclusionPlan(len(corners), 1.0, "", len(corners) * self.info.seconds_per_image)

    def decode(self, scores: NDArray[np.float32], top: int) -> list[list[Prediction]]:
        """The `top` best classes for each row of `scores` (N, classes), best first."""
        if self.own_decode is not None:
            function, name = self.own_decode
            with self._decoding:
                return own_decode(function, name, scores, top)
        return highest(scores, list(self.info.labels), top)

    def _taken(self, x: FloatArray) -> FloatArray:
        """Images as the network takes them, float32.

        Raises:
            ValueError: they have another shape, or there are none.
            NotFinite: a number of them is NaN or infinite. TensorFlow's compiled functions lose it on their way.
        """
        x, shape = np.asarray(x, np.float32), self.info.input_shape
        if x.ndim != 4 or x.shape[1:] != shape or not len(x):
            raise ValueError(f"Images must be (N, {', '.join(map(str, shape))}) with N at least 1, got {x.shape}.")
        if not finite(x):
            raise NotFinite(f"What is given to {self.info.name} has numbers that are NaN or infinite.")
        return x

    def _batches(self, x: FloatArray, count: int | None = None) -> Iterator[FloatArray]:
        """So many balanced parts, or as many as there are batches; asks `checkpoint` before each."""
        for part in np.array_split(x, count or math.ceil(len(x) / self.batch)):
            self._passed(len(part))
            yield part

    def _passed(self, images: int) -> None:
        """Before each batch."""
        self.checkpoint()
        self.calls += images

    def _in_parts(
        self,
        function: Callable[[FloatArray, NDArray[np.int64], FloatArray], tuple[FloatArray, ...]],
        x: FloatArray,
        classes: Sequence[int],
    ) -> list[FloatArray]:
        """What a function gives for all images: arrays (N, ...). Parts of them are computed side by side.

        Args:
            function: of some images, the network's output for each one's class, and the sign (n, 1, 1, 1) that each
                one's gradient is to have.
        """
        x, numbers = self._taken(x), np.asarray(classes, np.int64)
        if numbers.shape != (len(x),) or numbers.min() < 0 or numbers.max() >= self.info.classes:
            raise ValueError(
                f"{len(x)} images need as many classes, 0 to {self.info.classes - 1}; got {numbers.tolist()}."[:300]
            )
        count = math.ceil(len(x) / self.gradient_batch)
        count = min(count * self.streams, len(x)) if len(x) >= FEW else count
        outputs, signs = numbers, np.ones((len(x), 1, 1, 1), np.float32)
        if self.info.both_sides:
            outputs, signs[numbers == 0] = np.zeros_like(numbers), -1
        divided = (np.array_split(values, count) for values in (outputs, signs))
        calls = zip(self._batches(x, count), *divided, strict=True)
        found = side_by_side(function, calls, min(count, self.streams))
        return [np.concatenate(one) for one in zip(*found, strict=True)]

    def _sides(self, scores: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
        """What the network gives as scores of all classes: of both sides, where one sigmoid stands for two."""
        if not self.info.both_sides:
            return scores
        return np.concatenate([-scores if logits else 1 - scores, scores], axis=1)

    def _checked(self, scores: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
        """The network's output as scores, one for each class, all finite."""
        return self._finite(self._sides(scores, logits), "scores")

    def _finite(self, values: NDArray[np.float32], what: str) -> NDArray[np.float32]:
        """The same; whatever a map is made of comes through here."""
        if not finite(values):
            raise NotFinite(f"{self.info.name} gave {what} that are NaN or infinite; nothing can be made of them.")
        return values

    def _check_logits(self, logits: bool) -> None:
        if logits and "logits" not in self.info.capabilities:
            raise NotSupported(
                f"{self.info.name} has no logit: its scores are neither a softmax nor a sigmoid of earlier ones."
            )
