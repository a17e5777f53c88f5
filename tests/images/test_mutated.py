"""Good files, damaged at random where it hurts: every one is read or refused, and no process hangs over it."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_forms import everything
from PIL import Image
from test_reading import GOOD, photo, saved

from picasso.errors import ImageRefused
from picasso.images.decoder import shared
from picasso.images.reading import Limits

PIXELS = 100_000
PNG_START = b"\x89PNG\r\n\x1a\n"
GREY = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(9, 7))
DICOM = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0) + struct.pack("<HH2sHH", 40, 16, b"US", 2, 9)
SEEDS = {
    "PNG": [data for data in GOOD if data.startswith(PNG_START)],
    "JPEG": [data for data in GOOD if data.startswith(b"\xff\xd8")],
    "GIF": [data for data in GOOD if data.startswith(b"GIF")],
    "WEBP": [*(data for data in GOOD if data.startswith(b"RIFF")), saved(photo(), "WEBP", lossless=True)],
    "TIFF": [data for data in GOOD if data.startswith((b"II", b"MM"))],
    "BMP": [*(data for data in GOOD if data.startswith(b"BM")), saved(GREY, "BMP"), saved(GREY.convert("1"), "BMP")],
    "DICOM": [DICOM + bytes(200)],
}
EVERY = [data for datas in SEEDS.values() for data in datas]
EDGES = [0, 1, 2, 7, 8, 9, 16, 24, 32, 64, 255, 256, 4096, 2**15, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]

place = st.one_of(st.integers(0, 64), st.integers(0, 2**16))
change = st.one_of(
    st.tuples(st.just("flip"), place, st.integers(0, 7)),
    st.tuples(st.just("cut"), place, st.integers(1, 64)),
    st.tuples(st.just("end"), place),
    st.tuples(st.just("repeat"), place, st.integers(1, 64), st.integers(2, 40)),
    st.tuples(st.just("splice"), place, st.sampled_from(EVERY), place, st.integers(1, 300)),
    st.tuples(st.just("field"), place, st.sampled_from("<>"), st.sampled_from("BHIQ"), st.sampled_from(EDGES)),
)


def changed(data: bytes, changes: list[tuple]) -> bytes:
    """The data after these changes; places beyond its end begin at the front again."""
    found = bytearray(data)
    for kind, where, *more in changes:
        at = where % (len(found) or 1)
        match kind, *more:
            case "flip", bit:
                found[at : at + 1] = bytes(byte ^ 1 << bit for byte in found[at : at + 1])
            case "cut", length:
                del found[at : at + length]
            case ("end",):
                del found[at:]
            case "repeat", length, times:
                found[at : at + length] = found[at : at + length] * times
            case "splice", other, start, length:
                start %= len(other)
                found[at:at] = other[start : start + length]
            case "field", order, size, value:
                field = struct.pack(order + size, value % 2 ** (8 * struct.calcsize(size)))
                found[at : at + len(field)] = field
    return bytes(found)


def with_right_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the check sums of what is in them now, so that their content is looked at."""
    found, at = bytearray(data), len(PNG_START)
    while found.startswith(PNG_START) and at + 12 <= len(found):
        end = at + 8 + int.from_bytes(found[at : at + 4])
        if end + 4 > len(found):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=5_000 if everything() else 25)
@given(st.data())
def test_changed_files(kind: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[kind]))
    mutant = changed(seed, data.draw(st.lists(change, min_size=1, max_size=5)))
    if data.draw(st.booleans()):
        mutant = with_right_sums(mutant)
    refused = found = None
    try:
        found = shared().decode(mutant, "a.dat", Limits(max_bytes=2**20, max_pixels=PIXELS, max_seconds=20))
    except ImageRefused as error:
        refused = error
    if found is None:
        assert refused.status in (413, 415, 422)
        assert re.fullmatch(r'"a\.dat" .+\.', refused.message)
        assert "within" not in refused.message  # no small file takes 20 seconds
    else:
        with Image.open(io.BytesIO(found.png), formats=["PNG"]) as image:
            image.load()
            assert (image.size, image.info) == (found.size, {})
            assert image.mode in ("L", "RGB")
            assert image.width * image.height <= PIXELS
