"""Weights in HDF5 files, of every version: into a network that is there."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from picasso.errors import ModelError

BACKEND_FLIPS = "theano"  # Keras 1 and 2 on Theano: convolution kernels are upside down and back to front
OTHER_CONTENT = {"optimizer", "metrics", "compile_metrics", "loss_tracker"}  # of a model, or of one inside it
Named = list[tuple[str, NDArray[Any]]]  # path without ":0", values


def is_keras3(file: h5py.File) -> bool:
    """Whether an HDF5 file holds weights as Keras 3 (or Keras 2's `.weights.h5`) writes them."""
    return "layer_names" not in file.attrs and bool({"layers", "vars", "_layer_checkpoint_dependencies"} & set(file))


def load_by_layer(group: h5py.Group, network: Any, name: str) -> None:
    """Weights of a legacy `.h5` file, one group per layer, into `network`.

    Inside a layer (which may be a whole nested model) weights are found by name where names tell, because their order
    depends on what was frozen when the file was written; by order otherwise.

    Raises:
        ModelError: another number of layers or weights, or another shape; which layer, the file's and the model's.
    """
    stored = [(key, _weights(group, key)) for key in _strings(group, "layer_names")]
    stored = [(key.replace("/", "_"), weights) for key, weights in stored if weights]
    layers = [layer for layer in network.layers if layer.weights]
    if len(stored) != len(layers):
        raise ModelError(
            f"{name} has weights for {len(stored)} layers ({_first(key for key, _ in stored)}), the model has "
            f"{len(layers)} layers with weights ({_first(layer.name for layer in layers)}): they do not belong "
            "together. Check MODEL_WEIGHTS and MODEL_BUILD."
        )
    if {key for key, _ in stored} == {layer.name for layer in layers}:
        by_name = dict(stored)
        stored = [(layer.name, by_name[layer.name]) for layer in layers]
    flips = _text(group.attrs.get("backend", "")) == BACKEND_FLIPS
    turns = _text(group.attrs.get("keras_version", "1")).startswith("1")
    for layer, (_, weights) in zip(layers, stored, strict=True):
        _assign(layer, weights, name, flips, turns)
    extra = _weights(group, "top_level_model_weights") if "top_level_model_weights" in group else []
    own = network._trainable_variables + network._non_trainable_variables if extra else []
    for variable, (_, value) in zip(own, extra, strict=True):
        variable.assign(value)


def load_by_path(path: Path, network: Any, name: str) -> None:
    """Weights of a `.weights.h5` file into `network`.

    Raises:
        ModelError: a layer is missing in the file or has another shape there, or the file has more.
    """
    try:
        with warnings.catch_warnings():  # a part that keeps its random weights is a warning for Keras
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            network.load_weights(str(path))
    except (ValueError, KeyError, AttributeError, UserWarning) as error:
        raise _mismatch(error, name) from error
    with h5py.File(path) as file:
        count = sum(_is_layer_weight(part) for part in _datasets(file))
    if count > len(network.variables) + _named_again(network):
        raise ModelError(
            f"{name} holds {count} weights, the model has {len(network.variables)}: they do not belong together. "
            "Check MODEL_WEIGHTS and MODEL_BUILD."
        )


def _named_again(network: Any) -> int:
    """How many weights a file has twice: a wrapper as SpectralNormalization counts the wrapped layer's as its own."""
    parts = network._flatten_layers()
    own = [id(variable) for part in parts for variable in (*part._trainable_variables, *part._non_trainable_variables)]
    return len(own) - len(set(own))


def _assign(layer: Any, stored: Named, file: str, flips: bool, turns: bool) -> None:
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    if len(variables) != len(stored):
        raise ModelError(
            f"{file} does not fit the model: layer {layer.name} has {len(stored)} weights in the file and "
            f"{len(variables)} in the model. Check MODEL_WEIGHTS and MODEL_BUILD."
        )
    order = _by_name([key for key, _ in stored], [variable.path for variable in variables])
    if order is None:
        ours, theirs = [variable.name for variable in variables], [key.split("/")[-1] for key, _ in stored]
        if ours != theirs and sorted(ours) == sorted(theirs):
            raise ModelError(
                f"{file}: the weights of {layer.name} are in another order than the model's, and their names do not "
                "tell which is which. Save the model again as .keras with the Keras that wrote it."
            )
        order = list(range(len(stored)))
    values = [stored[index][1] for index in order]
    first = {id(variable) for variable in _of_channels_first(layer)} if turns else set()
    for variable, value in zip(variables, values, strict=True):
        if id(variable) in first and value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)  # Keras 1 kept (outputs, inputs, rows, columns)
        if flips and value.ndim == 4:
            value = value[::-1, ::-1]
        if tuple(variable.shape) != value.shape:
            raise _shapes_differ(file, layer.name, variable.name, value.shape, tuple(variable.shape))
        variable.assign(value)
    for part in (layer, *getattr(layer, "_flatten_layers", list)()):
        if hasattr(part, "finalize_state"):  # Normalization derives what it uses from its weights
            part.finalize_state()


