"""A packed result as programs read it: content with names in the place of files, its files, the classes in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from picasso.runs.artifacts import REFERENCE

CLASS = {"index", "label", "score"}
RANGE = {"low", "high"}


@dataclass(frozen=True)
class Found:
    """One result of a run.

    Attributes:
        number: its place in the run.
        content: JSON with {"artifact": name} in the place of each file.
        files: by name, what `artifacts.pack` says of each.
        predictions: {"index", "label", "score"} of each class that it is about, in order.
        labels, limits, signed: for maps that have them, the name of the class, the value at the end of the colours, and
            whether zero is in the middle of these.
        ranged: arrays of any size that are maps all the same: "map", and those beside "low" and "high", as templates
            hand them to `picasso_map`.
    """

    number: int
    content: Any
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    signed: dict[str, bool] = field(default_factory=dict)
    ranged: set[str] = field(default_factory=set)

    def is_map(self, name: str) -> bool:
        """Whether a file lies over the picture: an array of its size, or a `ranged` one."""
        file = self.files[name]
        shape = file["shape"]
        if file["kind"] != "array" or len(shape) != 2 or 0 in shape:
            return False
        view = self.view
        return view is None or view["shape"] == shape or name in self.ranged

    @property
    def view(self) -> dict[str, Any] | None:
        """The file of the picture that the model saw, if the result says so."""
        view = self.content.get("view") if isinstance(self.content, dict) else None
        file = self.files.get(view["artifact"]) if isinstance(view, dict) and "artifact" in view else None
        return file if file is not None and file["kind"] == "image" else None

    @property
    def drawn(self) -> dict[str, str]:
        """The maps by the name that each has as a picture, where no file has that name."""
        maps = {f"{name.removesuffix('.npy')}.png": name for name in self.files if self.is_map(name)}
        return {picture: name for picture, name in maps.items() if picture not in self.files}


def read_result(content: Any, number: int) -> Found:
    """What is in a result.

    Args:
        content: as `artifacts.pack` made it; files are named "{number}.…", and without that here.
    """
    found = Found(number, None)
    return replace(found, content=_walk(content, found))


def _walk(value: Any, found: Found, signed: Any = None) -> Any:
    """A copy of JSON without the references in it; collects those, and the classes with their scores, each once.

    Args:
        signed: what is said of all maps in it.
    """
    if isinstance(value, list):
        return [_walk(item, found, signed) for item in value]
    if not isinstance(value, dict):
        return value
    if REFERENCE in value:
        name = value[REFERENCE].removeprefix(f"{found.number}.")
        name = name if "." in name else f"result.{name}"  # the result is nothing but this file
        found.files[name] = value
        return {"artifact": name}
    if value.keys() >= CLASS and isinstance(value["index"], int):
        one = {"index": value["index"], "label": str(value["label"]), "score": value["score"]}
        if all(one["index"] != other["index"] for other in found.predictions):
            found.predictions.append(one)
    signed = value.get("signed", signed)
    walked = {key: _walk(item, found, signed) for key, item in value.items()}
    _note_maps(value, walked, found, signed)
    return walked


def _note_maps(value: dict[str, Any], walked: dict[str, Any], found: Found, signed: Any) -> None:
    """Keeps what a dictionary says of its map: "map", or the only array that stands beside "low" and "high".

    Further arrays beside these are maps as well, of which nothing is said. A whole result, which has its "view" in it,
    may have any other arrays.
    """
    ranged = value.keys() >= RANGE and "view" not in value
    maps = {key: walked[key]["artifact"] for key in value if (ranged or key == "map") and _is_array(value[key])}
    found.ranged.update(maps.values())
    name = maps.get("map") or (next(iter(maps.values())) if len(maps) == 1 else None)
    if name is None:
        return
    if isinstance(value.get("label"), str):
        found.labels[name] = value["label"]
    if isinstance(value.get("limit"), int | float):
        found.limits[name] = float(value["limit"])
    if isinstance(signed, bool):
        found.signed[name] = signed


def _is_array(value: Any) -> bool:
    return isinstance(value, dict) and REFERENCE in value and value["kind"] == "array"
