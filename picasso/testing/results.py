"""What results are made of, and how they come back after they were kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picasso.errors import PluginError
from picasso.runs.artifacts import Artifact, pack, unpack
from picasso.testing.case import ContractBroken, require

KINDS_OF_NUMBERS = "biu"  # beside float32


def walk(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Everything in results that is no container, each with where it is: "results[0]['map']"."""
    if is_dataclass(value) and not isinstance(value, type | Artifact):
        value = asdict(value)
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from walk(item, f"{place}[{name!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from walk(item, f"{place}[{index}]")
    else:
        yield place, value


def check_number(place: str, value: Any) -> None:
    if isinstance(value, np.ndarray):
        plain = value.dtype == np.float32 or value.dtype.kind in KINDS_OF_NUMBERS
        require(plain, f"{place} is an array of {value.dtype}; make it .astype(np.float32), which pages read.")
    if isinstance(value, float | np.floating | np.ndarray):
        bad = int(np.sum(~np.isfinite(value)))
        many = f"{bad} values of {place} are" if np.ndim(value) else f"{place} is"
        require(not bad, f"{many} NaN or infinite: there is nothing to show there.")


def kept(result: Any, index: int) -> Any:
    """A result as it comes back after it was kept: JSON, and files."""
    try:
        packed = pack(result, str(index))
    except PluginError as error:
        raise ContractBroken(f"results[{index}] cannot be kept. {error.message}") from error
    content = json.loads(json.dumps(packed.content, allow_nan=False))
    back = unpack(content, str, packed.files.__getitem__)
    found = [value for _, value in walk(back, "") if isinstance(value, Artifact)]
    arrays = [value for _, value in walk(result, "") if isinstance(value, np.ndarray)]
    loaded = [one.load() for one in found if one.kind == "array"]
    same = len(arrays) == len(loaded) and all(map(_same, arrays, loaded))
    require(same, f"The arrays of results[{index}] did not come back as they were kept.")
    require({one.url for one in found} == set(packed.files), f"Files of results[{index}] were lost when it was kept.")
    return content, packed.files


def _same(array: NDArray[Any], loaded: NDArray[Any]) -> bool:
    return np.array_equal(array.astype(loaded.dtype), loaded, equal_nan=loaded.dtype.kind == "f")
