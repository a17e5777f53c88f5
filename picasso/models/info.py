"""What is known about a model that was opened: small and JSON-able. The web process has this, never the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ScoreKind = Literal["probability", "raw score"]


@dataclass(frozen=True)
class Layer:
    """A layer whose output is a map: (height, width, channels) for each image.

    Attributes:
        path: its name behind those of the nested models it lies in: "backbone/block5_conv3".
        kind: its class in the framework, "Conv2D".
        shape: (height, width, channels) of its output.
        convolution: its weights are convolved (Conv2D, DepthwiseConv2D, SeparableConv2D, Conv2DTranspose, ...).
    """

    path: str
    kind: str
    shape: tuple[int, int, int]
    convolution: bool


@dataclass(frozen=True)
class ModelInput:
    """One input of a model, without its batch dimension. `constant`: what it is filled with, "" for the image's."""

    name: str
    shape: tuple[int | None, ...]
    constant: str = ""


@dataclass(frozen=True)
class Assumption:
    """What Picasso took to be so because neither the model nor the config says it.

    Attributes:
        sentence: "Pixel values are mapped to 0..1: nothing in the model says otherwise."
        line: the config's line that decides it, to be changed: 'MODEL_PREPROCESS = {"scale": [0, 1]}'.
    """

    sentence: str
    line: str


@dataclass(frozen=True)
class OcclusionPlan:
    """What an occlusion will cost.

    Attributes:
        positions: windows.
        share: of the multiply-adds that running the network once per window takes, 0..1.
        whole_from: the path of the first layer that is computed on whole maps for some of the windows; "" where no
            layer is computed on patches.
        seconds: an estimate.
    """

    positions: int
    share: float
    whole_from: str
    seconds: float


@dataclass(frozen=True)
class ModelInfo:
    """What is known about a model.

    Attributes:
        name, framework, file: as pages show them; `file` is the file's name without its folder.
        modified: the file's date, seconds since 1970.
        fingerprint: sha-256 of the model's files, hexadecimal.
        functions: sha-256 of the preprocess and decode settings and, where they are the user's own, of their source.
        input_shape: (height, width, channels).
        labels: the classes' names, in the order of the outputs.
        score_kind: what `predict` returns.
        both_sides: the network gives one sigmoid score p, which is shown as two classes: 1 - p and p.
        capabilities: what `needs` of a visualization is compared with: "predict", "gradients", "logits" (the value
            before the final softmax or sigmoid), "activations" (of at least one convolution), "guided" (gradients by
            guided backpropagation: every activation is a ReLU).
        parameters, weight_bytes: how many numbers the model has learnt, and the bytes they take.
        warnings: sentences about what looks wrong.
        assumptions: what was taken to be so, each with the line that changes it.
        versions: of the libraries that decide the numbers.
        seconds_per_image: measured at load, for estimates.
        layers: those with a map as output, in order from the image to the scores.
        format: what kind of file it is: "Keras 3 (.keras)", "SavedModel", ...
        writer: which program wrote it, as far as the file says: "Keras 2.15.0".
        inputs: all of them, in the model's order.
        outputs: the names of those that can be explained; `output`: the one that is.
        pixels: the values that pictures are given to the model in: "0..1", "0..255", ...
    """

    name: str
    framework: str
    file: str
    modified: float
    fingerprint: str
    functions: str
    input_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    score_kind: ScoreKind
    capabilities: frozenset[str]
    parameters: int
    warnings: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    seconds_per_image: float = 0.0
    weight_bytes: int = 0
    layers: tuple[Layer, ...] = ()
    format: str = ""
    writer: str = ""
    inputs: tuple[ModelInput, ...] = ()
    outputs: tuple[str, ...] = ()
    output: str = ""
    pixels: str = ""
    both_sides: bool = False

    @property
    def classes(self) -> int:
        """How many scores the model gives."""
        return len(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the labels and the layers (there may be thousands)."""
        content = asdict(self)
        del content["labels"], content["layers"]
        return content | {
            "capabilities": sorted(self.capabilities),
            "versions": dict(self.versions),
            "classes": self.classes,
        }
