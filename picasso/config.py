"""Every setting once: its name, default, meaning and check.

Precedence, lowest first: the defaults here, the config file (`config.py` in the working directory, or the file that
`PICASSO_SETTINGS` or `--config` names), the environment (`PICASSO_` + the key), the command line.
What a `config.py` that nobody named says about its model does not count where another model is named.
A config file is Python; its UPPER_CASE names are settings. Relative paths in it are relative to it, and its folder
is put on `sys.path`, so that `"module:function"` finds the modules beside it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from picasso.checkpoints import training_and_step, with_checkpoints
from picasso.errors import ConfigError, blame

ENVIRONMENT_PREFIX = "PICASSO_"
SETTINGS_VARIABLE = "PICASSO_SETTINGS"
DEFAULT_FILE = "config.py"
MEBIBYTE = 2**20
THE_MODEL = "model"  # what the only model is called inside, where there is no MODELS
MODEL_AND_OUTPUT = "@"  # "name@output" chooses an output of a model

Scale = Literal["imagenet", "torch", "caffe", "tf"]
SCALES: tuple[str, ...] = get_args(Scale)


class Preprocessing(BaseModel):
    """The ready-made preprocess function: first the geometry, then `(x - subtract) / divide`, or `scale`.

    With none of these three the range is found (`picasso.models.pixels`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    geometry: Literal["resize", "center_crop", "letterbox"] = Field(
        "resize",
        description="How a picture is brought to the model's size: stretched; its shorter side fitted and the middle "
        "kept; its longer side fitted and the rest padded with grey",
    )
    resample: Literal["bilinear", "bicubic", "nearest"] = Field(
        "bilinear", description="How pixels are interpolated; antialiased when a picture becomes smaller"
    )
    scale: tuple[float, float] | Scale | None = Field(
        None,
        description="The range that the pixel values 0..255 are mapped to, such as [0, 1] or [-1, 1]; or its name: "
        '"imagenet" or "torch" (0..1, then ImageNet\'s mean and standard deviation), "caffe" (BGR, ImageNet\'s mean '
        'subtracted), "tf" (-1..1)',
    )
    subtract: float | tuple[float, ...] | None = Field(
        None, description="Subtracted from the pixel values 0..255; one number, or one per channel; 0 unless given"
    )
    divide: float | tuple[float, ...] | None = Field(
        None, description="Divides what is left after subtracting; one number, or one per channel; 1 unless given"
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _known_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in SCALES:
            near = difflib.get_close_matches(value, SCALES, n=1)
            hint = f" (the nearest is {near[0]!r})" if near else ""
            raise ValueError(f"give two numbers, such as [0, 1], or one of {', '.join(map(repr, SCALES))}{hint}")
        return value

    @model_validator(mode="after")
    def _one_range(self) -> Preprocessing:
        if self.scale is not None and (self.subtract, self.divide) != (None, None):
            raise ValueError("give either 'scale', or 'subtract' and 'divide': they would contradict each other")
        return self

    @property
    def has_range(self) -> bool:
        """Whether it says which values the model gets, and not the geometry only."""
        return (self.scale, self.subtract, self.divide) != (None, None, None)


PREPROCESSING = tuple(Preprocessing.model_fields)
LABEL_FILES = (".txt", ".json", ".csv", ".tsv")
LABEL_SETS = ("imagenet",)  # what else MODEL_LABELS names is a function

SECRETS = ("ACCESS_TOKEN", "ADMIN_TOKEN")
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,200}")  # 22 random ones are more than 128 bits, which nobody can guess
HOST_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE)
ORIGIN = re.compile(r"https?://[^/?#@\s]+")


