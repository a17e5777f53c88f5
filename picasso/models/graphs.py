"""Opens any TensorFlow file as one thing: a graph to look at, that can be frozen into a graph of constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from picasso.config import Config, import_function
from picasso.errors import ConfigError, ModelError, PicassoError
from picasso.models.graph_files import SAVED_MODEL, GraphFiles

v1 = tf.compat.v1
DEFAULT_SIGNATURE = "serving_default"
INITIALIZER = "__saved_model_init_op"  # a signature that SavedModels have for their own use
VARIABLES = {"Variable", "VariableV2", "VarHandleOp"}
KEPT_APART = ("_XlaMustCompile", "_noinline")  # marks of calls that are not inlined
UNSAFE = {"ReadFile", "WriteFile", "PyFunc", "PyFuncStateless", "EagerPyFunc"}


@dataclass(frozen=True)
class Source:
    """An opened model.

    Attributes:
        graph: its `tf.Graph`, for names, shapes and what leads where.
        inputs: what may take the image or a constant, by the name that a config uses.
        outputs: what the file says its outputs are; None where it does not say.
        freeze: from the operations' names that are wanted to a `GraphDef` of constants. May be called once.
        writer: which program wrote the file, as far as it says.
    """

    graph: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    freeze: Callable[[Sequence[str]], Any]
    writer: str = ""


def open_graph(files: GraphFiles, config: Config) -> Source:
    """The model that `files` hold.

    Raises:
        ModelError: they cannot be read; the sentence says why and what to do.
        ConfigError: `MODEL_SIGNATURE` names none of the file's signatures.
    """
    for name in config.MODEL_CUSTOM_OBJECTS.values():
        import_function(name, "MODEL_CUSTOM_OBJECTS")  # importing the module registers its operations
    if files.format == "SavedModel":
        return _saved_model(files.path, config)
    if files.format == "checkpoint":
        return _checkpoint(files.path, config)
    return _frozen(files.path, config)


def placeholders(graph: Any) -> dict[str, Any]:
    """All tensors of a graph that are fed from outside, by the name of their operation."""
    kinds = {"Placeholder", "PlaceholderWithDefault", "PlaceholderV2"}
    return {item.name: item.outputs[0] for item in graph.get_operations() if item.type in kinds}


def portable(graph_def: Any) -> Any:
    """The same `GraphDef` without what means something only in the program that made it.

    - Devices.
    - Custom gradients: Python functions that no file holds. Without its mark TensorFlow differentiates the operations
      themselves, which gives the gradient of what the graph computes.
    - The names of inner functions, such as `cond_true_12`: another model in this process may have other functions of
      these names.
    """
    library, mark = graph_def.library, uuid4().hex
    names = {function.signature.name: f"{function.signature.name}_{mark}" for function in library.function}
    for function in library.function:
        function.signature.name = names[function.signature.name]
    for gradient in library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)
    for node in _nodes(graph_def):
        node.device = ""
        node.op = names.get(node.op, node.op)
        for key in ("_gradient_op_type", "_class"):
            if key in node.attr:
                del node.attr[key]
        for value in node.attr.values():
            for called in [value.func] if value.HasField("func") else value.list.func:
                called.name = names.get(called.name, called.name)
    return graph_def


def _saved_model(path: Path, config: Config) -> Source:
    proto = saved_model_pb2.SavedModel()
    with _explained(path.name, "a damaged SavedModel"):
        proto.ParseFromString((path / SAVED_MODEL).read_bytes())
        if not proto.meta_graphs:
            raise DecodeError(f"{SAVED_MODEL} is empty")
    for meta_graph in proto.meta_graphs:
        _check_safe(meta_graph.graph_def, path.name, config)
    serving = [meta for meta in proto.meta_graphs if "serve" in meta.meta_info_def.tags]
    meta_graph = (serving or list(proto.meta_graphs))[0]
    tags = list(meta_graph.meta_info_def.tags)
    if meta_graph.HasField("object_graph_def"):
        return _functions(path, tags, config, _writer(meta_graph))
    names = list(meta_graph.signature_def)
    signature = meta_graph.signature_def[_choose_signature(names, path.name, config)] if names else None
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default(), _explained(path.name, "the whole folder that was exported"):
        v1.saved_model.loader.load(session, tags, str(path))
    writer = _writer(meta_graph)
    if signature is None:
        return _session_source(session, writer)

    def named(infos: Any) -> dict[str, Any]:
        return {key: session.graph.get_tensor_by_name(infos[key].name) for key in sorted(infos)}

    return _session_source(session, writer, named(signature.inputs), named(signature.outputs))


def _functions(path: Path, tags: list[str], config: Config, writer: str) -> Source:
    """A SavedModel of TensorFlow 2: its signature is a function; its calls are inlined, its variables constants."""
    with _explained(path.name, "the whole folder that was exported"):
        loaded = tf.saved_model.load(str(path), tags=tags)
    names = [name for name in loaded.signatures if name != INITIALIZER]
    if not names:
        raise ModelError(
            f"The SavedModel {path.name} has no signature, so nothing says what goes in and out: save it with "
            'tf.saved_model.save(model, path, signatures={"serving_default": function}), or with model.export(path).'
        )
    signature = loaded.signatures[_choose_signature(names, path.name, config)]
    with _explained(path.name, "a model below 2 GB, whose variables can become constants"):
        frozen = _inlined(convert_variables_to_constants_v2(signature, lower_control_flow=False))
    # Both are flattened in the same order, the keys'.
    inputs = dict(zip(sorted(signature.structured_input_signature[1]), frozen.inputs, strict=True))
    outputs = dict(zip(sorted(signature.structured_outputs), frozen.outputs, strict=True))
    return Source(frozen.graph, inputs, outputs, lambda names: frozen.graph.as_graph_def(), writer)


def _inlined(frozen: Any) -> Any:
    """The same function, with those calls inlined too that asked not to be (`jit_compile`, `noinline`).

    They would hide a softmax, and TensorFlow finds no gradient of a call that was read from a file.
    """
    graph_def = frozen.graph.as_graph_def()
    items = [*_nodes(graph_def), *graph_def.library.function]
    marked = [(item, key) for item in items for key in KEPT_APART if key in item.attr]
    for item, key in marked:
        del item.attr[key]
    if not marked:
        return frozen
    apart = wrap(portable(graph_def))
    ends = ([apart.graph.get_tensor_by_name(one.name) for one in many] for many in (frozen.inputs, frozen.outputs))
    return convert_variables_to_constants_v2(apart.prune(*ends), lower_control_flow=False)


def wrap(graph_def: Any) -> Any:
    """A `GraphDef` as a function to `prune`."""
    return v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])


def _choose_signature(names: list[str], file: str, config: Config) -> str:
    wanted = config.MODEL_SIGNATURE
    if wanted is None and DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    listed = ", ".join(repr(name) for name in sorted(names))
    problem = f"{file} has several signatures" if wanted is None else f"{file} has no signature {wanted!r}"
    raise ConfigError(f'{problem}: {listed}. Write which: MODEL_SIGNATURE = "{min(names)}".', field="MODEL_SIGNATURE")


def _checkpoint(prefix: Path, config: Config) -> Source:
    meta = prefix.with_name(prefix.name + ".meta")
    description = v1.MetaGraphDef()
    with _explained(meta.name, "the .meta file of a TF1 checkpoint, not damaged"):
        description.ParseFromString(meta.read_bytes())
        if not description.graph_def.node:
            raise DecodeError("it holds no graph")
    _check_safe(description.graph_def, meta.name, config)
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        with _explained(meta.name, "the .meta file of a TF1 checkpoint, not damaged"):
            saver = v1.train.import_meta_graph(description, clear_devices=True)
        with _explained(prefix.name, "the .index and .data files that were written together with the .meta file"):
            if saver is not None:
                saver.restore(session, str(prefix))
    return _session_source(session, _writer(description))


def _session_source(
    session: Any, writer: str, inputs: dict[str, Any] | None = None, outputs: dict[str, Any] | None = None
) -> Source:
    """A graph whose variables have their values in a session."""

    def freeze(names: Sequence[str]) -> Any:
        with session, _explained("The graph", "a model below 2 GB, with a value for each of its variables"):
            return v1.graph_util.convert_variables_to_constants(
                session, session.graph.as_graph_def(), list(dict.fromkeys(names))
            )

    return Source(session.graph, inputs or placeholders(session.graph), outputs, freeze, writer)


def _writer(meta_graph: Any) -> str:
    """Which program wrote a file, "TensorFlow 2.21.0", and whether Keras did it with that."""
    version = meta_graph.meta_info_def.tensorflow_version
    objects = meta_graph.object_graph_def.nodes
    names = {child.local_name for child in objects[0].children} if objects else set()
    keras = ""
    if objects and objects[0].user_object.identifier.startswith("_tf_keras"):
        keras = "Keras 2"
    elif "_misc_assets" in names:  # model.export of Keras 3 keeps its parts under such names
        keras = "Keras 3 (export)"
    return ", ".join(filter(None, [keras, version and f"TensorFlow {version}"]))


def _frozen(path: Path, config: Config) -> Source:
    graph_def = v1.GraphDef()
    with _explained(path.name, "a frozen TF1 graph, not damaged"):
        graph_def.ParseFromString(path.read_bytes())
        if not graph_def.node:
            raise DecodeError("it holds no graph")
    _check_safe(graph_def, path.name, config)
    variables = [node.name for node in graph_def.node if node.op in VARIABLES]
    if variables:
        raise ModelError(
            f"{path.name} is not frozen: its variable {variables[0]} has no value in the file. Give the checkpoint "
            '(MODEL_PATH = "model.ckpt.meta") or freeze the graph first.'
        )
    graph = tf.Graph()
    with graph.as_default(), _explained(path.name, "a frozen TF1 graph, not damaged"):
        tf.graph_util.import_graph_def(graph_def, name="")
    return Source(graph, placeholders(graph), None, lambda names: graph_def)


def _nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _check_safe(graph_def: Any, file: str, config: Config) -> None:
    found = sorted({node.op for node in _nodes(graph_def)} & UNSAFE)
    if found and not config.MODEL_ALLOW_UNSAFE:
        raise ModelError(
            f"{file} contains operations that read or write files or run Python ({', '.join(found)}). If you trust "
            "the file, write MODEL_ALLOW_UNSAFE = True in the config."
        )


@contextmanager
def _explained(file: str, needed: str) -> Iterator[None]:
    """Whatever TensorFlow raises inside becomes one sentence that names the file and what it must be."""
    try:
        yield
    except PicassoError:
        raise
    except Exception as error:
        unknown = re.search(r"Op type not registered '(\w+)'", str(error))
        if unknown:
            raise ModelError(
                f"{file} uses the operation {unknown[1]}, which TensorFlow {tf.__version__} does not know. Name a "
                "function of a module that registers it: "
                f'MODEL_CUSTOM_OBJECTS = {{"{unknown[1]}": "module:function"}}.'
            ) from error
        raise ModelError(
            f"TensorFlow {tf.__version__} cannot open {file}: {first_line(error)} Check that it is {needed}."
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, as a sentence."""
    text = re.sub(r"^Graph execution error:\s*(Detected at node .*?Node: \S+\s)?", "", str(error), flags=re.DOTALL)
    lines: Iterable[str] = (line.strip() for line in text.rpartition("also failed due to: ")[2].splitlines())
    text = next((line for line in lines if line), type(error).__name__)
    return text if text.endswith((".", "!", "?")) else f"{text}."
