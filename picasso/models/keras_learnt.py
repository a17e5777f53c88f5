"""The learnt weights of a Keras graph: which layers have them, and the model with some of them shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from picasso.models.keras_anatomy import between
from picasso.models.keras_flat import Flat
from picasso.models.keras_history import node_of
from picasso.models.keras_layout import layer_of
from picasso.models.shuffling import shuffled


def learnt(flat: Flat, image: Any, scores: Any) -> dict[str, list[Any]]:
    """The learnt variables of each layer between image and scores, by its path, from the scores back to the image.

    A layer that is called several times has the path of its last call. Statistics of a batch normalization count as
    learnt; those of a Normalization layer, single numbers and seeds do not.
    """
    found: dict[str, list[Any]] = {}
    seen: set[int] = set()
    for path, tensor in reversed(list(between(flat, image, scores))):
        variables = [one for one in _variables(layer_of(node_of(tensor).operation)) if id(one) not in seen]
        seen.update(map(id, variables))
        if variables:
            found[path] = variables
    return found


def _variables(layer: Any) -> list[Any]:
    if isinstance(layer, keras.layers.Normalization):
        return []
    quantized = getattr(layer, "quantization_mode", None) is not None  # its kernel is of whole numbers
    return [
        variable
        for variable in getattr(layer, "weights", ())
        if (quantized or keras.backend.is_float_dtype(variable.dtype)) and variable.value.shape.num_elements() > 1
    ]


@contextmanager
def shuffled_variables(variables: Sequence[Any], seed: int) -> Iterator[None]:
    """While this lasts, the values inside each variable are permuted; then they are what they were."""
    before = [variable.numpy() for variable in variables]
    try:
        for variable, values in zip(variables, shuffled(before, seed), strict=True):
            variable.assign(values)
        yield
    finally:
        for variable, values in zip(variables, before, strict=True):
            variable.assign(values)