def _of_channels_first(layer: Any) -> Iterator[Any]:
    """The weights of a layer, or of those inside it, that take channels-first maps."""
    for part in getattr(layer, "_flatten_layers", list)():
        if getattr(part, "data_format", None) == "channels_first":
            yield from part.weights


def _by_name(stored: list[str], wanted: list[str]) -> list[int] | None:
    """Which stored weight belongs to each wanted one, by their layers' names; None if names do not tell.

    Inside one layer the order is always the same. How many of the outer models' names are in a path is not.
    """
    for theirs in (None, 1, 2):
        for ours in (1, 2, None):
            there, here = _grouped(stored, theirs), _grouped(wanted, ours)
            if {name: len(part) for name, part in there.items()} == {name: len(part) for name, part in here.items()}:
                pairs = [pair for name in here for pair in zip(here[name], there[name], strict=True)]
                return [index for _, index in sorted(pairs)]
    return None


def _grouped(paths: list[str], depth: int | None) -> dict[str, list[int]]:
    """Indices by layer, with `depth` names of its path; names of Keras 2 may have a "/" inside."""
    groups: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        parts = path.split("/")[:-1]
        groups.setdefault("_".join(parts[-depth:] if depth else parts), []).append(index)
    return groups


def _weights(group: h5py.Group, layer: str) -> Named:
    inner = _inside(group, layer)
    return [(name.split(":")[0], np.asarray(_inside(inner, name))) for name in _strings(inner, "weight_names")]


def _inside(group: h5py.Group, name: str) -> Any:
    """A group or array that lies in the file itself: links could read any file of this machine."""
    place = group
    for part in name.strip("/").split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            raise ModelError(f"The HDF5 file is damaged: {name} is named in it, but not there.")
        if isinstance(place.get(part, getlink=True), h5py.ExternalLink):
            raise ModelError(f"The HDF5 file takes {name} from another file, which Picasso refuses.")
        place = place[part]
    if isinstance(place, h5py.Dataset) and (place.external or place.is_virtual):
        raise ModelError(f"The HDF5 file takes {name} from another file, which Picasso refuses.")
    return place


def _strings(group: h5py.Group, name: str) -> list[str]:
    """An attribute that is a list; long ones are cut into name0, name1, ..."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while not parts or f"{name}{len(parts)}" in group.attrs:
        if f"{name}{len(parts)}" not in group.attrs:
            break
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [_text(item) for part in parts for item in part]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _first(names: Iterator[str]) -> str:
    found = list(names)
    return ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def _is_layer_weight(name: str) -> bool:
    return not OTHER_CONTENT & set(name.split("/"))


def _mismatch(error: Exception, name: str) -> ModelError:
    """Keras' report of the first layer that did not fit, as a sentence."""
    text = str(error)
    layer = re.search(r"<\w+ name=([^,>]+)", text)
    shapes = re.search(r"variable\.shape=(\(.*?\)).*?value\.shape=(\(.*?\))", text, re.DOTALL)
    if layer and shapes:
        return _shapes_differ(name, layer[1], "", shapes[2], shapes[1])
    counts = re.search(r"Layer '([^']+)' expected (\d+) variables, but received (\d+)", text)
    if counts:
        return ModelError(
            f"{name} does not fit the model: layer {counts[1]} has {counts[3]} weights in the file and {counts[2]} in "
            "the model. Check MODEL_WEIGHTS and MODEL_BUILD."
        )
    return ModelError(f"{name} does not fit the model: {text.strip().splitlines()[0]} Check MODEL_WEIGHTS.")


def _shapes_differ(file: str, layer: str, weight: str, stored: Any, wanted: Any) -> ModelError:
    return ModelError(
        f"{file} does not fit the model: layer {layer}{'/' if weight else ''}{weight} has shape {stored} in the file "
        f"and {wanted} in the model. Check MODEL_WEIGHTS and MODEL_BUILD."
    )
