"""Model configs of Keras 1, Keras 2 and newer Keras 3, rewritten as this Keras reads them.

`modern` is the one door. What was only renamed is renamed by a table; what changes no score (regularizers, empty
arguments) is left out, and weights begin with zeros; what this Keras cannot express is an error that names it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras

from picasso.errors import ModelError
from picasso.models import keras_operations

CLASSES = {  # old: new
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "Model": "Functional",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
MERGES = {  # Keras 1's Merge(mode=...)
    "sum": "Add",
    "mul": "Multiply",
    "concat": "Concatenate",
    "ave": "Average",
    "max": "Maximum",
}
RENAMED = {  # old argument: new one; "Class.argument" where only that class renamed it
    "atrous_rate": "dilation_rate",
    "batch_input_shape": "batch_shape",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample": "strides",
    "concat_axis": "axis",
    "BatchNormalization.mode": None,
    "Dense.output_dim": "units",
    "Dropout.p": "rate",
    "SpatialDropout2D.p": "rate",
    "GaussianDropout.p": "rate",
    "GaussianNoise.sigma": "stddev",
    "LeakyReLU.alpha": "negative_slope",
    "ReLU.theta": "threshold",
}
VALUES: dict[str, dict[str, str]] = {  # argument: {old value: new value}
    "data_format": {"tf": "channels_last", "th": "channels_first", "default": "channels_last"},
}
# Functions that have the same name in this Keras, but other numbers: hard_sigmoid was clip(0.2 x + 0.5, 0, 1).
CHANGED_FUNCTIONS = {"hard_sigmoid": f"{keras_operations.NAMESPACE}>keras2_hard_sigmoid"}
NOTHING: Mapping[str, Any] = MappingProxyType({})
# Without effect on scores: weights are loaded, nothing is trained, nothing is randomly drawn.
WITHOUT_EFFECT = ("init", "_init", "initializer", "_initializer", "regularizer", "_regularizer", "_constraint")
IGNORED = frozenset(
    {"input_dtype", "input_dim", "input_length", "sparse", "ragged", "weights", "mode_type", "time_major", "fused"}
    | {"implementation", "virtual_batch_size", "adjustment", "renorm_momentum", "renorm_clipping", "rng_type"}
)
BASE_ARGUMENTS = frozenset({"name", "trainable", "dtype", "input_shape", "autocast"})
MODELS = ("Functional", "Sequential")
# Layers that networks of keras.applications have, but keras.layers has not, and the modules where they are.
APPLICATIONS = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}


def old_names(config: Any) -> Any:
    """The config of a file of Keras 1 or 2: functions that have changed since are the old ones, names have no "/"."""
    if isinstance(config, list):
        if len(config) in (3, 4) and isinstance(config[0], str) and isinstance(config[1], int):  # a layer's call
            return [config[0].replace("/", "_"), *(old_names(item) for item in config[1:])]
        return [old_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {key: _old_name(key, value) if isinstance(value, str) else old_names(value) for key, value in config.items()}


def _old_name(key: str, value: str) -> str:
    if key.endswith("activation"):
        return CHANGED_FUNCTIONS.get(value, value)
    return value.replace("/", "_") if key == "name" else value


def modern(config: Any, custom: Mapping[str, Any] = NOTHING) -> Any:
    """The config of a model or layer, as this Keras reads it. The argument stays as it is.

    Args:
        config: {"class_name", "config", ...}, as a file has it.
        custom: the user's own layers and functions by name; their configs are theirs.

    Raises:
        ModelError: a layer or argument that this Keras does not know; the sentence says what to write or do.
    """
    if isinstance(config, list):
        return [modern(item, custom) for item in config]
    if not isinstance(config, dict):
        return config
    kind = config.get("class_name")
    if kind in ("__tuple__", "TensorShape"):
        return [modern(item, custom) for item in config.get("items", ())]
    if kind == "__ellipsis__":
        return {"class_name": kind, "config": {}}
    if isinstance(kind, str) and isinstance(config.get("config"), dict | list) and not kind.startswith("__"):
        return _layer(config, kind, custom)
    return {key: modern(value, custom) for key, value in config.items()}


def _layer(item: dict[str, Any], kind: str, custom: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in item.items() if key != "compile_config"}
    registered = str(item.get("registered_name") or kind)
    if {kind, registered, kind.split(">")[-1]} & set(custom):
        values = item["config"]
        inner = {key: modern(value, custom) for key, value in values.items()} if isinstance(values, dict) else values
        return rest | {"config": inner, "registered_name": registered}
    values = item["config"] if isinstance(item["config"], dict) else {"layers": item["config"]}  # Keras 1: a list
    if kind == "Merge":
        kind = _merge(values)
    kind = CLASSES.get(kind, kind)
    if kind in keras_operations.TENSORFLOW_LAYERS:
        kept = {key: value for key, value in rest.items() if key != "build_config"}
        return kept | keras_operations.layer_config(values)
    is_operation = "trainable" not in values and any(isinstance(node, dict) for node in item.get("inbound_nodes", ()))
    module, known = _find(kind, item.get("module"), is_operation)
    if known is None:
        raise ModelError(
            f"The model file names {kind.split('>')[-1]}, which is not part of Keras {keras.__version__}. Write "
            f'MODEL_CUSTOM_OBJECTS = {{"{kind.split(">")[-1]}": "module:{kind.split(">")[-1]}"}} in the config, with '
            "your module that defines it.",
            field="MODEL_CUSTOM_OBJECTS",
        )
    if kind in MODELS:
        values = _model(values, kind, custom)
    elif issubclass(known, keras.layers.Layer):
        values = _arguments(values, kind, known, custom)
    else:
        values = {key: modern(value, custom) for key, value in values.items()}
    return rest | {"class_name": kind, "module": module, "config": values, "registered_name": None}


def _find(kind: str, module: Any, is_operation: bool) -> tuple[str, Any]:
    """Where Keras has a class: (module, class), or (module, None). Some operations have a layer's name: Subtract."""
    place = keras_operations.keras_operation(kind) if is_operation else None
    if place is not None:
        return place
    for package in ("layers", "models"):
        found = getattr(getattr(keras, package), kind, None)
        if inspect.isclass(found):
            return f"keras.{package}", found
    if kind in APPLICATIONS and (module is None or ".applications." in str(module)):  # not somebody else's
        return APPLICATIONS[kind], getattr(importlib.import_module(APPLICATIONS[kind]), kind)
    if kind == "Functional":
        return "keras.src.models.functional", keras.Model
    for package in ("initializers", "regularizers", "constraints", "dtype_policies", "random", "quantizers"):
        found = getattr(getattr(keras, package, None), kind, None)
        if inspect.isclass(found):
            return f"keras.{package}", found
    return str(module), None


