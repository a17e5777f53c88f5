"""Opens every kind of Keras file: which it is, is told by its content, not by its name."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import keras

from picasso.config import Config, import_function
from picasso.disk import TEMPORARY, no_space
from picasso.errors import ConfigError, ModelError, PicassoError, blame
from picasso.models.keras_legacy import modern, old_names
from picasso.models.keras_safety import custom_objects, refuse_programs, supplied
from picasso.models.keras_weights import is_keras3, load_by_layer, load_by_path

WEIGHTS = "model.weights.h5"  # of Keras 3, inside a .keras file or beside its config.json
CHECKPOINTS = (".keras", ".h5", ".hdf5")
Kind = Literal["keras", "hdf5", "hdf5 weights", "json"]
BUILD = (
    'Write MODEL_BUILD = "module:function" in the config, with your function that returns the untrained model, or '
    'save the whole model with model.save("model.keras").'
)


@dataclass(frozen=True)
class Loaded:
    """A Keras model, not compiled; what kind of file it was in, and which Keras wrote that ("" if it does not say)."""

    network: Any
    format: str
    writer: str


@dataclass(frozen=True)
class Architecture:
    """A model's config as a file has it, and the version of the Keras that wrote it, "" where the file does not say."""

    config: dict[str, Any]
    version: str

    @property
    def generation(self) -> int:
        """1, 2 or 3. Keras 1 did not write its version; Keras 3 does not into JSON, but the modules of its classes."""
        return int(self.version.split(".")[0] or (3 if "module" in self.config else 1))


def load_network(config: Config, path: Path) -> Loaded:
    """The Keras model of a file or folder.

    Args:
        config: MODEL_WEIGHTS, MODEL_BUILD, MODEL_CHECKPOINT, MODEL_CUSTOM_OBJECTS and MODEL_ALLOW_UNSAFE count.
        path: MODEL_PATH, which is there.

    Raises:
        ModelError: it cannot be opened; one sentence with the reason and the remedy.
        ConfigError: a function or file that the config names is not there, or MODEL_SIGNATURE is set.
        NoSpace: the disk has no room for a copy of the weights, which some files need while they are read.
    """
    if config.MODEL_SIGNATURE is not None:
        problem = "MODEL_SIGNATURE belongs to TensorFlow SavedModels; a Keras model has none. Remove the line."
        raise ConfigError(problem, field="MODEL_SIGNATURE")
    path, weights = model_files(config, path)
    try:
        return _load(config, path, weights)
    except PicassoError:
        raise
    except Exception as error:
        full = no_space(error, f"{path.name} could not be unpacked", TEMPORARY)
        if full is not None:
            raise full from error
        first = _first_error(error)
        if isinstance(first, PicassoError):
            raise first from error
        lines = [line.strip() for line in str(first).splitlines() if line.strip()]
        reason = lines[0].rstrip(".") if lines else type(first).__name__
        raise ModelError(f"Keras {keras.__version__} cannot open {path.name}: {reason[:300]}. {BUILD}") from error


def _first_error(error: BaseException) -> BaseException:
    """What went wrong first: Keras wraps it in one error for each level of nesting."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def model_files(config: Config, path: Path) -> tuple[Path, Path | None]:
    """The file that is opened, chosen where MODEL_PATH is a folder of checkpoints, and the weights' file beside it."""
    weights = config.MODEL_WEIGHTS
    if weights is not None and not weights.is_file():
        raise ModelError(f"The weights' file {weights} does not exist. Check MODEL_WEIGHTS.", field="MODEL_WEIGHTS")
    if not path.is_dir():
        return path, weights
    if (path / "config.json").is_file() and (path / WEIGHTS).is_file():  # a .keras file, unpacked
        return path / "config.json", weights or path / WEIGHTS
    return _checkpoint(path, config.MODEL_CHECKPOINT), weights


