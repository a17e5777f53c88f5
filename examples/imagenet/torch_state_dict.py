"""Reads a PyTorch state dict without PyTorch, and without running what is in the file.

Only the format that `torch.save` wrote before PyTorch 1.6 ("legacy", not a zip archive) is read. Source of the layout:
`_legacy_save` and `_legacy_load` in PyTorch's torch/serialization.py. In order, the file holds

1. a pickle of the magic number 0x1950a86a20f9469cfc6c,
2. a pickle of the protocol version, 1001,
3. a pickle of a dict that says, among others, whether the machine was little endian,
4. a pickle of the state dict, where each tensor names its storage by a persistent id
   ('storage', type, key, location, number of elements, view metadata),
5. a pickle of the list of the storages' keys,
6. for each key of that list, the number of elements as an int64, then the elements.

A pickle is a program. Here each pickle is checked before it runs: it may use only the opcodes in `_OPCODES`, and it may
name only the globals in `_GLOBALS`, which stand for themselves and do nothing but check their arguments.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

# What pickle protocol 2 writes for dicts, lists, tuples, numbers and text, and how a state dict uses globals.
# fmt: off
_OPCODES = frozenset({
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND",
    "APPENDS", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
})
# fmt: on
_MAX_DIMENSIONS = 32


class DamagedFile(ValueError):
    """The file is not a complete, consistent legacy state dict."""


class UnsafePickle(ValueError):
    """The file asks for something that a state dict does not need, such as calling a function by name."""


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Return the tensors of the state dict in the file at `path`, in the file's order.

    Each array is a writable, C-contiguous copy with the tensor's own shape (a scalar has shape ()) and the dtype of its
    storage, in little-endian order: float16/32/64, int8/16/32/64 or uint8.

    Raises `OSError` if the file cannot be read, `UnsafePickle` if a pickle in it uses a global or an opcode that is not
    allowed, and `DamagedFile` if anything else is not as the format says: truncated, trailing bytes, a tensor that
    reaches outside its storage.
    """
    data = Path(path).read_bytes()
    if data.startswith(b"PK"):
        raise DamagedFile("The file is a zip archive, as PyTorch 1.6 and later write; only the older format is read.")
    reader = _Reader(data)
    reader.header()
    tensors, storages = reader.state()
    arrays = reader.storages(storages)
    reader.end()
    return {name: _array(name, tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


class _StorageType(NamedTuple):
    """Stands for a class such as torch.FloatStorage: the type of the elements of a storage."""

    name: str
    dtype: str


class _Storage(NamedTuple):
    """A run of numbers that follows the pickles. Several tensors may share one."""

    key: str
    kind: _StorageType
    size: int


class _Tensor(NamedTuple):
    """A view of a storage: element [i, j, ...] is number offset + i * stride[0] + j * stride[1] + ... of it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _StateDict(dict[Any, Any]):
    """Stands for the OrderedDict of the state dict. Takes no attributes: the file's `_metadata` is left out."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Accept and drop what `OrderedDict` would take as attributes (pickle's BUILD)."""
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise DamagedFile("An OrderedDict has attributes other than _metadata.")


class _EmptyOrderedDict:
    """Stands for the class collections.OrderedDict; calling it without arguments makes a `_StateDict`."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _StateDict:
        if arguments:
            raise DamagedFile(f"An OrderedDict is made from {len(arguments)} arguments instead of none.")
        return _StateDict()


class _RebuildTensor:
    """Stands for torch._utils._rebuild_tensor_v2; calling it checks the arguments' types and makes a `_Tensor`."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _Tensor:
        if len(arguments) != 6:
            raise DamagedFile(f"A tensor is made from {len(arguments)} arguments instead of 6.")
        storage, offset, shape, stride, requires_grad, hooks = arguments
        if not isinstance(storage, _Storage):
            raise DamagedFile(f"A tensor has {_shown(storage)} where its storage should be.")
        if not _is_count(offset):
            raise DamagedFile(f"A tensor has the offset {_shown(offset)}.")
        if not isinstance(requires_grad, bool) or not isinstance(hooks, _StateDict) or hooks:
            raise DamagedFile("A tensor has a gradient flag that is not a truth value, or has backward hooks.")
        return _Tensor(storage, offset, _counts(shape, "shape"), _counts(stride, "stride"))  # type: ignore[arg-type]


# Half and Byte are what PyTorch calls float16 and uint8. There is no BFloat16: NumPy has no such type.
_DTYPES = {
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
    "Char": "|i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Byte": "|u1",
}
_GLOBALS: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): _EmptyOrderedDict(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    **{("torch", f"{name}Storage"): _StorageType(f"{name}Storage", dtype) for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Resolves globals through `_GLOBALS` only, and collects the storages that persistent ids name."""

    def __init__(self, file: io.BytesIO, *, plain: bool) -> None:
        super().__init__(file)
        self._plain = plain
        self.found: dict[str, _Storage] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        allowed = None if self._plain else _GLOBALS.get((module_name, global_name))
        if allowed is None:
            raise UnsafePickle(
                f"The file names the global {module_name}.{global_name}, which a state dict does not need. "
                "It was refused and not run."
            )
        return allowed

    def persistent_load(self, pid: Any, /) -> _Storage:
        """Return the storage that the id ('storage', type, key, location, count, view metadata) names."""
        if self._plain or not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage":
            raise DamagedFile(f"A persistent id is {_shown(pid)} instead of a storage's.")
        _, kind, key, _location, count, view = pid
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not _is_count(count):
            raise DamagedFile(f"The id of storage {_shown(key)} has a wrong type, key or number of elements.")
        if view is not None:
            raise DamagedFile(f"Storage {_shown(key)} is a view of another one, which is not read.")
        storage = _Storage(key, kind, count)
        if self.found.setdefault(key, storage) != storage:
            raise DamagedFile(f"Storage {_shown(key)} is described twice, in different ways.")
        return storage


class _Reader:
    """Walks through the bytes of the file. Each method takes the part that comes next."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def header(self) -> None:
        """Check the magic number, the protocol version and the byte order."""
        if self._plain("magic number") != MAGIC_NUMBER:
            raise DamagedFile("The file does not start with PyTorch's magic number.")
        version = self._plain("protocol version")
        if version != PROTOCOL_VERSION:
            raise DamagedFile(f"The protocol version is {_shown(version)} instead of {PROTOCOL_VERSION}.")
        system = self._plain("system information")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise DamagedFile("The system information does not say that the numbers are little endian.")

    def state(self) -> tuple[dict[str, _Tensor], dict[str, _Storage]]:
        """Return the tensors by name and the storages by key."""
        unpickler = _Unpickler(self._pickle("state dict"), plain=False)
        state = _run(unpickler.load, "state dict")
        if not isinstance(state, _StateDict):
            raise DamagedFile(f"The file holds {_shown(state)} instead of a state dict.")
        for name, tensor in state.items():
            if not isinstance(name, str) or not isinstance(tensor, _Tensor):
                raise DamagedFile(f"The entry {_shown(name)} of the state dict is not a tensor with a name.")
        return dict(state), unpickler.found

    def storages(self, expected: dict[str, _Storage]) -> dict[str, np.ndarray]:
        """Return each storage's elements, shape (count,), as read-only views of the file's bytes."""
        keys = self._plain("list of storage keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise DamagedFile("The storage keys are not a list of texts.")
        if len(keys) != len(set(keys)) or set(keys) != set(expected):
            raise DamagedFile("The list of storage keys does not name each storage of the state dict once.")
        return {key: self._storage(expected[key]) for key in keys}

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._data):
            raise DamagedFile(f"{len(self._data) - self._at} bytes follow the last storage.")

    def _storage(self, storage: _Storage) -> np.ndarray:
        count = int.from_bytes(self._take(8, f"the length of storage {_shown(storage.key)}"), "little", signed=True)
        if count != storage.size:
            raise DamagedFile(f"Storage {_shown(storage.key)} has {count} elements, its id says {storage.size}.")
        dtype = np.dtype(storage.kind.dtype)
        return np.frombuffer(self._take(count * dtype.itemsize, f"storage {_shown(storage.key)}"), dtype)

    def _take(self, size: int, what: str) -> memoryview:
        part = memoryview(self._data)[self._at : self._at + size]
        if len(part) != size:
            raise DamagedFile(f"The file is truncated: it ends {size - len(part)} bytes before the end of {what}.")
        self._at += size
        return part

    def _plain(self, what: str) -> object:
        """Run the next pickle, which may hold only numbers, text, lists, tuples and dicts."""
        return _run(_Unpickler(self._pickle(what), plain=True).load, what)

    def _pickle(self, what: str) -> io.BytesIO:
        """Return the next pickle's bytes, after checking its opcodes."""
        stream = io.BytesIO(self._data)
        stream.seek(self._at)
        _run(lambda: _check(pickletools.genops(stream)), what)
        start, self._at = self._at, stream.tell()
        return io.BytesIO(self._data[start : self._at])


def _check(opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> None:
    """Refuse opcodes outside `_OPCODES`, and memo numbers so high that the memo alone would fill the memory."""
    for number, (opcode, argument, _position) in enumerate(opcodes):
        if opcode.name not in _OPCODES:
            raise UnsafePickle(f"The file uses the pickle opcode {opcode.name}, which a state dict does not need.")
        if opcode.name in ("BINPUT", "LONG_BINPUT") and argument > number:
            raise DamagedFile(f"The pickle stores a value as number {argument} before storing that many.")


def _run(action: Callable[[], Any], what: str) -> Any:
    """Return what `action` returns. Whatever a malformed pickle makes it raise becomes `DamagedFile`."""
    try:
        return action()
    except (DamagedFile, UnsafePickle):
        raise
    except Exception as error:  # pickle documents that malformed data may raise anything
        raise DamagedFile(f"The {what} cannot be read; the file may be truncated. Pickle says: {error}") from error


def _array(name: str, tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """Return a contiguous copy of the view `tensor` of `storage`, after checking that it stays inside.

    Tensors with more elements than their storage, made by repeating some with stride 0, are refused.
    """
    if len(tensor.shape) != len(tensor.stride) or len(tensor.shape) > _MAX_DIMENSIONS:
        raise DamagedFile(f"Tensor {_shown(name)} has {len(tensor.shape)} sizes and {len(tensor.stride)} strides.")
    count = math.prod(tensor.shape)
    if count == 0:
        try:
            return np.empty(tensor.shape, storage.dtype)
        except ValueError as error:  # NumPy multiplies the sizes that are not 0, too
            raise DamagedFile(f"Tensor {_shown(name)} has the impossible shape {tensor.shape}.") from error
    # A size of 1 takes no step, so its stride says nothing and may be any number.
    stride = [step if size > 1 else 0 for size, step in zip(tensor.shape, tensor.stride, strict=True)]
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, stride, strict=True))
    if last >= storage.size or count > storage.size:
        raise DamagedFile(
            f"Tensor {_shown(name)} with offset {tensor.offset}, shape {tensor.shape} and strides {tensor.stride} "
            f"does not fit in its storage of {storage.size} elements."
        )
    bytes_apart = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, bytes_apart, writeable=False)
    return np.array(view, order="C", copy=True)


def _is_count(value: object) -> bool:
    """Whether `value` is a whole number from 0 to the largest int64."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _counts(values: object, what: str) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(_is_count(value) for value in values):
        raise DamagedFile(f"A tensor has the {what} {_shown(values)} instead of whole numbers from 0 upwards.")
    return values


def _shown(value: object) -> str:
    """Return a short text for an error message. Containers are named by type only: they may be huge or hold loops."""
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value[:_MAX_DIMENSIONS]):
        return repr(value[:_MAX_DIMENSIONS])
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
