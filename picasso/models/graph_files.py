"""TensorFlow model files on disk: of which kind, which files belong to one, are they all there. No TensorFlow here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from picasso.errors import ModelError

SAVED_MODEL = "saved_model.pb"
Format = Literal["SavedModel", "frozen graph", "checkpoint"]
FORMATS: dict[Format, str] = {  # as people call them
    "SavedModel": "SavedModel",
    "frozen graph": "frozen graph (.pb)",
    "checkpoint": "TensorFlow 1 checkpoint",
}


@dataclass(frozen=True)
class GraphFiles:
    """One TensorFlow model on disk.

    Attributes:
        format: how it is read.
        path: the SavedModel's folder, the .pb file, or the checkpoint's prefix (which is no file itself).
        files: all that belong to it, for the fingerprint.
    """

    format: Format
    path: Path
    files: list[Path]


def graph_format(path: Path) -> Format | None:
    """What kind of TensorFlow model is at `path` (a file, a folder, a checkpoint's prefix); None if it is none."""
    if path.is_dir():
        if (path / SAVED_MODEL).is_file():
            return "SavedModel"
        return "checkpoint" if _is_checkpoint_folder(path) else None
    if path.name == SAVED_MODEL:
        return "SavedModel"
    if path.suffix == ".pb":
        return "frozen graph"
    return "checkpoint" if _beside(path, ".meta").is_file() or _beside(path, ".index").is_file() else None


def is_there(path: Path) -> bool:
    """Whether a file, a folder, or a checkpoint with this prefix exists."""
    return path.exists() or graph_format(path) == "checkpoint"


def find_graph_files(path: Path, checkpoint: str | None = None) -> GraphFiles:
    """The files of the TensorFlow model at `path`.

    Args:
        path: a SavedModel's folder, a .pb file, a checkpoint's .meta file, prefix or folder.
        checkpoint: which one of a folder of checkpoints (`MODEL_CHECKPOINT`); the newest unless given.

    Raises:
        ModelError: it is no TensorFlow model, or a part of it is not there.
    """
    kind = graph_format(path)
    if kind is None:
        raise ModelError(
            f"{path.name} is not a TensorFlow model: that is a SavedModel folder (with {SAVED_MODEL}), a frozen graph "
            "(.pb), or a TF1 checkpoint (.meta, .index and .data files). Check MODEL_PATH.",
            field="MODEL_PATH",
        )
    if kind == "frozen graph":
        return GraphFiles(kind, path, [path])
    if kind == "SavedModel":
        folder = path if path.is_dir() else path.parent
        return GraphFiles(kind, folder, sorted(item for item in folder.rglob("*") if item.is_file()))
    prefix = _in_folder(path, checkpoint) if path.is_dir() else _prefix(path)
    data = sorted(prefix.parent.glob(f"{_escaped(prefix.name)}.data-*-of-*"))
    for suffix, what in ((".meta", "the graph"), (".index", "the list of its variables")):
        if not _beside(prefix, suffix).is_file():
            raise ModelError(
                f"The checkpoint {prefix.name} has no {prefix.name}{suffix}, which holds {what}: copy it beside the "
                "other files, or export a SavedModel from the program that made the checkpoint."
            )
    if not data or len(data) != int(data[0].name.rpartition("-of-")[2]):
        raise ModelError(
            f"The checkpoint {prefix.name} has no {prefix.name}.data-... file, or not all of them; they hold the "
            "weights: copy them beside the .meta file."
        )
    return GraphFiles(kind, prefix, [_beside(prefix, ".meta"), _beside(prefix, ".index"), *data])


def _is_checkpoint_folder(folder: Path) -> bool:
    return any(folder.glob("*.index")) or any(folder.glob("*.meta"))


def _in_folder(folder: Path, checkpoint: str | None) -> Path:
    prefixes = {file.with_suffix("") for file in folder.glob("*.meta")} | {
        file.with_suffix("") for file in folder.glob("*.index")
    }
    if checkpoint is not None:
        named = _prefix(folder / checkpoint)
        if named not in prefixes:
            names = ", ".join(sorted(prefix.name for prefix in prefixes))
            raise ModelError(f"MODEL_CHECKPOINT = {checkpoint!r}: {folder.name} has {names}.", field="MODEL_CHECKPOINT")
        return named
    # The newest by its date, then by name: two that are saved within a clock tick differ in their step's number.
    return max(prefixes, key=lambda prefix: (_newest(prefix), len(prefix.name), prefix.name))


def _newest(prefix: Path) -> float:
    files = [_beside(prefix, suffix) for suffix in (".meta", ".index")]
    return max(file.stat().st_mtime for file in files if file.is_file())


def _prefix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (".meta", ".index") or ".data-" in path.suffix else path


def _beside(path: Path, suffix: str) -> Path:
    prefix = _prefix(path)
    return prefix.with_name(prefix.name + suffix)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
