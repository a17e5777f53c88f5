"""Graphs in model configs: how layers are joined, and operations on tensors that are no layers.

Keras 2 wrote `x / 127.5` as a TFOpLambda, Keras 3 as a TrueDivide; connections were nested lists, then dicts.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import keras
import tensorflow as tf

from picasso.errors import ModelError

TENSORFLOW_LAYERS = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})
KERAS_MODULES = ("numpy", "nn", "core", "math", "image", "linalg")
# What a TFOpLambda may call: functions of tensors alone. Anything else (tf.io, tf.py_function, ...) is refused by name.
TENSORFLOW_MODULES = frozenset({"math", "nn", "linalg", "image", "compat.v1.nn"})
TENSORFLOW_FUNCTIONS = frozenset(
    {"abs", "add", "add_n", "argmax", "cast", "clip_by_value", "concat", "convert_to_tensor", "cos", "divide", "exp"}
    | {"expand_dims", "eye", "fill", "gather", "identity", "maximum", "minimum", "multiply", "negative", "one_hot"}
    | {"ones_like", "pad", "pow", "range", "reduce_max", "reduce_mean", "reduce_min", "reduce_sum", "repeat", "reshape"}
    | {"reverse", "round", "shape", "sigmoid", "sin", "slice", "split", "sqrt", "square", "squeeze", "stack"}
    | {"subtract", "tanh", "tile", "transpose", "truediv", "unstack", "where", "zeros_like"}
    | {"compat.v1.shape", "compat.v1.transpose", "compat.v1.pad", "compat.v1.gather", "compat.v1.squeeze"}
)
PYTHON_OPERATORS = {
    "__operators__.add": tf.math.add,
    "__operators__.getitem": lambda x, slice_spec: x[tuple(slice_spec)],
}
NAMESPACE = "picasso"


@keras.saving.register_keras_serializable(NAMESPACE)
class TensorFlowOperation(keras.Operation):  # type: ignore[misc]
    """A function of TensorFlow as a node of a graph, as Keras 2's TFOpLambda was."""

    def __init__(self, function: str, name: str | None = None) -> None:
        super().__init__(name=name)
        self.function = function
        if function in PYTHON_OPERATORS:
            self.run: Any = PYTHON_OPERATORS[function]
            return
        module, _, short = function.rpartition(".")
        place: Any = tf
        for part in module.split(".") if module else ():
            place = getattr(place, part, None)
        self.run = getattr(place, short, None)
        allowed = function in TENSORFLOW_FUNCTIONS or module in TENSORFLOW_MODULES
        if not allowed or not callable(self.run) or short.startswith("_"):
            raise ModelError(
                f"The model file calls tf.{function} between its layers (a TFOpLambda), which Picasso does not know. "
                'Build the model in code and name the function: MODEL_BUILD = "module:function".'
            )

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function."""
        return self.run(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` takes."""
        return {"function": self.function, "name": self.name}


def layer_config(values: dict[str, Any]) -> dict[str, Any]:
    """What replaces a TFOpLambda in a config; its arguments are part of its connections."""
    return {
        "class_name": "TensorFlowOperation",
        "module": __name__,
        "registered_name": f"{NAMESPACE}>TensorFlowOperation",
        "config": {"function": values.get("function") or values.get("node_def", ""), "name": values.get("name")},
    }


def keras_operation(kind: str) -> tuple[str, Any] | None:
    """The module and class of an operation of Keras 3 (`TrueDivide`, `GetItem`, ...), which .h5 files name alone."""
    for name in KERAS_MODULES:
        module = importlib.import_module(f"keras.src.ops.{name}")
        found = vars(module).get(kind)
        if inspect.isclass(found) and issubclass(found, keras.Operation):
            return module.__name__, found
    return None


def lambda_function(value: Any) -> Any:
    """A Lambda layer's function: Keras 2 wrote [code, defaults, closure]."""
    if isinstance(value, list):
        code, defaults, closure = value
        return {"class_name": "__lambda__", "config": {"code": code, "defaults": defaults, "closure": closure}}
    return value


def graph(values: dict[str, Any]) -> dict[str, Any]:
    """A functional model's config with its connections as Keras 3 writes them.

    Keras 1 and 2 counted a nested model's calls from 1, this Keras counts from 0.
    """
    layers = values["layers"]
    kinds = {layer.get("name") or layer["config"]["name"]: layer for layer in layers}
    old = any(isinstance(node, list) for layer in layers for node in layer.get("inbound_nodes", ()))

    def is_model(name: str) -> bool:
        return "layers" in (kinds[name].get("config") or {}) if name in kinds else False

    def call(name: str, index: int) -> int:
        return index - 1 if old and is_model(name) else index

    def output(reference: Any) -> Any:
        if isinstance(reference, list) and len(reference) == 3 and isinstance(reference[0], str):
            name, index, tensor = reference
            # Among a model's outputs this Keras, too, counts a Functional's calls from 1.
            functional = is_model(name) and kinds[name]["class_name"] == "Functional"
            return [name, index if functional else call(name, index), tensor]
        if isinstance(reference, dict):
            return {key: output(value) for key, value in reference.items()}
        return [output(value) for value in reference]

    def argument(value: Any) -> Any:
        if isinstance(value, list):
            if len(value) == 3 and isinstance(value[0], str) and value[0] in kinds:
                return _tensor(value[0], call(value[0], value[1]), value[2])
            return [argument(part) for part in value]
        if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
            return {"class_name": "__slice__", "config": value}
        if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
            return {"class_name": "__ellipsis__", "config": {}}
        return value

    def node(entry: list[Any]) -> dict[str, Any]:
        references = entry if isinstance(entry[0], list) else [entry]
        tensors = [
            reference[2] if reference[0] == "_CONSTANT_VALUE" else argument(list(reference[:3]))
            for reference in references
        ]
        settings = references[0][3] if len(references[0]) > 3 else {}
        kwargs = {key: argument(value) for key, value in settings.items() if key != "name"}
        single = len(tensors) == 1 and (entry is not references or kwargs.get("axis") is None)
        return {"args": tensors if single else [tensors], "kwargs": kwargs}

    for layer in layers:
        layer["name"] = layer.get("name") or layer["config"]["name"]
        layer.setdefault("inbound_nodes", [])
        if layer["class_name"] != "InputLayer" and not is_model(layer["name"]) and isinstance(layer["config"], dict):
            layer["config"].pop("batch_shape", None)
        if old:
            layer["inbound_nodes"] = [node(entry) for entry in layer["inbound_nodes"] if entry]
    ends = {key: output(values[key]) for key in ("input_layers", "output_layers")}
    if old:  # one tensor in a list is one tensor
        ends = {key: end[0] if isinstance(end, list) and len(end) == 1 else end for key, end in ends.items()}
    return values | ends


def _tensor(name: str, index: int, tensor: int) -> dict[str, Any]:
    # Shape and type are looked up in the layer; these only have to be there.
    history = {"shape": [None], "dtype": "float32", "keras_history": [name, index, tensor]}
    return {"class_name": "__keras_tensor__", "config": history}


@keras.saving.register_keras_serializable(NAMESPACE)  # type: ignore[untyped-decorator]
def keras2_hard_sigmoid(x: Any) -> Any:
    """What Keras 1 and 2 called hard_sigmoid; Keras 3's has another slope."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
