"""Model files are programs: what one would run or import is found in its config, before Keras reads it.

Independent of Keras' own safe mode, which any plugin can switch off, and which .h5 and JSON files do not all pass.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from picasso.config import Config, import_function
from picasso.errors import ModelError

# Layers that run what a file or folder brings with it.
PROGRAMS = {
    "Lambda": "a Lambda layer",
    "__lambda__": "a Python function",
    "TFSMLayer": "a TFSMLayer, which runs a SavedModel",
    "TorchModuleWrapper": "a TorchModuleWrapper, which unpickles",
    "JaxLayer": "a JaxLayer",
    "FlaxLayer": "a FlaxLayer",
}
LEGACY_LAMBDA = ("function_type", "output_shape_type", "mask_type")
MODULES = ("keras.", "tf_keras.", "tensorflow.keras.", "tensorflow.python.keras.")  # that a file may name
NO_ONES_OWN = {*sys.stdlib_module_names, "keras", "tf_keras", "tensorflow"}  # whose layers and functions are not yours
NOT_MODELING = ("keras.utils", "keras.saving", "keras.config", "keras.export", "keras.datasets", "keras.callbacks")


def custom_objects(config: Config) -> dict[str, Any]:
    """The user's own layers and functions, imported: those of MODEL_CUSTOM_OBJECTS."""
    return {name: import_function(place, "MODEL_CUSTOM_OBJECTS") for name, place in config.MODEL_CUSTOM_OBJECTS.items()}


def supplied(objects: Mapping[str, Any]) -> dict[str, Any]:
    """All that the user has supplied, here or with `register_keras_serializable`, by name."""
    return {**keras.saving.get_custom_objects(), **objects}


def refuse_programs(content: Any, file: str, known: Mapping[str, Any]) -> None:
    """Checks a model's config.

    Raises:
        ModelError: it contains code, or names a module outside Keras; the sentence says which and what to write.
    """
    for item in _dictionaries(content):
        kind, module = item.get("class_name"), item.get("module")
        if kind in PROGRAMS and not (kind == "Lambda" and _is_supplied(item, known)):
            raise ModelError(
                f"{file} contains Python code ({PROGRAMS[kind]}). If you trust the file, write "
                "MODEL_ALLOW_UNSAFE = True in the config.",
                field="MODEL_ALLOW_UNSAFE",
            )
        name = str(item.get("config") if kind == "function" else kind).split(">")[-1]
        names = {name, str(kind), str(item.get("registered_name"))}
        if not isinstance(module, str) or module in ("keras", "builtins") or names & set(known):
            continue
        if not module.startswith(MODULES) or module.startswith(NOT_MODELING):
            raise ModelError(
                f"{file} names {name} of the Python module {module}, {_judged(name, module)}",
                field="MODEL_CUSTOM_OBJECTS",
            )


def _judged(name: str, module: str) -> str:
    """What to do about a name outside Keras' layers, the end of a sentence. It never proposes the file's own module."""
    if module.partition(".")[0] in NO_ONES_OWN:
        return "which no model needs. Do not trust this file."
    return (
        "which is not part of Keras. If it is a layer or function of your own, write MODEL_CUSTOM_OBJECTS = "
        f'{{"{name}": "your_module:{name}"}} in the config. If it is not, do not trust this file.'
    )


def _is_supplied(item: dict[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether a Lambda layer only names a function that the user has supplied."""
    values = item.get("config")
    if not isinstance(values, dict):
        return False
    function = values.get("function")
    name = function.get("config") if isinstance(function, dict) else function
    return isinstance(name, str) and name in known and not any(values.get(key) == "lambda" for key in LEGACY_LAMBDA)


def _dictionaries(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield content
        content = [value for key, value in content.items() if key != "compile_config"]  # never read
    if isinstance(content, list):
        for part in content:
            yield from _dictionaries(part)
