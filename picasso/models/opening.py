"""Opens the configured model with the adapter for its framework. Called in worker processes only."""

from __future__ import annotations

from pathlib import Path

from picasso.config import Config, import_function
from picasso.errors import ModelError
from picasso.models.base import Model
from picasso.models.files import require
from picasso.models.graph_files import graph_format, is_there

KERAS_SUFFIXES = {".keras", ".h5", ".hdf5"}
TORCH = (
    "PyTorch, which Picasso does not open: export it with torch.onnx.export, and convert that to a SavedModel, for "
    "example with onnx2tf"
)
ELSEWHERE = {  # whose files these are, and what to do with them
    ".onnx": "ONNX, which Picasso does not open: convert it to a SavedModel, for example with onnx2tf",
    ".tflite": "TensorFlow Lite, which Picasso does not open: give the Keras file or SavedModel that it was made from",
    ".pt": TORCH,
    ".pth": TORCH,
}


def open_model(config: Config) -> Model:
    """The configured model, ready for use; made first by `MODEL_PREPARE` if its file is not there.

    Raises:
        ConfigError: the configuration names nothing that exists.
        ModelError: the file cannot be opened, or is not for this framework.
    """
    if config.MODEL_PREPARE and config.MODEL_PATH and not is_there(config.MODEL_PATH):
        import_function(config.MODEL_PREPARE, "MODEL_PREPARE")(config.MODEL_PATH)
    path = require(config.MODEL_PATH)
    for key, name in config.functions().items():  # what is not there is said before TensorFlow is imported
        if key != "MODEL_PREPARE":  # of no use once the model is there
            import_function(name, key)
    try:
        return _open(config, path)
    except ModelError as error:
        if error.field == "MODEL_PATH" and path.suffix in ELSEWHERE:  # by its content it is no file of ours
            raise ModelError(f"{error.message} Files named {path.suffix} are of {ELSEWHERE[path.suffix]}.") from error
        if config.MODEL_PREPARE is None:
            raise
        raise ModelError(f"{error.message} If it is damaged, delete {path}: it is made anew then.") from error


def _open(config: Config, path: Path) -> Model:
    framework = config.MODEL_FRAMEWORK or framework_of(path)
    _check_framework(framework, path)
    # The adapters are imported here, because they import TensorFlow.
    if framework == "tensorflow":
        from picasso.models.tensorflow import TensorFlowModel

        return TensorFlowModel(config, path)
    from picasso.models.keras import KerasModel

    return KerasModel(config, path)


def framework_of(path: Path) -> str:
    """Which framework's the model at `path` is: "tensorflow" for its graphs, else "keras", whose adapter knows more."""
    is_graph = graph_format(path) is not None and (path.is_dir() or path.suffix not in KERAS_SUFFIXES)
    return "tensorflow" if is_graph else "keras"


def _check_framework(framework: str, path: Path) -> None:
    """Raises a `ModelError` with the line to write, where the file is the other framework's."""
    if framework == "keras" and framework_of(path) == "tensorflow":
        other, what = "tensorflow", f"TensorFlow {graph_format(path)}"
    elif framework == "tensorflow" and path.suffix in KERAS_SUFFIXES and path.is_file():
        other, what = "keras", "Keras model file"
    else:
        return
    raise ModelError(
        f'{path.name} is a {what}, but MODEL_FRAMEWORK is "{framework}". Write MODEL_FRAMEWORK = "{other}", or '
        "leave the line out.",
        field="MODEL_FRAMEWORK",
    )