def _merge(values: dict[str, Any]) -> str:
    mode = values.get("mode")
    if mode not in MERGES:
        raise ModelError(
            f"The file's Merge layer {values.get('name')} has mode {mode!r}; Picasso knows {', '.join(MERGES)}. "
            'Build the model in code and name the function: MODEL_BUILD = "module:function".'
        )
    for key in ("mode", "mode_type", "output_shape", "output_shape_type", "output_mask", "output_mask_type",
                "arguments", "dot_axes") + (() if mode == "concat" else ("concat_axis",)):  # fmt: skip
        values.pop(key, None)
    return MERGES[str(mode)]


def _model(values: dict[str, Any], kind: str, custom: Mapping[str, Any]) -> dict[str, Any]:
    layers = [modern(layer, custom) for layer in values.get("layers", [])]
    values = {key: value for key, value in values.items() if key != "dtype"} | {"layers": layers}
    values.setdefault("name", kind.lower())
    if kind == "Sequential":
        _explicit_input(layers, values.pop("batch_input_shape", None) or values.pop("build_input_shape", None))
        return values
    return keras_operations.graph(values)


def _explicit_input(layers: list[dict[str, Any]], shape: Any) -> None:
    """Keras 1 and 2 wrote a Sequential model's input shape into its first layer."""
    first = layers[0]["config"] if layers and isinstance(layers[0].get("config"), dict) else {}
    if not layers or layers[0].get("class_name") == "InputLayer":
        return
    found = first.pop("batch_shape", None) or shape
    if found:
        layers.insert(
            0,
            {
                "class_name": "InputLayer",
                "module": "keras.layers",
                "config": {"batch_shape": found, "name": f"{first.get('name', 'image')}_input"},
                "registered_name": None,
            },
        )


