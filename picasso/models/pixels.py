"""Which pixel values a model takes, where the config does not say: from its input, its first layers, its structure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from picasso.config import Config, Preprocessing, Scale
from picasso.models.anatomy import Anatomy
from picasso.models.families import family_of
from picasso.models.info import Assumption
from picasso.models.preprocessing import FloatArray
from picasso.models.ranges import describe_range

LEVELS = (0.0, 1.0, 255.0)  # of the solid pictures that the first layers are tried with
BETWEEN = 128.0  # of another: what no longer changes from there to 255 was clipped
BELOW = (-1.0, -255.0)  # of those that tell where a clip begins

# What scaled pictures may reach: ranges in use end at 1 to 3; dark pictures, standardised, at some 25. And how far
# black and white are apart at least: 1 for 0..1; 2 or more for anything standardised, as no standard deviation is
# more than half of the range. 50 / 255 is less than 0.5: what fits 0..255 is too narrow for 0..1.
LARGEST, NARROWEST = 50.0, 0.5
# The pixel values that subtracting a mean may turn to zero. A mean of pixels 0..255 is far above 1, so it tells the
# range also where nothing is divided. At the ends of 0..1 it tells nothing: the range may as well begin below 0.
MEANS_255, MEANS_1 = (8.0, 255.0), (0.05, 0.95)

PIXELS, UNIT, SIGNED = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)
Taken = Literal["0..255", "0..1", "clipped to 0..1", "clipped to -1..1", "as given", "not known"]
TOLD: dict[str, tuple[tuple[float, float], str]] = {  # what the first layers show, with the sentence that says so
    "0..255": (PIXELS, "The model scales pixel values itself, so it is given 0..255."),
    "0..1": (UNIT, "The model scales pixel values itself, from 0..1, so it is given these."),
    "clipped to 0..1": (UNIT, "The model clips pixel values to 0..1, so it is given these."),
    "clipped to -1..1": (SIGNED, "The model clips pixel values to -1..1, so it is given these."),
}


@dataclass(frozen=True)
class Pixels:
    """What a model is given.

    Attributes:
        preprocess: `MODEL_PREPROCESS`, with a range where it is the ready-made function.
        text: the range in a few words, for pages.
        assumptions: one, where the config has no range.
    """

    preprocess: Preprocessing | str
    text: str
    assumptions: tuple[Assumption, ...] = ()


def find_pixels(config: Config, anatomy: Anatomy) -> Pixels:
    """The pixel values to give the model: those of the config, else what the model shows, else 0..1."""
    written = config.MODEL_PREPROCESS
    if isinstance(written, str):
        return Pixels(written, f"as {written} gives them")
    if written.has_range:
        return Pixels(written, describe_range(written))
    scale, sentence = _found(anatomy)
    spec = Preprocessing(geometry=written.geometry, resample=written.resample, scale=scale)
    return Pixels(spec, describe_range(spec), (Assumption(sentence, preprocess_line(spec)),))


def preprocess_line(spec: Preprocessing) -> str:
    """The line of a config that says `spec`; what is a default, other than the geometry, is left out."""
    parts = {"geometry": spec.geometry} | spec.model_dump(mode="json", exclude_defaults=True)
    return "MODEL_PREPROCESS = " + re.sub(r"\.0\b", "", json.dumps(parts))


def _found(anatomy: Anatomy) -> tuple[Scale | tuple[float, float], str]:
    """The range, and the sentence that says why."""
    if anatomy.whole:
        return PIXELS, "The model takes whole numbers: pictures are given to it as 0..255."
    taken = taken_by(anatomy.entrance, anatomy.shape)
    if taken in TOLD:
        return TOLD[taken]
    family = family_of(anatomy)
    if family is None or taken == "not known":
        return UNIT, "Pixel values are mapped to 0..1: nothing in the model says which range it was trained on."
    if family.inside and anatomy.entrance is None:
        return PIXELS, f"The model is built as {family.name}, which scales pixel values itself: it is given 0..255."
    return family.scale, f"The model is built as {family.name}: it is given the pixel values that this takes."


def taken_by(entrance: Callable[[FloatArray], FloatArray] | None, shape: tuple[int, int, int]) -> Taken:
    """Which pixel values fit what the model does before its first learnt layer.

    Args:
        entrance: as in `Anatomy`.
        shape: (height, width, channels).

    Returns:
        "as given": nothing is done to them, or nobody knows what. "not known": something that tells no range.
    """
    if entrance is None:
        return "as given"
    # A picture with another level in each channel shows whether channels change places.
    colours = np.broadcast_to(np.resize(np.array(LEVELS, np.float32), shape[2]), shape)
    pictures = np.stack([*_solid([*LEVELS, BETWEEN], shape), colours])
    given = entrance(pictures).astype(np.float32)
    black, one, white, between, _ = (_middle(x) for x in given)
    if all(_same(x, picture) for x, picture in zip(given, pictures, strict=True)):
        return "as given"
    if np.array_equal(between, white):
        if not np.array_equal(one, white) or np.abs(one - black).min() < NARROWEST:
            return "not known"
        minus_one, minus_white = (_middle(x) for x in entrance(_solid(BELOW, shape)).astype(np.float32))
        is_signed = np.array_equal(minus_one, minus_white) and not np.array_equal(minus_one, black)
        return "clipped to -1..1" if is_signed else "clipped to 0..1"
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = -black / (one - black)  # the level that becomes zero, in each channel
    is_scaled = np.abs([black, white]).max() <= LARGEST and np.abs(white - black).min() >= NARROWEST
    if is_scaled or _is_within(zero, MEANS_255):
        return "0..255"
    if _is_within(zero, MEANS_1) and np.abs(one - black).min() >= NARROWEST:
        return "0..1"
    return "not known"


def _solid(levels: Sequence[float], shape: tuple[int, int, int]) -> FloatArray:
    """A picture (height, width, channels) of each level."""
    return np.stack([np.full(shape, level, np.float32) for level in levels])


def _middle(x: FloatArray) -> FloatArray:
    """The pixel in the middle, away from padding; all values where the picture was flattened."""
    return x[x.shape[0] // 2, x.shape[1] // 2] if x.ndim == 3 else x.ravel()


def _same(x: FloatArray, picture: FloatArray) -> bool:
    wanted = _middle(picture) if x.ndim == 3 else picture.ravel()
    return _middle(x).shape == wanted.shape and bool(np.allclose(_middle(x), wanted, atol=1e-3))


def _is_within(levels: FloatArray, ends: tuple[float, float]) -> bool:
    return bool(((levels >= ends[0]) & (levels <= ends[1])).all())
