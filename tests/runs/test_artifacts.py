"""Results on their way to files and back."""

from __future__ import annotations

import gc
import io
import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from picasso.errors import PluginError
from picasso.runs.artifacts import REFERENCE, Artifact, load_array, pack, unpack


@dataclass
class Finding:
    label: str
    map: Any


def there_and_back(result):
    packed = pack(result, "0")
    content = json.loads(json.dumps(packed.content, allow_nan=False))
    return unpack(content, lambda name: f"/files/{name}", packed.files.__getitem__)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (math.nan, None),
        (math.inf, None),
        (np.float32("-inf"), None),
        ((1, [2, ()]), [1, [2, []]]),
        ({1: "a", "b": {"c": None}}, {"1": "a", "b": {"c": None}}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Finding("cat", 1), {"label": "cat", "map": 1}),
    ],
)
def test_plain_values(value, expected):
    assert there_and_back(value) == expected
    assert pack(value, "0").files == {}


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("float64", "float32"), ("float32", "float32"), ("float16", "float16"), ("int64", "int64"), ("bool", "bool")],
)
def test_arrays(dtype, kept):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    artifact = there_and_back({"map": array})["map"]
    assert (artifact.kind, artifact.shape, str(artifact)) == ("array", (2, 3), "/files/0.map.npy")
    assert artifact.load().dtype == kept
    np.testing.assert_array_equal(artifact.load(), array)


def test_arrays_keep_what_json_cannot_say():
    array = np.float32([np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(there_and_back(array).load(), array)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK"])
def test_pictures(mode):
    image = Image.new(mode, (5, 3))
    packed = pack([image], "7")
    (name,) = packed.files
    assert name == "7.0.png"
    assert packed.content == [{"$file": name, "kind": "image", "shape": [3, 5]}]
    kept = Image.open(io.BytesIO(packed.files[name]), formats=["PNG"])
    assert kept.mode == (mode if mode in ("L", "RGB", "RGBA") else "RGB")
    np.testing.assert_array_equal(np.asarray(kept), np.asarray(image.convert(kept.mode)))


def test_things_deep_inside():
    result = {"maps": [Finding("a", np.zeros(1)), Finding("b", np.ones(1))], "view": Image.new("L", (1, 1))}
    assert sorted(pack(result, "3").files) == ["3.maps.0.map.npy", "3.maps.1.map.npy", "3.view.png"]
    assert [finding["map"].load().tolist() for finding in there_and_back(result)["maps"]] == [[0], [1]]


@pytest.mark.parametrize(
    "keys",
    [("a b", "a-b", "a/b"), ("Ärger", "Örger"), ("map", "MAP"), ("x" * 50 + "1", "x" * 50 + "2"), ("", "-", "..")],
)
def test_keys_that_differ_little_do_not_share_a_file(keys):
    """Also where file names' case does not count."""
    result = {key: np.float32([index]) for index, key in enumerate(keys)}
    assert len({name.lower() for name in pack(result, "0").files}) == len(keys)
    assert [there_and_back(result)[key].load().item() for key in keys] == list(range(len(keys)))


@pytest.mark.slow  # any text: Hypothesis makes tables of all characters first
@given(st.text().filter(lambda key: key != REFERENCE))
def test_any_key_gives_a_plain_file_name(key):
    (name,) = pack({key: np.zeros(1)}, "0").files
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|\0 \n')
    assert len(name) < 100


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "holds a object"),
        ({"a": [{1, 2}]}, "holds a set"),
        (1j, "holds a complex"),
        (b"bytes", "holds a bytes"),
        (Finding, "holds a type"),
        (np.array([1j]), "array of complex"),
        (np.array(["a"]), "array of <U1"),
        (np.array([None]), "array of object"),
        ({"$file": "../../etc/passwd"}, "may not use the key '\\$file'"),
    ],
)
def test_what_cannot_be_kept(value, what):
    with pytest.raises(PluginError, match=what):
        pack(value, "0")


def test_load_never_unpickles():
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_array(file.getvalue())


@pytest.fixture
def restless_threads():
    """Threads that take turns often, in the middle of anything."""
    callback, interval, threshold = (lambda *_: sum(range(50))), sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(1, 1, 1)
    gc.callbacks.append(callback)
    yield
    gc.callbacks.remove(callback)
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


def test_arrays_are_read_in_many_threads_at_once(restless_threads):
    data = pack(np.arange(6.0), "0").files["0.npy"]
    with ThreadPoolExecutor(8) as pool:
        assert all(values.sum() == 15 for values in pool.map(load_array, [data] * 200))


@pytest.mark.parametrize("url", ["/files/0.map.npy", "/files/0.map.npy?version=4"])
def test_the_address_of_a_drawn_array(url):
    artifact = Artifact(url, "array", (2, 3), lambda: np.zeros((2, 3)))
    parts = urlsplit(artifact.png(low=-0.5, high=1, colours="vik"))
    assert parts.path == "/files/0.map.npy.png"
    expected = {"low": ["-0.5"], "high": ["1"], "colours": ["vik"]}
    assert parse_qs(parts.query) == expected | ({"version": ["4"]} if "version" in url else {})
