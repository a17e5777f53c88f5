"""Draws maps: numbers to colours, with an opacity that follows the value, so that the picture below stays visible.

Unsigned maps run from transparent to bright (sequential); signed maps from one colour through transparent to another
(diverging), with zero in the middle.
"""

from __future__ import annotations

from functools import lru_cache

import cmap
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

SEQUENTIAL = {"inferno": "bids:inferno", "magma": "bids:magma", "viridis": "bids:viridis"}
DIVERGING = {"coolwarm": "matplotlib:coolwarm", "vik": "crameri:vik", "berlin": "crameri:berlin"}
COLOURS = SEQUENTIAL | DIVERGING  # the name that pages use -> the name that cmap knows
LEVELS = 256
FULL_FROM = 0.6  # from this share of the range on, a map is as opaque as it gets
BAR_SIZE = (256, 12)
PALE = 0.35  # how much of its colour a picture keeps under a map


@lru_cache(maxsize=16)
def table(colours: str) -> NDArray[np.uint8]:
    """Colours and opacities for 256 levels, uint8 (256, 4).

    Raises:
        KeyError: no such colour map.
    """
    share = np.linspace(0, 1, LEVELS)
    rgba = np.asarray(cmap.Colormap(COLOURS[colours])(share), np.float64)
    strength = np.abs(2 * share - 1) if colours in DIVERGING else share
    rgba[:, 3] = np.clip(strength / FULL_FROM, 0, 1)
    return (rgba * 255).round().astype(np.uint8)


def draw(values: NDArray[np.floating], low: float, high: float, colours: str) -> Image.Image:
    """A map as a picture, mode "RGBA".

    Args:
        values: (height, width); NaN and infinity become transparent.
        low, high: the values at the ends of the colours; what lies beyond takes the end's colour. Where both are the
            same, all is in the middle of diverging colours, at the low end of others.
        colours: one of `COLOURS`.
    """
    span = high - low
    missing = ~np.isfinite(values)
    known = np.where(missing, low, values)
    share = (known - low) / span if span > 0 else np.full(values.shape, 0.5 if colours in DIVERGING else 0.0)
    levels = (np.clip(share, 0, 1) * (LEVELS - 1)).round().astype(np.uint8)
    pixels = table(colours)[levels]
    pixels[missing] = 0
    return Image.fromarray(pixels)


def over(picture: Image.Image, layer: Image.Image, opacity: float) -> Image.Image:
    """A drawn map over a picture, mode "RGB".

    Args:
        picture: shown with less colour, so that colour means the map.
        layer: "RGBA"; brought to the picture's size.
        opacity: 0..1, of the whole layer.
    """
    below = ImageEnhance.Color(picture.convert("RGB")).enhance(PALE)
    above = layer if layer.size == below.size else layer.resize(below.size, Image.Resampling.NEAREST)
    mask = above.getchannel("A").point(lambda alpha: round(alpha * opacity))
    below.paste(above.convert("RGB"), mask=mask)
    return below


def draw_over(
    picture: Image.Image,
    values: NDArray[np.floating],
    low: float | None = None,
    high: float | None = None,
    colours: str | None = None,
    opacity: float = 1.0,
    signed: bool | None = None,
) -> Image.Image:
    """A map (height, width) over its picture, mode "RGB".

    Args:
        low, high: the values at the ends of the colours; unless given they span the whole map, from 0 or, where it is
            signed, with 0 in the middle.
        colours: one of `COLOURS`; diverging ones for signed maps unless given.
        opacity: of the map, 0..1.
        signed: whether the map is; one with negative values is unless given.

    Raises:
        ValueError: `low` is above `high`, there are no such colours, or no such opacity; the message is a sentence.
    """
    if colours is not None and colours not in COLOURS:
        raise ValueError(f"'colours' should be one of {', '.join(COLOURS)}, got {colours!r}.")
    if not 0 <= opacity <= 1:
        raise ValueError(f"'opacity' should be 0..1, got {opacity:g}.")
    finite = values[np.isfinite(values)]
    signed = bool(finite.min(initial=0) < 0) if signed is None else signed
    limit = float(np.abs(finite).max(initial=0))
    low = low if low is not None else -limit if signed else 0.0
    high = high if high is not None else limit
    if low > high:
        raise ValueError(f"'low' should be at most 'high', got {low:g} and {high:g}.")
    return over(picture, draw(values, low, high, colours or ("coolwarm" if signed else "inferno")), opacity)


def bar(colours: str) -> Image.Image:
    """The colours from low to high as a horizontal bar, mode "RGBA"."""
    return Image.fromarray(np.repeat(table(colours)[None], BAR_SIZE[1], axis=0))
