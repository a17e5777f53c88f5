"""From uploaded pictures to what a model takes, with the geometry known.

`Preprocess` is either the ready-made function (`picasso.config.Preprocessing`) or the user's own. Both give a
`Prepared`: the array, a picture of what the model sees, and where that picture lies in the original.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from picasso.config import Preprocessing
from picasso.errors import ConfigError, ModelError, NotFinite, blame
from picasso.models.ranges import Range

FloatArray = NDArray[np.float32]
PADDING_GREY = 128  # letterbox bars, 0..255
EXAMPLE = 'MODEL_PREPROCESS = {"geometry": "resize", "scale": [0, 1]}'


@dataclass(frozen=True)
class Box:
    """A rectangle in an original picture's pixels, as floats. It may reach beyond the picture (letterbox)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Prepared:
    """What `preprocess` gives for N pictures.

    Attributes:
        x: float32 (N, height, width, channels), as the model takes it.
        views: N pictures (width, height) of what the model sees, mode "L" or "RGB".
        boxes: for each, which part of the original its view shows; None when not known (a function of one's own).
        exact: True when the views are the very pixels; False when they were stretched from `x` for display.
        dtype: of the numbers before they became float32.
    """

    x: FloatArray
    views: list[Image.Image]
    boxes: list[Box | None]
    exact: bool
    dtype: np.dtype[Any] = np.dtype(np.float32)  # noqa: RUF009 - cannot be changed

    def seen(self, index: int) -> dict[str, Any]:
        """What one picture's result page needs to lay maps over it: {"view", "box", "exact"}."""
        box = self.boxes[index]
        return {"view": self.views[index], "box": None if box is None else astuple(box), "exact": self.exact}


class ReadyMade:
    """The ready-made preprocess function.

    Args:
        spec: the geometry and the range.
        shape: the model's input (height, width, channels); channels is 1 or 3.
    """

    def __init__(self, spec: Preprocessing, shape: tuple[int, int, int]) -> None:
        height, width, channels = shape
        if channels not in (1, 3):
            raise ConfigError(
                f"The model takes {channels} channels; the ready-made preprocess makes 1 or 3. "
                'Write your own and name it: MODEL_PREPROCESS = "module:function".',
                field="MODEL_PREPROCESS",
            )
        if isinstance(spec.scale, tuple) and spec.scale[0] == spec.scale[1]:
            raise ConfigError(f"MODEL_PREPROCESS: 'scale' needs two different ends, got {spec.scale}.")
        self.range = Range.of(spec)
        for name, values in (("subtract", self.range.subtract), ("divide", self.range.divide)):
            if isinstance(values, tuple) and len(values) != channels:
                named = "scale" if spec.scale else name
                raise ConfigError(
                    f"MODEL_PREPROCESS: '{named}' has {len(values)} numbers, but the model takes {channels} channels.",
                    field="MODEL_PREPROCESS",
                )
        if not np.all(self.range.divide):
            raise ConfigError(f"MODEL_PREPROCESS: 'divide' may not be 0, got {spec.divide}.")
        self.spec = spec
        self.size = (width, height)
        self.resample = Image.Resampling[spec.resample.upper()]
        self.mode = "L" if channels == 1 else "RGB"
        self.channels = channels

    def __call__(self, images: Sequence[Image.Image]) -> Prepared:
        """Brings pictures of any mode and size to the model's size and range."""
        pairs = [fit(image.convert(self.mode), self.size, self.spec.geometry, self.resample) for image in images]
        views = [view for view, _ in pairs]
        pixels = np.stack([np.asarray(view, np.float32) for view in views])
        pixels = pixels.reshape(len(views), self.size[1], self.size[0], self.channels)
        return Prepared(self.range.enter(pixels), views, [box for _, box in pairs], exact=True)

    def picture(self, x: FloatArray) -> Image.Image:
        """The picture whose input `x` (height, width, channels) is: the range turned back to 0..255."""
        whole = np.clip(self.range.leave(x).round(), 0, 255).astype(np.uint8)
        return Image.fromarray(whole[..., 0] if self.channels == 1 else whole)


