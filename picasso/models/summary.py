"""What is known about a model, in words: for the page about it and for `picasso inspect`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from picasso.config import Config
from picasso.models.base import Model
from picasso.models.info import Layer, ModelInfo
from picasso.models.preprocessing import ReadyMade
from picasso.numbers import percent

FEW = 8  # classes that are written out
LISTED_CLASSES = 100  # with more of them a config file names a file
MEBIBYTE = 2**20


def facts(info: ModelInfo) -> list[tuple[str, str]]:
    """What a model is, as (what, value) for people."""
    height, width, channels = info.input_shape
    found = [
        ("File", f"{info.file}: {info.format}" if info.format else info.file),
        ("Written by", info.writer),
        ("Framework", ", ".join(f"{name} {version}" for name, version in info.versions)),
        ("Image", f"{width} pixels wide, {height} high, {_count(channels, 'channel')}"),
        ("Pixel values", info.pixels),
        *(
            (f"Input {other.name}", f"{_shape(other.shape)}, filled with {other.constant}")
            for other in info.inputs
            if other.constant
        ),
        ("Output", info.output if len(info.outputs) > 1 else ""),
        ("Other outputs", ", ".join(name for name in info.outputs if name != info.output)),
        ("Classes", f"{info.classes}: {_few(info.labels)}"),
        ("Scores", {"probability": "probabilities", "raw score": "raw scores"}[info.score_kind]),
        ("Logits", "yes" if "logits" in info.capabilities else "none"),
        ("Gradients", "yes" if "gradients" in info.capabilities else "none"),
        ("Layers for CAM", _layers(info.layers)),
        ("Occlusion", _occlusion(info)),
        ("Parameters", f"{info.parameters:,}, {info.weight_bytes / MEBIBYTE:,.1f} MiB"),
        ("Speed", f"{info.seconds_per_image * 1000:,.1f} ms for an image of a batch"),
    ]
    return [(what, value) for what, value in found if value]


def _shape(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape) or "one number"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:FEW]) + (", …" if len(names) > FEW else "")


def _layers(layers: tuple[Layer, ...]) -> str:
    convolutions = [layer for layer in layers if layer.convolution]
    if not convolutions:
        return "none: the model has no convolution"
    last = convolutions[-1]
    return f"{_count(len(convolutions), 'convolution')}; the last is {last.path}, {_shape(last.shape)}"


def _occlusion(info: ModelInfo) -> str:
    usual = info.usual_occlusion
    if usual is None:
        return "the whole network is run for each window"
    kind = next((f" ({layer.kind})" for layer in info.layers if layer.path == usual.whole_from), "")
    return (
        f"{percent(usual.share)} of the work of running the network for each window of {usual.window} px, with the "
        f"same scores; on whole maps from {usual.whole_from}{kind} on"
    )


def ready_config(config: Config, model: Model) -> str:
    """A config file for a model, as Python source: what is set, what was found, what was assumed and why."""
    info = model.info
    values: dict[str, Any] = {"MODEL_NAME": info.name, "MODEL_FRAMEWORK": info.framework}
    values |= {"MODEL_PATH": config.MODEL_PATH and config.MODEL_PATH.resolve()}
    set_here = (key for key in Config.model_fields if key.startswith("MODEL_") and key in config.model_fields_set)
    values = {key: getattr(config, key) for key in set_here} | values
    if isinstance(model.preprocessor, ReadyMade):
        spec = model.preprocessor.spec
        values["MODEL_PREPROCESS"] = {"geometry": spec.geometry} | spec.model_dump(mode="json", exclude_defaults=True)
    lines = {key: f"{key} = {_source(value)}" for key, value in values.items()}
    for one in info.assumptions:
        lines[one.line.partition(" ")[0]] = f"# {one.sentence}\n{one.line}"
    if "MODEL_LABELS" not in lines and info.classes <= LISTED_CLASSES:
        lines["MODEL_LABELS"] = f"MODEL_LABELS = {_source(info.labels)}"
    return "\n".join(lines.values()) + "\n"


def _source(value: Any) -> str:
    """A value as Python source, with double quotes."""
    if isinstance(value, str | os.PathLike):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_source(key)}: {_source(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_source(one) for one in value) + "]"
    return repr(value)
