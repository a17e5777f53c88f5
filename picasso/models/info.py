"""What is known about a model that was opened: small and JSON-able. The web process has this, never the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ScoreKind = Literal["probability", "raw score"]
GRADIENT = 3.0  # times as long as scores take: forward and backward, as long as it is not measured


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
class OcclusionCost:
    """What hiding one window of an image costs, as it was planned and timed when the model was opened.

    Attributes:
        window: its side in pixels of the model's input; a longer one than the input is cut to it.
        seconds: measured for one size of windows, and from that by the work of the others.
        share: of the multiply-adds of running the whole network, 0..1.
        whole_from: the path of the first layer that is computed on whole maps.
        begin: seconds that an image takes beside its windows.
    """

    window: int
    seconds: float
    share: float
    whole_from: str
    begin: float = 0.0


def usual_window(shape: tuple[int, ...]) -> int:
    """The side of the windows that hide an image (height, width, ...) unless another one is chosen."""
    return max(1, round(min(shape[:2]) / 7))


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
        seconds_per_image: measured at load, for estimates; `seconds_per_gradient` when it warms up, 0 until then.
        occlusion: what windows of some sides cost, the smallest first, where less than the whole network is run for
            each; empty where that is not so, and until the model has warmed up.
        preview_speed: how many times as quick a preview in bfloat16 hides windows; 0 where there is none.
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
    seconds_per_gradient: float = 0.0
    occlusion: tuple[OcclusionCost, ...] = ()
    preview_speed: float = 0.0

    @property
    def classes(self) -> int:
        """How many scores the model gives."""
        return len(self.labels)

    @property
    def gradient_seconds(self) -> float:
        """Seconds that the gradient of an image takes: measured, or a guess as long as it is not."""
        return self.seconds_per_gradient or GRADIENT * self.seconds_per_image

    def occlusion_cost(self, window: int) -> OcclusionCost:
        """What hiding one window of that side costs, between those that are known; a whole image where none is."""
        if not self.occlusion:
            return OcclusionCost(window, self.seconds_per_image, 1.0, "")
        above = next((one for one in self.occlusion if one.window >= window), self.occlusion[-1])
        below = next((one for one in reversed(self.occlusion) if one.window <= window), self.occlusion[0])
        way = (window - below.window) / (above.window - below.window) if above.window > below.window else 0.0
        return OcclusionCost(
            window,
            below.seconds + way * (above.seconds - below.seconds),
            below.share + way * (above.share - below.share),
            above.whole_from,  # of a larger window an earlier layer is whole
            above.begin,
        )

    @property
    def usual_occlusion(self) -> OcclusionCost | None:
        """What hiding a window costs that is a seventh of the shorter side; None where it takes the whole network."""
        return self.occlusion_cost(usual_window(self.input_shape)) if self.occlusion else None

    @property
    def default_layer(self) -> str:
        """The path of the last layer before the scores that has more than one place; "" where there is none."""
        return next((layer.path for layer in reversed(self.layers) if layer.shape[0] * layer.shape[1] > 1), "")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the labels and the layers (there may be thousands)."""
        content = asdict(self)
        del content["labels"], content["layers"]
        return content | {
            "capabilities": sorted(self.capabilities),
            "versions": dict(self.versions),
            "classes": self.classes,
        }
