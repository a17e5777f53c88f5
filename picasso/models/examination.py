"""What is found out about any model when it is opened, by running it; the same for every adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from picasso.config import Config, import_function
from picasso.errors import ConfigError
from picasso.models.decoding import load_labels
from picasso.models.files import fingerprint, functions_fingerprint, modified
from picasso.models.info import Assumption, Layer, ModelInfo, ModelInput, ScoreKind
from picasso.models.preprocessing import FloatArray, OwnFunction, ReadyMade

LOGIT_TOLERANCE = (
    1e-5  # how far softmax or sigmoid of the logits may be from the model's own output before logits are refused
)
PROBED_IMAGES = 2
TIMED_IMAGES = 8


class Scorer(Protocol):
    """The part of an adapter that examinations need."""

    def _scores(self, x: FloatArray, logits: bool) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Kernel:
    """The weights of one 2-D convolution, however the framework keeps them: what families of networks are known by."""

    kind: Literal["full", "depthwise"]
    height: int
    width: int
    inputs: int
    outputs: int
    stride: int


@dataclass(frozen=True)
class Anatomy:
    """What an adapter read from a network, before running it.

    Attributes:
        shape: of one image, (height, width, channels).
        classes: how many scores.
        kernels: of every 2-D convolution, those of nested models included; a separable convolution is two.
        entrance: what the first layer that has learnt weights is given for images (n, height, width, channels), which
            shows whether the model scales pixel values itself; None where that cannot be told.
        The others are as in `ModelInfo`.
    """

    shape: tuple[int, int, int]
    classes: int
    parameters: int
    weight_bytes: int = 0
    layers: tuple[Layer, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    entrance: Callable[[FloatArray], FloatArray] | None = None
    inputs: tuple[ModelInput, ...] = ()
    outputs: tuple[str, ...] = ()
    output: str = ""
    format: str = ""
    writer: str = ""
    assumptions: tuple[Assumption, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examined:
    """What one random input showed.

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
    model: Scorer, shape: tuple[int, int, int], *, logits: bool, sigmoid: bool, whole: bool = False
) -> Examined:
    """Proves with random images what the scores are, and that the logits found belong to them.

    Args:
        model: compiled: `_scores` works.
        shape: of one input, (height, width, channels).
        logits: the adapter found values before a final softmax or sigmoid.
        sigmoid: the scores come out of a sigmoid: probabilities, each for itself.
        whole: the model takes whole numbers 0..255.
    """
    x = probe(shape, whole)
    scores = model._scores(x, logits=False)
    capabilities, warnings = {"predict", "gradients"}, []
    if logits:
        link, name = (sigmoid_of, "sigmoid") if sigmoid else (softmax, "softmax")
        difference = float(np.abs(link(model._scores(x, logits=True)) - scores).max())
        if difference <= LOGIT_TOLERANCE:
            capabilities.add("logits")
        else:
            warnings.append(
                f"The values before the {name} do not give the model's scores (they differ by {difference:.1e}); "
                "gradients are those of the probability."
            )
    kind: ScoreKind = "probability"
    if not are_probabilities(scores, each_for_itself=sigmoid):
        kind = "raw score"
        warnings.append("The scores are not probabilities: they are shown as raw scores.")
    return Examined(kind, frozenset(capabilities), tuple(warnings), seconds_per_image(model, shape), sigmoid)


def probe(shape: tuple[int, int, int], whole: bool = False) -> FloatArray:
    """Two random images (2, height, width, channels), always the same: normal noise, or whole numbers 0..255."""
    rng = np.random.default_rng(0)
    size = (PROBED_IMAGES, *shape)
    return (rng.integers(0, 256, size) if whole else rng.normal(size=size)).astype(np.float32)


def seconds_per_image(model: Scorer, shape: tuple[int, int, int]) -> float:
    """Seconds that one image of a batch of eight takes."""
    x = np.zeros((TIMED_IMAGES, *shape), np.float32)
    times = []
    for _ in range(3):  # the first call of a size prepares buffers; the quickest is the least disturbed
        start = time.perf_counter()
        model._scores(x, logits=False)
        times.append(time.perf_counter() - start)
    return min(times) / TIMED_IMAGES


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))  # max first: exp overflows float32 above 88
    return exponents / exponents.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def sigmoid_of(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sigmoid of each value."""
    return ((1 + np.tanh(logits / 2)) / 2).astype(np.float32)  # this form does not overflow


def are_probabilities(scores: NDArray[np.float32], each_for_itself: bool) -> bool:
    """Whether scores (N, classes) lie in 0..1 and, unless each stands for itself, sum to 1."""
    within = bool((scores >= 0).all() and (scores <= 1).all())
    return within and (each_for_itself or bool(np.allclose(scores.sum(axis=-1), 1, atol=1e-3)))


def describe(
    config: Config,
    path: Path,
    *,
    framework: str,
    anatomy: Anatomy,
    examined: Examined,
    versions: Iterable[tuple[str, str]],
    file: Path | None = None,
    files: list[Path] | None = None,
) -> ModelInfo:
    """What the rest of Picasso knows about a model that was opened and examined.

    Args:
        path: the model's file or folder, as configured.
        file: the one that pages name, where it is another.
        files: those that make the model, where `path` is not all of it.

    Raises:
        ConfigError: the labels do not fit the number of classes.
    """
    labels = tuple(load_labels(config.MODEL_LABELS, anatomy.classes, examined.sigmoid))
    return ModelInfo(
        name=config.MODEL_NAME or (path.name if path.is_dir() else path.stem),
        framework=framework,
        file=(file or path).name,
        modified=modified(file or path, files),
        fingerprint=fingerprint(file or path, files),
        functions=functions_fingerprint(config),
        input_shape=anatomy.shape,
        labels=labels,
        both_sides=len(labels) > anatomy.classes,
        score_kind=examined.kind,
        capabilities=examined.capabilities | ({"activations"} if any(x.convolution for x in anatomy.layers) else set()),
        parameters=anatomy.parameters,
        weight_bytes=anatomy.weight_bytes,
        warnings=(*anatomy.warnings, *examined.warnings),
        assumptions=anatomy.assumptions,
        layers=anatomy.layers,
        inputs=anatomy.inputs,
        outputs=anatomy.outputs,
        output=anatomy.output,
        format=anatomy.format,
        writer=anatomy.writer,
        versions=(*versions, ("numpy", np.__version__)),
        seconds_per_image=examined.seconds_per_image,
    )


def preprocessor(config: Config, shape: tuple[int, int, int]) -> ReadyMade | OwnFunction:
    """The configured preprocess function for a model that takes `shape`.

    Raises:
        ConfigError: it does not fit the model, or does not exist.
    """
    if isinstance(config.MODEL_PREPROCESS, str):
        name = config.MODEL_PREPROCESS
        return OwnFunction(import_function(name, "MODEL_PREPROCESS"), name, shape)
    try:
        return ReadyMade(config.MODEL_PREPROCESS, shape)
    except ValueError as error:
        raise ConfigError(f"MODEL_PREPROCESS does not fit the model: {error}", field="MODEL_PREPROCESS") from error


def decoder(config: Config) -> tuple[Callable[..., Any], str] | None:
    """The user's own decode function and its name, where one is configured.

    Raises:
        ConfigError: it does not exist.
    """
    if config.MODEL_DECODE is None:
        return None
    return import_function(config.MODEL_DECODE, "MODEL_DECODE"), config.MODEL_DECODE
