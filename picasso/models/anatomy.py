"""What an adapter reads from a network before running it; what pixel values it takes is told from this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from picasso.models.info import Assumption, Layer, ModelInput
from picasso.models.preprocessing import FloatArray


@dataclass(frozen=True)
class Kernel:
    """The weights of one 2-D convolution, however the framework keeps them: what families of networks are known by.

    Attributes:
        kind: "depthwise" where each channel is convolved for itself by the framework's own layer for that.
        inputs: channels that one kernel reads: 1 for a depthwise one, fewer than the layer's for a grouped one.
        outputs: channels that come out, for a depthwise one the inputs times its multiplier.
    """

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
        whole: the model takes whole numbers 0..255.
        output_classes: how many scores each output gives that can be explained, by name; None where that is open.
        The others are as in `ModelInfo`.
    """

    shape: tuple[int, int, int]
    classes: int
    parameters: int
    weight_bytes: int = 0
    layers: tuple[Layer, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    entrance: Callable[[FloatArray], FloatArray] | None = None
    whole: bool = False
    inputs: tuple[ModelInput, ...] = ()
    outputs: tuple[str, ...] = ()
    output: str = ""
    output_classes: Mapping[str, int | None] = field(default_factory=dict)
    format: str = ""
    writer: str = ""
    assumptions: tuple[Assumption, ...] = ()
    warnings: tuple[str, ...] = ()
