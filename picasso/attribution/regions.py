"""A part of a picture as text that fits into a link, and pictures in which it is hidden, or everything else.

Two forms: a rectangle, "left,top,width,height", which may overhang the picture; and whatever was painted, as the
lengths of its runs: row by row, how many pixels lie outside, how many inside, how many outside, ..., in base 36 with
dots between ("2k0.8.5w.a" begins 3312 pixels in). A last run that lies outside is not written.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from picasso.attribution.targets import FloatArray

Mask = NDArray[np.bool_]
_RECTANGLE = re.compile(r"(-?\d{1,6}),(-?\d{1,6}),(\d{1,6}),(\d{1,6})", re.ASCII)
_RUNS = re.compile(r"[0-9a-z]{1,7}(\.[0-9a-z]{1,7})*", re.ASCII)


def rectangle(left: int, top: int, width: int, height: int) -> str:
    """A rectangle as text."""
    return f"{left},{top},{width},{height}"


def middle(shape: tuple[int, int]) -> str:
    """A square in the middle of a picture (height, width), a third of its shorter side."""
    side = max(1, min(shape) // 3)
    return rectangle((shape[1] - side) // 2, (shape[0] - side) // 2, side, side)


def mask_of(text: str, shape: tuple[int, int]) -> Mask:
    """Which pixels a text means: bool (height, width). Nothing is "".

    Raises:
        ValueError: the text is no region of a picture of that shape; a sentence.
    """
    if "," in text:
        return _rectangle_mask(text, shape)
    inside = np.zeros(shape, bool)
    if text:
        _fill_runs(inside.reshape(-1), text)
    return inside


def words(text: str) -> str:
    """A region in words: "40 × 40 px at 92, 64", "3,420 px painted"."""
    if found := _RECTANGLE.fullmatch(text):
        left, top, width, height = found.groups()
        return f"{width} × {height} px at {left}, {top}"
    if not _RUNS.fullmatch(text):
        return text and "not a region"
    return f"{sum(int(run, 36) for run in text.split('.')[1::2]):,} px painted"


def covered(x: FloatArray, fill: FloatArray, mask: Mask, keep: bool) -> FloatArray:
    """A picture (height, width, channels) with `fill` in the place of the region; with `keep`, of everything else."""
    return np.where((mask != keep)[..., None], fill, x).astype(np.float32)


def _rectangle_mask(text: str, shape: tuple[int, int]) -> Mask:
    found = _RECTANGLE.fullmatch(text)
    if not found:
        raise ValueError(f"A rectangle is four whole numbers, left,top,width,height; got {text[:60]!r}.")
    left, top, width, height = map(int, found.groups())
    inside = np.zeros(shape, bool)
    inside[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    if not inside.any():
        raise ValueError(f"The rectangle {text} does not touch the picture of {shape[1]} x {shape[0]} pixels.")
    return inside


def _fill_runs(flat: NDArray[np.bool_], text: str) -> None:
    if not _RUNS.fullmatch(text):
        raise ValueError(f"A painted region is run lengths in base 36 with dots between; got {text[:60]!r}.")
    runs = [int(run, 36) for run in text.split(".")]
    if sum(runs) > flat.size:
        raise ValueError(f"The painted region has {sum(runs):,} pixels, the picture {flat.size:,}.")
    ends = np.cumsum(runs)
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        flat[start:end] = True