class Config(BaseModel):
    """All settings, checked. Made by `load_config`; frozen, and small enough to be sent to workers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The model
    MODEL_NAME: str | None = Field(None, description="The name that pages show; the file's name unless given")
    MODEL_FRAMEWORK: Literal["keras", "tensorflow"] | None = Field(
        None, description="Which adapter opens the model; told by the file unless given"
    )
    MODEL_PATH: Path | None = Field(
        None,
        description="The model's file or folder: .keras, .h5, .json with MODEL_WEIGHTS, SavedModel, .pb, .meta, ...",
    )
    MODEL_WEIGHTS: Path | None = Field(
        None, description="The weights' file, where MODEL_PATH is an architecture (.json) or MODEL_BUILD makes one"
    )
    MODEL_BUILD: str | None = Field(
        None, description='"module:function" that returns the untrained Keras model, for files that hold weights only'
    )
    MODEL_CHECKPOINT: str | None = Field(
        None, description="Which one, where MODEL_PATH is a folder of checkpoints; the newest unless given"
    )
    MODEL_CHECKPOINTS: Path | None = Field(
        None,
        description='The checkpoints of one training: a folder, or a pattern such as "run/epoch-*.keras"; each is a '
        "model to choose, name@step, by the number in its name, and the newest is the default. With MODEL_PATH, an "
        "architecture, they are its weights",
    )
    MODEL_CUSTOM_OBJECTS: dict[str, str] = Field(
        {}, description='Layers and functions of your own that the file names: {"MyLayer": "module:MyLayer"}'
    )
    MODEL_SIGNATURE: str | None = Field(None, description="Which signature of a SavedModel, where it has several")
    MODEL_INPUT: str | None = Field(None, description="Which input takes the image, by its name; found unless given")
    MODEL_OUTPUT: str | int | None = Field(
        None, description="Which output gives the class scores, by its name or number; the first unless given"
    )
    MODEL_OTHER_INPUTS: dict[str, float | list[float]] = Field(
        {}, description="Constants for the inputs that take no image, by name, without the batch dimension"
    )
    MODEL_INPUT_SIZE: tuple[int, int] | None = Field(
        None, description="(height, width) to use, where the model leaves it open"
    )
    MODEL_PREPARE: str | None = Field(
        None,
        description='"module:function", called with the path to make (download, convert) when MODEL_PATH is not there',
    )
    MODEL_PREPROCESS: Preprocessing | str = Field(
        Preprocessing(geometry="resize", resample="bilinear", scale=None, subtract=None, divide=None),
        description='Ready-made: {"geometry": ..., "scale": ...}, the range found unless given; or your own '
        '"module:function", which takes a list of PIL images and returns a float array (N, height, width, channels)',
    )
    MODEL_DECODE: str | None = Field(
        None,
        description='"module:function", which takes scores (N, classes) and returns for each image a list of '
        '{"index", "label", "score"}, best first; unless given, the highest scores with their MODEL_LABELS',
    )
    MODEL_LABELS: list[str] | str | None = Field(
        None,
        description="The classes' names in order: a list, a .txt (one per line), .json, .csv or .tsv file, "
        '"imagenet", or "module:function"; unless given, ImageNet\'s for a known network with its 1000 classes',
    )
    MODEL_ALLOW_UNSAFE: bool = Field(
        False, description="Open models whose file contains code (Lambda layers). Only for files you trust"
    )

    MODELS: dict[str, dict[str, Any]] = Field(
        {},
        description='Several models to choose from in the page: {"old": {"MODEL_PATH": ...}, "new": {...}}; what one '
        "leaves out comes from the MODEL_ settings above, and the first is the default",
    )
    MODELS_MEMORY_LIMIT: str = Field(
        "auto",
        description='Memory up to which models stay open ("4GiB"); half of what the worker process may use unless '
        "given. Past it, the one that was used longest ago is closed until it is needed again",
    )

    # What people see
    SAMPLE_IMAGES: list[str] = Field(
        [], description='Pictures offered on the start page: paths, or "package:path" inside an installed package'
    )
    VISUALIZATION_FOLDERS: list[Path] = Field([], description="Folders with your own visualizations")
    RELOAD_PLUGINS: bool = Field(
        False,
        description="For who writes a visualization: those in VISUALIZATION_FOLDERS are read again when their files "
        "change, and errors show the source. Everybody who reaches the pages would see it, so it is refused where "
        "others than this machine may come in",
    )

    # Where things are, and who may come
    DATA_DIR: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("picasso"),
        description="Where sessions, runs and the secret key are kept",
    )
    HOST: str = Field("127.0.0.1", description="The address to serve on")
    PORT: int = Field(8000, ge=0, le=65535, description="The port to serve on; another when it is taken")
    ACCESS_TOKEN: SecretStr | None = Field(
        None,
        description="What visitors have to know, 22 characters or more out of A-Z a-z 0-9 _ -; where others can reach "
        "the server, made at each start unless given",
    )
    ADMIN_TOKEN: SecretStr | None = Field(
        None,
        description="What the administrator has to know, of the same form: for the page /admin, /metrics, and to have "
        "models read again; where others can reach the server, made at the first start unless given, and kept in "
        "DATA_DIR/admin_token",
    )
    ALLOW_ANONYMOUS: bool = Field(False, description="Let everybody in who reaches the server, without a token")
    ALLOWED_HOSTS: list[str] = Field(
        [],
        description='Further names that the server is reached by, such as "picasso.example.org", or ".example.org" for '
        "all below it; requests by other names than these, this machine's and HOST are refused",
    )
    ALLOWED_ORIGINS: list[str] = Field(
        [],
        description='Other sites whose scripts may use REST, such as "https://lab.example.org" (CORS); they need the '
        "tokens as every program does",
    )
    TRUSTED_PROXIES: int = Field(
        0,
        ge=0,
        le=10,
        description="How many proxies stand before the server: so many entries of X-Forwarded-For, -Proto, -Host, "
        "-Port and -Prefix are believed; none unless given",
    )

    # Workers
    SCHEDULER: str | None = Field(
        None, description="A Dask scheduler's address (tcp://host:8786); unless given, one worker process here"
    )
    WORKER_MEMORY_LIMIT: str = Field(
        "auto", description='Memory of the worker process here ("8GiB"); past it the worker is restarted'
    )
    RUN_TIMEOUT_SECONDS: float = Field(3600, gt=0, description="A run that takes longer is ended")
    EXPLAIN_TIMEOUT_SECONDS: float = Field(
        60, gt=0, description="A call of POST /api/v1/explain that is to be answered at once and takes longer is ended"
    )
    DRAIN_SECONDS: float = Field(
        0,
        ge=0,
        description="How long the server goes on after it was told to end (SIGTERM), while /health/ready says 503: no "
        "run begins, those under way may end, and what is not done then is queued for the next start",
    )

    # What is written down
    LOG_FORMAT: Literal["text", "json"] | None = Field(
        None,
        description='Lines on stderr as "text" for people, or "json", an object on each; unless given, text on a '
        "terminal and else json",
    )
    LOG_LEVEL: Literal["debug", "info", "warning", "error"] | None = Field(
        None,
        description='What is written at least: "info" has a line for every request; unless given, warning on a '
        "terminal and else info",
    )

    # Limits
    MAX_UNFINISHED_RUNS: int = Field(
        1000, gt=0, description="Runs of all sessions together that may wait or be under way; more are refused for now"
    )
    SESSION_MAX_UNFINISHED_RUNS: int = Field(
        250,
        gt=0,
        description="Runs of one session that may wait or be under way: a comparison of many checkpoints is 200",
    )
    MAX_MODEL_CALLS: int = Field(
        50_000,
        gt=0,
        description="Model calls that a run may take for each picture, as estimated before it begins; what would take "
        "more, or longer than RUN_TIMEOUT_SECONDS, is refused",
    )
    MAX_UPLOAD_BYTES: int = Field(128 * MEBIBYTE, gt=0, description="Bytes of one request")
    MAX_IMAGE_BYTES: int = Field(32 * MEBIBYTE, gt=0, description="Bytes of one uploaded file")
    MAX_IMAGE_PIXELS: int = Field(50_000_000, gt=0, description="Width times height of one uploaded image")
    MAX_IMAGE_SECONDS: float = Field(
        30,
        gt=0,
        description="An uploaded image that takes longer to be read is refused; it waits as long for its turn",
    )
    MAX_IMAGES: int = Field(100, gt=0, description="Images that one session can hold")
    SESSION_HOURS: float = Field(24, gt=0, description="A session unused for so long is deleted")
    SESSION_MAX_BYTES: int = Field(1024 * MEBIBYTE, gt=0, description="Bytes that one session can keep")

    @field_validator("MODELS_MEMORY_LIMIT")
    @classmethod
    def _bytes(cls, value: str) -> str:
        from dask.utils import parse_bytes  # takes a moment, which `import picasso` need not wait for

        if value != "auto" and not parse_bytes(value) > 0:
            raise ValueError('write "auto" or a number of bytes such as "4GiB"')
        return value

    @field_validator(*SECRETS)
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError(
                "write 22 to 200 characters out of A-Z a-z 0-9 _ -, made with: "
                'python3 -c "import secrets; print(secrets.token_urlsafe(16))"'
            )
        return value

    @field_validator("ALLOWED_HOSTS")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(f'write names without scheme and port, such as "picasso.example.org", not {name!r}')
        return [name.lower() for name in value]

    @field_validator("ALLOWED_ORIGINS")
    @classmethod
    def _sites(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f'write origins as browsers send them, such as "https://lab.example.org", not {origin!r}'
                )
        return [origin.lower() for origin in value]

    @model_validator(mode="after")
    def _one_door(self) -> Config:
        if self.ALLOW_ANONYMOUS and self.ACCESS_TOKEN is not None:
            raise ValueError("give either ACCESS_TOKEN or ALLOW_ANONYMOUS: they contradict each other")
        if self.ACCESS_TOKEN is not None and self.ACCESS_TOKEN == self.ADMIN_TOKEN:
            raise ValueError("ACCESS_TOKEN and ADMIN_TOKEN are the same: make two, as visitors know the first")
        return self

    @property
    def model_name(self) -> str:
        """What pages call the model, if its file does not say otherwise when it is opened."""
        path = self.MODEL_PATH
        return self.MODEL_NAME or (path.stem if path else "no model")

    def models(self) -> dict[str, Config]:
        """A plain config for each model (without MODELS, and with its name), by name; the first is the default.

        Without MODELS there is one, "model", whatever its file and MODEL_NAME: it may get others while a server runs.

        Raises:
            ConfigError: a name or an entry of MODELS is wrong.
        """
        if not self.MODELS:
            return {THE_MODEL: self}
        _check_models(self.MODELS)
        common = self.model_dump(exclude_unset=True, exclude={"MODELS", "MODEL_NAME"})
        models = {}
        for name, entry in self.MODELS.items():
            try:
                models[name] = Config(**common | entry | {"MODEL_NAME": name})
            except ValidationError as error:
                raise ConfigError(f"MODELS[{name!r}]: {_sentence(error)}", field="MODELS") from error
        return models

    def functions(self) -> dict[str, str]:
        """Every "module:function" that the model's settings name, by setting."""
        found = {
            "MODEL_PREPARE": self.MODEL_PREPARE,
            "MODEL_BUILD": self.MODEL_BUILD,
            "MODEL_PREPROCESS": self.MODEL_PREPROCESS,
            "MODEL_DECODE": self.MODEL_DECODE,
            "MODEL_LABELS": self.MODEL_LABELS,
            **{f"MODEL_CUSTOM_OBJECTS[{name}]": value for name, value in self.MODEL_CUSTOM_OBJECTS.items()},
        }
        return {
            key: name
            for key, name in found.items()
            if isinstance(name, str) and name not in LABEL_SETS and not name.endswith(LABEL_FILES)
        }

    def model_digest(self) -> str:
        """Equal for configs that name the same model with the same functions; hexadecimal."""
        fields = {name for name in type(self).model_fields if name.startswith("MODEL_")}
        return hashlib.sha256(self.model_dump_json(include=fields).encode()).hexdigest()