def _checkpoint(folder: Path, wanted: str | None) -> Path:
    found = sorted((item for item in folder.iterdir() if item.suffix in CHECKPOINTS), key=lambda item: item.name)
    if not found and (folder / "saved_model.pb").exists():
        raise ModelError(
            f'{folder.name} is a TensorFlow SavedModel. Write MODEL_FRAMEWORK = "tensorflow" in the config.',
            field="MODEL_FRAMEWORK",
        )
    if not found:
        raise ModelError(
            f"The folder {folder.name} has no checkpoint: none of its files ends in {', '.join(CHECKPOINTS)}. "
            "Check MODEL_PATH.",
            field="MODEL_PATH",
        )
    if wanted is None:
        return max(found, key=lambda item: (item.stat().st_mtime, item.name))
    for item in found:
        if wanted in (item.name, item.name.removesuffix(item.suffix), item.name.removesuffix(".weights.h5")):
            return item
    raise ConfigError(
        f"MODEL_CHECKPOINT = {wanted!r}: the folder {folder.name} has {', '.join(item.name for item in found)}.",
        field="MODEL_CHECKPOINT",
    )


def _load(config: Config, path: Path, weights: Path | None) -> Loaded:
    kind = recognise(path)
    if config.MODEL_BUILD is not None:
        network = _build(config.MODEL_BUILD)
        _load_weights(network, path, kind, weights)
        return Loaded(network, "weights with MODEL_BUILD", "")
    if kind == "hdf5 weights":
        raise ModelError(f"{path.name} holds only weights, not the model itself. {BUILD}", field="MODEL_BUILD")
    if kind == "json" and weights is None:
        raise ModelError(
            f"{path.name} holds only the architecture. Name the file with its weights: "
            'MODEL_WEIGHTS = "model.weights.h5".',
            field="MODEL_WEIGHTS",
        )
    architecture = _architecture(path, kind)
    network = _from_config(config, architecture, path.name)
    _load_weights(network, path, kind, weights)
    generation = f"Keras {architecture.generation}"
    formats = {"keras": f"{generation} (.keras)", "hdf5": "HDF5", "json": "architecture (.json) with weights"}
    return Loaded(network, formats[kind], f"Keras {architecture.version}" if architecture.version else generation)


def recognise(path: Path) -> Kind:
    """What kind of Keras file it is, by its first bytes and its parts.

    Raises:
        ModelError: it is damaged, or of another kind.
    """
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(b"PK"):
        return _recognise_zip(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        try:
            with h5py.File(path) as file:
                return "hdf5" if "model_config" in file.attrs else "hdf5 weights"
        except (OSError, RuntimeError) as error:
            raise _damaged(path, f"its HDF5 structure cannot be read ({error})") from error
    if start.lstrip()[:1] in (b"{", b"["):
        return "json"
    if path.suffix in (".pb", ".meta", ".index"):
        raise ModelError(
            f'{path.name} is a TensorFlow file. Write MODEL_FRAMEWORK = "tensorflow" in the config.',
            field="MODEL_FRAMEWORK",
        )
    what = "it is empty" if not start else "it is neither a zip archive nor HDF5 nor JSON"
    if path.suffix in (*CHECKPOINTS, ".json"):
        raise _damaged(path, what)
    raise ModelError(f"{path.name} is not a Keras model file: {what}. Check MODEL_PATH.", field="MODEL_PATH")


def _recognise_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise _damaged(path, f"its zip archive cannot be read ({error})") from error
    if damaged:
        raise _damaged(path, f"{damaged} in its zip archive is broken")
    if "config.json" in names:
        return "keras"
    if any(name.endswith("data.pkl") for name in names):
        raise ModelError(f"{path.name} is a PyTorch file, which Picasso does not open. Convert it to Keras first.")
    raise ModelError(
        f"{path.name} is a zip archive without config.json, so not a Keras model. Save the model again with "
        'model.save("model.keras"), or check MODEL_PATH.',
        field="MODEL_PATH",
    )


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path.name} is damaged or incomplete: {reason}. Copy it again, or save the model again with "
        'model.save("model.keras").',
        field="MODEL_PATH",
    )


