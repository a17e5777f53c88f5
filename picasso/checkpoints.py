"""Checkpoints of one training: MODEL_CHECKPOINTS becomes a model "name@step" for each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from picasso.errors import ConfigError

KEY = "MODEL_CHECKPOINTS"
ENDINGS = (".keras", ".h5", ".hdf5", ".pb", ".meta")  # of files in a folder; a SavedModel is a folder itself
OF_A_TRAINING = re.compile(r"(.+)@(\d+)")


def training_and_step(name: str) -> tuple[str, int] | None:
    """The training and the step that a model's name says; None for other models.

    >>> training_and_step("digits@469")
    ('digits', 469)
    """
    found = OF_A_TRAINING.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def trainings(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """The models that are checkpoints, by training and step, the oldest first.

    >>> trainings(["digits@469", "digits@100", "other"])
    {'digits': {100: 'digits@100', 469: 'digits@469'}}
    """
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if known := training_and_step(name):
            found.setdefault(known[0], {})[known[1]] = name
    return {training: dict(sorted(states.items())) for training, states in found.items()}


def with_checkpoints(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which MODELS names each checkpoint, the newest first, instead of MODEL_CHECKPOINTS.

    Raises:
        ConfigError: there are none, or their names do not say in which order they are.
    """
    values = dict(settings)
    models = values.get("MODELS") or {}
    where = values.pop(KEY, None)
    if where is not None and models:
        raise ConfigError(f"{KEY} and MODELS: write {KEY} into the entry of MODELS that it is about.", field=KEY)
    if where is not None:
        name = str(values.pop("MODEL_NAME", None) or _own_name(Path(where)))
        models = {name: {KEY: where}}
    if not isinstance(models, Mapping):
        return values  # what is wrong with it is said where all settings are checked
    found: dict[str, Any] = {}
    for name, entry in models.items():
        found |= dict(_states(name, entry, values.get("MODEL_PATH"))) if _has_checkpoints(entry) else {name: entry}
    return values | ({"MODELS": found} if found else {})


def _has_checkpoints(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get(KEY) is not None


def _own_name(where: Path) -> str:
    """A name for a training: that of the folder with its checkpoints."""
    return (where.parent if _is_pattern(where) else where).name or "training"


def _states(name: str, entry: Mapping[str, Any], path: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The models of one training. Where it has a MODEL_PATH, the architecture, checkpoints are its weights."""
    others = {key: value for key, value in entry.items() if key != KEY}
    role = "MODEL_WEIGHTS" if others.get("MODEL_PATH", path) is not None else "MODEL_PATH"
    for step, file in sorted(steps(Path(entry[KEY])).items(), reverse=True):
        yield f"{name}@{step}", others | {role: file}


def steps(where: Path) -> dict[int, Path]:
    """The checkpoints in a folder, or those that a pattern such as "run/epoch-*.keras" names, by their step.

    The step is the first number in their names that is different in all of them.

    Raises:
        ConfigError: there are none, or no number tells them apart.
    """
    if _is_pattern(where):
        files = sorted(Path(where.anchor).glob(str(where.relative_to(where.anchor))))
    else:
        files = sorted(item for item in where.glob("*") if _is_model(item))
    if not files:
        hint = "" if _is_pattern(where) else f" None of its files ends in {', '.join(ENDINGS)}, or it is not there."
        raise ConfigError(f"{KEY} = {str(where)!r}: there is no checkpoint.{hint}", field=KEY)
    numbers = [[int(number) for number in re.findall(r"\d+", _bare(file))] for file in files]
    for column in zip(*numbers, strict=False):
        if len(set(column)) == len(files):
            return dict(zip(column, files, strict=True))
    names = ", ".join(file.name for file in files[:5])
    raise ConfigError(
        f"{KEY} = {str(where)!r}: no number tells the checkpoints apart ({names}). Put the step into each name, as in "
        "epoch-07.keras, or name those of one training with a pattern, as in run/epoch-*.keras.",
        field=KEY,
    )


def _is_pattern(where: Path) -> bool:
    return any(letter in str(where) for letter in "*?[")


def _is_model(item: Path) -> bool:
    return item.suffix in ENDINGS if item.is_file() else (item / "saved_model.pb").is_file()


def _bare(file: Path) -> str:
    """A name without its ending, whose digits ("h5") say nothing."""
    return file.stem if file.suffix in ENDINGS else file.name