# Keys whose relative paths mean "relative to the file they are written in".
PATH_KEYS = frozenset({"MODEL_PATH", "MODEL_WEIGHTS", "MODEL_CHECKPOINTS", "DATA_DIR"})
SEVERAL_KEYS = ("MODELS", "MODEL_CHECKPOINTS")
PATH_LIST_KEYS = frozenset({"VISUALIZATION_FOLDERS", "SAMPLE_IMAGES"})


def load_config(
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Collects the settings from all places, in their order of precedence.

    Args:
        file: the config file; None takes `PICASSO_SETTINGS`, then `config.py` in the working directory if it is there.
        overrides: what the command line says; entries that are None count as not said. Relative paths are relative
            to the working directory.
        environ: the environment; `os.environ` unless given.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a wrong value, a file that is missing or fails.
    """
    environ = os.environ if environ is None else environ
    path, named = _config_file(file, environ)
    written = {} if path is None else _from_file(path)
    said = _from_environment(environ)
    typed = {key: _resolve(key, value, Path.cwd()) for key, value in (overrides or {}).items() if value is not None}
    if not named and _names_another_model(written, said | typed):
        written = {key: value for key, value in written.items() if not _is_about_the_model(key)}
    values: dict[str, Any] = {}
    for higher in (written, said, typed):
        if "MODEL_PATH" in higher:  # whoever names one model there means that one
            values = {key: value for key, value in values.items() if key not in SEVERAL_KEYS}
        values |= higher
    for key in values:
        _check_known(key)
    try:
        config = Config(**with_checkpoints(values))
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from error
    config.models()  # says now what is wrong with one of them
    return config


def _config_file(file: str | Path | None, environ: Mapping[str, str]) -> tuple[Path | None, bool]:
    """The config file, and whether somebody named it rather than that it lies in the working directory."""
    named = file or environ.get(SETTINGS_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"The config file {path} does not exist. Check --config or {SETTINGS_VARIABLE}.")
        return path.resolve(), True
    path = Path(DEFAULT_FILE)
    return (path.resolve() if path.is_file() else None), False


def _names_another_model(written: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether the environment or the command line names a model that is not the config file's."""
    own, other = written.get("MODEL_PATH"), said.get("MODEL_PATH")
    if not isinstance(other, Path):
        return False
    return any(key in written for key in SEVERAL_KEYS) or (isinstance(own, Path) and own.resolve() != other.resolve())


def _is_about_the_model(key: str) -> bool:
    return key.startswith("MODEL_") or key in ("MODELS", "SAMPLE_IMAGES")


def _from_file(path: Path) -> dict[str, Any]:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        names = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise ConfigError(f"The config file {path} failed{blame(error, __file__)}") from error
    values = {key: value for key, value in names.items() if key.isupper() and not key.startswith("_")}
    return {key: _resolve(key, value, path.parent) for key, value in values.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == SETTINGS_VARIABLE:
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX)
        _check_known(key, ENVIRONMENT_PREFIX)
        value: Any = text
        if text[:1] in "[{":
            try:
                value = json.loads(text)
            except ValueError as error:
                raise ConfigError(f"{name} is not valid JSON: {error}. It was: {text}", field=key) from error
        values[key] = _resolve(key, value, Path.cwd())
    return values


def _resolve(key: str, value: Any, folder: Path) -> Any:
    if key == "MODELS" and isinstance(value, Mapping):
        return {
            name: {inner: _resolve(inner, content, folder) for inner, content in entry.items()}
            if isinstance(entry, Mapping)
            else entry
            for name, entry in value.items()
        }
    if key in PATH_KEYS and isinstance(value, str | Path):
        return folder / Path(value).expanduser()
    if key in PATH_LIST_KEYS and isinstance(value, list | tuple):
        return [str(_path_or_package(item, folder)) for item in value]
    if key == "MODEL_LABELS" and isinstance(value, str) and value.endswith(LABEL_FILES):
        return str(_path_or_package(value, folder))
    return value


def _path_or_package(value: Any, folder: Path) -> Path:
    """`"package:path"` becomes the path inside that package, without importing it; other paths join `folder`."""
    package, colon, inside = str(value).partition(":")
    if colon and package.isidentifier() and len(package) > 1:  # one letter is a Windows drive
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f'"{value}" names the package {package}, which is not installed: pip install it.')
        return Path(spec.submodule_search_locations[0]) / inside
    return folder / Path(str(value)).expanduser()