def _arguments(values: dict[str, Any], kind: str, known: Any, custom: Mapping[str, Any]) -> dict[str, Any]:
    """One layer's arguments, renamed; those without effect left out."""
    values = dict(values)
    if "nb_row" in values:
        values["kernel_size"] = [values.pop("nb_row"), values.pop("nb_col")]
    if values.get("mode") not in (None, 0) and kind == "BatchNormalization":
        raise _unknown_argument(kind, values, "mode")
    accepted = _accepted(known)
    # Weights are loaded: drawing random ones first would take a third of the time to open VGG16.
    result: dict[str, Any] = {name: "zeros" for name in accepted if name.endswith("_initializer")}
    for old, value in values.items():
        new = RENAMED.get(f"{kind}.{old}", RENAMED.get(old, old))
        if new is None or (old != "activity_regularizer" and old.endswith(WITHOUT_EFFECT)):
            continue
        if old == "activity_regularizer":
            continue
        value = VALUES.get(new, {}).get(value, value) if isinstance(value, str) else value
        if new in accepted:
            result[new] = _value(new, value, custom)
        elif new not in BASE_ARGUMENTS and old not in IGNORED and not _neutral(value):
            raise _unknown_argument(kind, values, old)
    return result


def _value(name: str, value: Any, custom: Mapping[str, Any]) -> Any:
    if name == "dtype" and isinstance(value, dict):  # a policy of Keras 2 or 3
        policy = value.get("config", {})
        return policy.get("name", "float32") if isinstance(policy, dict) else policy
    if name == "axis" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if name in ("activation", "recurrent_activation"):
        return _activation(value, custom)
    if name == "function":  # of a Lambda layer
        return keras_operations.lambda_function(value)
    return modern(value, custom)


def _activation(value: Any, custom: Mapping[str, Any]) -> Any:
    name = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
    if not isinstance(name, str):
        return modern(value, custom)
    if name in custom or name.split(">")[-1] in custom:
        return custom.get(name, custom.get(name.split(">")[-1]))  # itself: Keras looks names up among its own only
    if not hasattr(keras.activations, name):
        raise ModelError(
            f"The model file names the activation {name}, which is not part of Keras {keras.__version__}. Write "
            f'MODEL_CUSTOM_OBJECTS = {{"{name}": "module:{name}"}} in the config, with your module that defines it.',
            field="MODEL_CUSTOM_OBJECTS",
        )
    return name


def _accepted(known: Any) -> set[str]:
    """The arguments that a layer's class takes: its own, and those of the classes that it hands others on to."""
    names: set[str] = set()
    for base in known.__mro__:
        if base is keras.layers.Layer:
            names |= BASE_ARGUMENTS
            break
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            names |= set(parameters)
            if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
                break
    if known is not keras.layers.InputLayer:
        names |= {"batch_shape"}  # taken out again by `_explicit_input`, or by `keras_operations.graph`
    return names - {"self", "kwargs"}


def _neutral(value: Any) -> bool:
    """Whether an argument that this Keras does not have asked for nothing."""
    return value in (None, False, "auto", "default") or value in ([], {}, [1, 1]) or (value == 1 and value is not True)


def _unknown_argument(kind: str, values: dict[str, Any], name: str) -> ModelError:
    return ModelError(
        f"The file's {kind} layer {values.get('name')} has {name} = {values[name]!r}, which Keras {keras.__version__} "
        'does not know. Build the model in code and name the function: MODEL_BUILD = "module:function".'
    )