def fit(
    image: Image.Image,
    size: tuple[int, int],
    geometry: str,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> tuple[Image.Image, Box]:
    """One picture at `size` (width, height), and the part of it that this shows.

    `resize` stretches; `center_crop` fits the shorter side and keeps the middle; `letterbox` fits the longer side and
    pads evenly with grey.
    """
    width, height = size
    if geometry == "resize":
        return image.resize(size, resample), Box(0, 0, *image.size)
    across, down = image.width / width, image.height / height
    if geometry == "center_crop":
        scale = min(across, down)
        # min: the product may be a rounding error above the picture's own side, which Pillow refuses
        box = _centred(image.size, (min(width * scale, image.width), min(height * scale, image.height)))
        return image.resize(size, resample, box=(box.left, box.top, box.right, box.bottom)), box
    scale = max(across, down)
    inner = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    offset = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    canvas = Image.new(image.mode, size, PADDING_GREY if image.mode == "L" else (PADDING_GREY,) * 3)
    canvas.paste(image.resize(inner, resample), offset)
    step = (image.width / inner[0], image.height / inner[1])
    left, top = -offset[0] * step[0], -offset[1] * step[1]
    return canvas, Box(left, top, left + width * step[0], top + height * step[1])


def _centred(outer: tuple[int, int], inner: tuple[float, float]) -> Box:
    left, top = (outer[0] - inner[0]) / 2, (outer[1] - inner[1]) / 2
    return Box(left, top, left + inner[0], top + inner[1])


class OwnFunction:
    """A user's own preprocess function, checked at every call.

    Args:
        function: takes a list of PIL images, returns (N, height, width, channels).
        name: as the config has it, for errors.
        shape: what the model takes.
    """

    def __init__(self, function: Callable[..., Any], name: str, shape: tuple[int, int, int]) -> None:
        self.function = function
        self.name = name
        self.shape = shape
        self._one_at_a_time = threading.Lock()

    def __call__(self, images: Sequence[Image.Image]) -> Prepared:
        """Calls the function and checks what comes back.

        Raises:
            ModelError: it failed (with file and line), or gave a wrong shape or dtype.
            NotFinite: it gave numbers that are not finite.
        """
        try:
            with self._one_at_a_time:
                x = np.asarray(self.function(list(images)))
        except Exception as error:
            raise ModelError(f"The preprocess function {self.name} failed{blame(error, __file__)}") from error
        wanted = (len(images), *self.shape)
        if x.shape != wanted or x.dtype.kind not in "fiub":
            raise ModelError(
                f"The preprocess function {self.name} must return {wanted} numbers (images, height, width, channels) "
                f"for this model; it returned {x.shape} of {x.dtype}. The ready-made one is: {EXAMPLE}"
            )
        if not np.isfinite(x).all():
            raise NotFinite(
                f"The preprocess function {self.name} returned numbers that are NaN or infinite. It must return "
                f"{wanted} finite numbers (images, height, width, channels), also for a picture of one colour, where "
                "dividing by its range or deviation divides by 0."
            )
        dtype, x = x.dtype, x.astype(np.float32)
        return Prepared(x, [visible(one) for one in x], [None] * len(x), exact=False, dtype=dtype)

    def picture(self, x: FloatArray) -> Image.Image:
        """A picture of one input, stretched to what a screen can show."""
        return visible(x)


def visible(x: FloatArray) -> Image.Image:
    """A picture of one input (height, width, channels): its smallest value black, its largest white."""
    low, high = float(x.min()), float(x.max())
    pixels = np.zeros(x.shape, np.uint8) if high <= low else ((x - low) / (high - low) * 255).astype(np.uint8)
    if pixels.shape[-1] == 3:
        return Image.fromarray(pixels)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels.mean(axis=-1).astype(np.uint8))