def _check_known(key: str, prefix: str = "") -> None:
    known = list(Config.model_fields)
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"Did you mean {prefix}{near[0]}?" if near else f"The known ones are {', '.join(known)}."
    raise ConfigError(f"{prefix}{key} is not a setting of Picasso. {hint}", field=key)


def _check_models(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises a `ConfigError` for a name that no page can show, or a key that is no setting of one model."""
    known = [name for name in Config.model_fields if name.startswith("MODEL_") and name != "MODEL_NAME"]
    for name, entry in models.items():
        known_step = training_and_step(name)
        bare = known_step[0] if known_step else name
        if not bare.strip() or MODEL_AND_OUTPUT in bare or not name.isprintable():
            raise ConfigError(
                f"MODELS: a model's name is text without {MODEL_AND_OUTPUT!r} and line breaks, got {name!r}.",
                field="MODELS",
            )
        for key in entry:
            if key in known:
                continue
            near = difflib.get_close_matches(f"MODEL_{key.removeprefix('MODEL_')}", known, n=1, cutoff=0.8)
            hint = f"Did you mean {near[0]}?" if near else f"The known ones are {', '.join(known)}."
            raise ConfigError(f"MODELS[{name!r}] has no {key!r}. {hint}", field="MODELS")


def _sentence(error: ValidationError) -> str:
    """The first problem; where a setting may have several forms, that of the form that fits best."""
    first = max(error.errors(), key=lambda one: len(one["loc"]))
    rule = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:  # several settings do not go together
        return f"{rule}."
    key, *inner = (str(part) for part in first["loc"])
    inner = [part for part in inner if part in PREPROCESSING or part.isdigit()]
    where = ".".join([key, *inner])
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        near = difflib.get_close_matches(name, PREPROCESSING, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"The known ones are {', '.join(PREPROCESSING)}."
        return f"{where} has no {name!r}. {hint}"
    if key in SECRETS:  # not repeated
        return f"{where}: {rule}."
    return f"{where}: {rule}, got {first['input']!r}."


def import_function(name: str, key: str) -> Callable[..., Any]:
    """The function that `"module:function"` names.

    Raises:
        ConfigError: the module or the function is not there; the sentence names the setting `key`.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f'{key} must be written as "module:function", got {name!r}.', field=key)
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(
            f"{key} = {name!r}: the module {module_name} cannot be imported: {error}.", field=key
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{key} = {name!r}: the module {module_name} has no {attribute}.", field=key) from error
    if not callable(function):
        raise ConfigError(f"{key} = {name!r} is a {type(function).__name__}, not a function.", field=key)
    return function  # type: ignore[no-any-return]
