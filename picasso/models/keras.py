"""The Keras adapter, on the TensorFlow backend: scores, logits, gradients, activations. For worker processes only.

Files are opened by `keras_files`; what of a model is explained is found by `keras_graph`, as one graph (`keras_flat`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from picasso.config import Config
from picasso.errors import ModelError, NotSupported
from picasso.models import keras_anatomy
from picasso.models.anatomy import Anatomy
from picasso.models.base import Model, never
from picasso.models.examination import ROUNDINGS, decoder, describe, examine, preprocessor, probe, rounding
from picasso.models.incremental.choosing import quicker
from picasso.models.incremental.costs import occlusion_costs
from picasso.models.incremental.folding import fold
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import Graph, read
from picasso.models.incremental.rounding import quicker_preview
from picasso.models.info import OcclusionPlan
from picasso.models.keras_compiled import InTurn
from picasso.models.keras_files import Loaded, load_network, model_files
from picasso.models.keras_gradients import shortened
from picasso.models.keras_graph import view
from picasso.models.keras_guided import relus
from picasso.models.keras_history import run
from picasso.models.keras_layout import TO_LAST
from picasso.models.keras_learnt import learnt, shuffled_variables
from picasso.models.keras_logits import ending
from picasso.models.keras_trace import Trace
from picasso.models.pixels import find_pixels
from picasso.models.preprocessing import FloatArray
from picasso.models.windows import Windows

UNPROVED = (
    "TensorFlow runs this channels-first model on a GPU only. Picasso convolves channels-last; that this gives the "
    "model's own scores could not be proved here."
)
LARGE = 100_000  # parameters: a smaller network is not worth folding for its scores
SAME_SCORES = 1e-5  # how far the explained function may be from the model itself, relative to its largest score


def _rounding(tensors: Iterable[Any]) -> float:
    """As `rounding`, of Keras tensors."""
    return rounding(
        tf.as_dtype(tensor.dtype).as_numpy_dtype for tensor in tensors if keras.backend.is_float_dtype(tensor.dtype)
    )


class KerasModel(Model):
    """A Keras model: one image input and one output of class scores of it.

    Raises:
        ModelError: the file cannot be opened; the sentence says why and what to do.
        NotSupported: the model takes no image, or gives no class scores.
    """

    streams = 2  # what one does on a single core, or waits for, does not keep the other waiting

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        file, weights = model_files(config, path)
        loaded = load_network(config, path)
        self._view = view(loaded.network, config)
        self.network = loaded.network
        found = ending(self._view.scores)
        self._ends = [self._view.scores, *([] if found.logits is None else [found.logits])]
        self._images = tf.TensorSpec((None, *self._view.shape), tf.float32)
        self._learnt = learnt(self._view.flat, self._view.image, self._view.scores)
        self._occluder: Occluder | None = None
        self._preview: Occluder | None = None
        self._weights = threading.RLock()  # held while they are shuffled, or copied
        self._maps = keras_anatomy.find_maps(self._view.flat, self._view.image, self._view.scores)
        found_relus = [relus(self._view.flat, self._view.image, end) for end in self._ends]
        self._no_guided = [reason for _, reason in found_relus]
        self._trace = Trace(self._forward, self._images, self._maps, [one for some, _ in found_relus for one in some])
        large = loaded.network.count_params() >= LARGE
        self._graph = self._fold() if large else None
        self._folded = None if self._graph is None else self._graph.function(self._graph.outputs)
        self._coarsest = _rounding(self._view.flat.tensors.values())
        warnings = self._prove()
        self._unshuffled: InTurn | None = None  # the folded network with weights of its own, once some are shuffled
        anatomy = self._anatomy(loaded, warnings)
        pixels = find_pixels(config, anatomy)
        self.preprocessor = preprocessor(pixels.preprocess, anatomy.shape)
        logits, sigmoid = found.logits is not None, found.link == "sigmoid"
        examined = examine(
            self,
            anatomy.shape,
            self.preprocessor,
            logits=logits,
            sigmoid=sigmoid,
            rounding=_rounding([self._view.scores]),
            coarsest=self._coarsest,
            whole=not keras.backend.is_float_dtype(self._view.image.dtype),
        )
        self.info = describe(
            config,
            path,
            framework="keras",
            anatomy=anatomy,
            pixels=pixels,
            examined=examined,
            guided=not self._no_guided["logits" in examined.capabilities],
            versions=(("keras", keras.__version__), ("tensorflow", tf.__version__)),
            file=file,
            files=[file, weights] if weights else None,
        )
        self.own_decode = decoder(config, self.info.classes)

    def _anatomy(self, loaded: Loaded, warnings: tuple[str, ...]) -> Anatomy:
        found, flat = self._view, self._view.flat
        entering = keras_anatomy.entrance(flat, found.image, found.scores)

        def shown(wanted: list[Any]) -> list[Any]:
            return self._run(tf.zeros((1, *found.shape)), wanted)

        def entrance(x: FloatArray) -> FloatArray:
            return self._map(tf.cast(self._run(tf.constant(x), [entering])[0], tf.float32), entering)

        return Anatomy(
            found.shape,
            int(found.scores.shape[1]),
            parameters=int(loaded.network.count_params()),
            weight_bytes=keras_anatomy.weight_bytes(loaded.network),
            layers=tuple(keras_anatomy.layers(flat, found.image, found.scores, found.first, shown)),
            kernels=tuple(keras_anatomy.kernels(flat.operations.values())),
            entrance=None if entering is None else entrance,
            inputs=found.inputs,
            outputs=found.outputs,
            output=found.output,
            output_classes=found.output_classes,
            format=loaded.format,
            writer=loaded.writer,
            assumptions=found.assumptions,
            warnings=warnings,
        )

    def _run(self, x: Any, wanted: list[Any], *rest: Any) -> list[Any]:
        """Values of Keras tensors for images (n, height, width, channels); the rest as in `keras_history.run`."""
        return run(self._view.flat.model.inputs, self._view.feed(x), wanted, *rest)

    def _forward(self, x: Any, passing: dict[int, Any]) -> list[Any]:
        """The scores, and the logits where there are some: float32 (n, classes) each. For a graph."""
        return [tf.cast(value, tf.float32) for value in self._run(x, self._ends, passing, shortened)]

    def _map(self, value: Any, tensor: Any) -> FloatArray:
        """The value of a Keras tensor, channels last."""
        last = tf.transpose(value, TO_LAST) if id(tensor) in self._view.first else value
        return last.numpy()  # type: ignore[no-any-return]

    def _fold(self) -> Graph | None:
        """The network in fewer steps with the same numbers; None where its layers cannot be run one by one."""
        found = self._view
        if found.first:  # its layers are run in another layout than they say
            return None
        try:
            return fold(read(found.flat, found.image, self._ends, found.shape, found.feed)).checked()
        except Exception:  # whatever a layer raises is found again, and said, where the whole network is run
            return None

    def _prove(self) -> tuple[str, ...]:
        """Proves with one random input that what is explained gives the scores of the model itself.

        Returns:
            A sentence if there is nothing to compare with, because TensorFlow cannot run the model itself.

        Raises:
            ModelError: it does not, or TensorFlow cannot run the model in any layout.
        """
        shape = self._view.shape
        x = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
        try:
            scores, own = self._scores(x, logits=False), self._own(x)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            if self._folded is not None:
                return self._prove_unfolded()
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise NotSupported(
                f"TensorFlow cannot run the model on a picture of {shape}: {reason.strip()[:300]} Check "
                "MODEL_INPUT_SIZE and MODEL_OTHER_INPUTS."
            ) from error
        if own is None:
            return (UNPROVED,)
        difference = float(np.abs(own - scores).max())
        tolerance = max(SAME_SCORES, ROUNDINGS * self._coarsest)
        if not difference <= tolerance * max(1.0, float(np.abs(own).max())) and np.isfinite(own).all():
            if self._folded is not None:
                return self._prove_unfolded()
            raise ModelError(
                "What Picasso would explain gives other scores than the model itself (they differ by "
                f"{difference:.1e}). Please report this with the model's architecture: model.to_json()."
            )
        return ()

    def _prove_unfolded(self) -> tuple[str, ...]:
        self._graph = self._folded = None
        return self._prove()

    def _own(self, x: FloatArray) -> NDArray[np.float32] | None:
        """Scores as the model itself computes them; None for a channels-first one that TensorFlow cannot run here."""
        try:
            own = self._view.own
            if self._folded is not None:  # a large one: layer by layer it would keep a copy of all weights
                own = tf.function(own, autograph=False)
            return tf.cast(own(tf.constant(x)), tf.float32).numpy()  # type: ignore[no-any-return]
        except tf.errors.UnimplementedError:  # convolutions, on a CPU without oneDNN
            if not self._view.first:
                raise
            return None

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]:
        self._images.shape.assert_is_compatible_with(x.shape)  # cut-out functions take any shape that fits
        occluder = self._occluder  # once: warming up may bring one meanwhile
        if len(x) == 1 and occluder is not None:
            return occluder.scores(x, int(logits))
        function = self._trace.outputs if self._folded is None else self._folded
        return _scores(function, x, int(logits))

    @cached_property
    def _asked(self) -> InTurn | None:
        """The folded network as a function that no run uses: threads take turns in one."""
        return None if self._graph is None else self._graph.function(self._graph.outputs)

    def _keep_learnt(self) -> None:
        if self._unshuffled is None and self._asked is not None:
            with suppress(Exception):  # whatever a layer's operation raises: then questions wait
                # Layers that are not folded have variables.
                self._unshuffled = InTurn(convert_variables_to_constants_v2(self._asked.function))

    def _scores_beside(self, x: FloatArray, patience: float) -> NDArray[np.float32]:
        if self._unshuffled is None:
            return super()._scores_beside(x, patience)
        return _scores(self._unshuffled, x)

    def _scores_asked(self, x: FloatArray) -> NDArray[np.float32]:
        return super()._scores_asked(x) if self._asked is None else _scores(self._asked, x)

    def _gradients(self, x: FloatArray, classes: NDArray[np.int64], logits: bool) -> FloatArray:
        return self._scored_gradients(x, classes, logits)[1]

    def _scored_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], logits: bool
    ) -> tuple[NDArray[np.float32], FloatArray]:
        signs = np.ones(len(x), np.float32)
        scores, _, gradient = self._differentiated(x, classes, signs, logits)
        return scores.numpy(), gradient.numpy()

    def _guided_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], signs: NDArray[np.float32], logits: bool
    ) -> FloatArray:
        reason = self._no_guided[logits]
        if reason:
            raise NotSupported(f"{self.info.name}: {reason}")
        return self._differentiated(x, classes, signs, logits, guided=True)[2].numpy()  # type: ignore[no-any-return]

    def warm_up(self) -> None:
        """The gradient, and the parts that occlusion is computed with, where that is quicker than whole images."""
        super().warm_up()
        if not self._view.takes_pictures:
            return
        with self._weights:
            x = probe(self._view.shape)[:1]
            occluder = quicker(
                lambda: self._graph or self._fold(),
                lambda windows: self._scores(windows.hidden(), logits=len(self._ends) > 1),
                x,
                self.info.seconds_per_image,
            )
            if occluder is None:
                return
            self.info = replace(self.info, occlusion=occlusion_costs(occluder, x))
            self._occluder = occluder  # only now: a run that is under way meanwhile must not meet another image in it
            self._preview = quicker_preview(occluder, x)
            if self._preview is not None:
                speed = self._preview.work_per_second / occluder.work_per_second
                self.info = replace(self.info, preview_speed=speed)

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """As in `Model`."""
        return tuple(self._learnt)

    @contextmanager
    def _shuffle(self, layers: tuple[str, ...], seed: int) -> Iterator[None]:
        """As in `Model`. Compiled functions read the variables; the folded network and the occluder have copies."""
        variables = [variable for path in layers for variable in self._learnt[path]]
        with self._weights, shuffled_variables(variables, seed):
            copies = self._folded, self._occluder, self._preview
            self._folded = self._occluder = self._preview = None
            try:
                yield
            finally:
                self._folded, self._occluder, self._preview = copies

    def occlude_in_parts(
        self,
        windows: Windows,
        *,
        logits: bool = False,
        preview: bool = False,
        enough: Callable[[], bool] = never,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """As in `Model`, computed only where a window shows, where that is quicker."""
        occluder = self._preview if preview else self._occluder  # once: warming up may bring one meanwhile
        if not len(windows) or occluder is None:
            yield from super().occlude_in_parts(windows, logits=logits, preview=preview, enough=enough)
            return
        self._check_logits(logits)
        for given in (windows.x, windows.fill[None]):
            self._taken(given)
        passed, output = self._passed, int(logits)
        for numbers, scores in occluder.occlude_in_parts(windows, output=output, checkpoint=passed, enough=enough):
            yield numbers, self._checked(scores, logits)

    def occlusion_plan(self, corners: NDArray[np.int64], window: tuple[int, int]) -> OcclusionPlan:
        """As in `Model`."""
        if self._occluder is None:
            return super().occlusion_plan(corners, window)
        return self._occluder.plan(corners, window)

    def _activations(self, x: FloatArray, layer: str) -> FloatArray:
        return self._map(self._trace.layer(x, layer), self._maps[layer])

    def _layer_gradients(
        self, x: FloatArray, classes: NDArray[np.int64], layer: str, logits: bool
    ) -> tuple[FloatArray, FloatArray]:
        signs = np.ones(len(x), np.float32)
        _, activation, gradient = self._differentiated(x, classes, signs, logits, layer)
        return self._map(activation, self._maps[layer]), self._map(gradient, self._maps[layer])

    def _differentiated(
        self,
        x: FloatArray,
        classes: NDArray[np.int64],
        signs: NDArray[np.float32],
        logits: bool,
        layer: str | None = None,
        *,
        guided: bool = False,
    ) -> tuple[Any, Any, Any]:
        """The scores, what a layer gives (or the images), and the gradient with respect to that."""
        found = self._trace.gradient(x, classes, signs, int(logits), layer, guided=guided)
        if found is None:
            what = f"the layer {layer}" if layer else "its input"
            raise NotSupported(f"{self.info.name}: its scores cannot be differentiated with respect to {what}.")
        return found


def _scores(function: Callable[[Any], list[Any]], x: FloatArray, output: int = 0) -> NDArray[np.float32]:
    """One output of a compiled function of images."""
    return tf.cast(function(tf.constant(x, tf.float32))[output], tf.float32).numpy()  # type: ignore[no-any-return]