def _architecture(path: Path, kind: Kind) -> Architecture:
    try:
        if kind == "keras":
            with zipfile.ZipFile(path) as archive:
                content = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json")).get("keras_version", "")
        elif kind == "hdf5":
            with h5py.File(path) as file:
                content = json.loads(file.attrs["model_config"])
                version = file.attrs.get("keras_version", "")
                version = version.decode() if isinstance(version, bytes) else version
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content.get("keras_version", "") if isinstance(content, dict) else ""
    except (ValueError, KeyError) as error:
        raise _damaged(path, f"its model config is not valid JSON ({error})") from error
    if not isinstance(content, dict) or "class_name" not in content or "config" not in content:
        raise ModelError(
            f"{path.name} holds no Keras architecture: it needs class_name and config, as model.to_json() writes them."
        )
    return Architecture(content, str(version))


def _from_config(config: Config, architecture: Architecture, name: str) -> Any:
    objects = custom_objects(config)
    known = supplied(objects)
    if not config.MODEL_ALLOW_UNSAFE:
        refuse_programs(architecture.config, name, known)
    content = architecture.config if architecture.generation >= 3 else old_names(architecture.config)
    # Short names too: a file says "Package>MyLayer" where the class was registered.
    registered = {entry["registered_name"]: value for entry, value in _supplied(content, objects)}
    network = keras.saving.deserialize_keras_object(
        modern(content, known), custom_objects=objects | registered, safe_mode=not config.MODEL_ALLOW_UNSAFE
    )
    if not isinstance(network, keras.Model):
        raise ModelError(f"{name} holds a {type(network).__name__}, not a whole model. {BUILD}")
    return network


def _supplied(content: Any, objects: dict[str, Any]) -> Iterator[tuple[dict[str, str], Any]]:
    """Those entries of a config that name one of the user's own objects with its package."""
    if isinstance(content, dict):
        registered = content.get("registered_name") or content.get("class_name")
        if isinstance(registered, str) and registered.split(">")[-1] in objects:
            yield {"registered_name": registered}, objects[registered.split(">")[-1]]
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from _supplied(part, objects)


def _build(name: str) -> Any:
    try:
        network = import_function(name, "MODEL_BUILD")()
    except PicassoError:
        raise
    except Exception as error:
        raise ConfigError(
            f"MODEL_BUILD: {name} failed{blame(error, __file__)}. It takes nothing and returns the Keras model.",
            field="MODEL_BUILD",
        ) from error
    if not isinstance(network, keras.Model):
        raise ConfigError(
            f"MODEL_BUILD: {name} returned a {type(network).__name__}, not a Keras model.", field="MODEL_BUILD"
        )
    return network


def _load_weights(network: Any, path: Path, kind: Kind, weights: Path | None) -> None:
    """Those of the model's own file, whose kind is known, or of the one beside it."""
    if weights is not None:
        path, kind = weights, recognise(weights)
    if kind == "json":
        raise ModelError(f"{path.name} holds an architecture, not weights. Check MODEL_WEIGHTS.", field="MODEL_WEIGHTS")
    if not network.built:
        raise ModelError(
            "The model has no defined input, so that its weights cannot be loaded: start it with keras.Input(shape), "
            "or call it once on an input, model(keras.Input(shape)), inside the function that MODEL_BUILD names."
        )
    if kind == "keras":
        with _unpacked(path) as file:
            load_by_path(file, network, path.name)
        return
    with h5py.File(path) as file:
        if not is_keras3(file):
            load_by_layer(file.get("model_weights", file), network, path.name)
            return
    with _named(path, ".weights.h5") as file:
        load_by_path(file, network, path.name)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The weights of a `.keras` file as a file of their own while this lasts.

    Inside the zip archive, whoever goes back begins anew: DenseNet121's weights would take three times as long.
    """
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS not in archive.namelist():
                raise _damaged(path, f"{WEIGHTS} is missing in its zip archive")
            weights = Path(archive.extract(WEIGHTS, folder))
        yield weights


@contextmanager
def _named(path: Path, suffix: str) -> Iterator[Path]:
    """The file under a name with the suffix that Keras insists on: itself, or a copy while this lasts."""
    if path.name.endswith(suffix):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{suffix}"
        shutil.copyfile(path, copy)
        yield copy
