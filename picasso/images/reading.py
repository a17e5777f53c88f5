"""Read the images that strangers upload.

Every file becomes one upright 8-bit picture in mode "L" or "RGB" without metadata, or an `ImageRefused`.
What changes the pixels is said in `ReadImage.notes`.

| In the file                            | In the picture                                                  | Note |
|----------------------------------------|-----------------------------------------------------------------|------|
| 1-bit, 8-bit grey                      | L: 0 and 255, or the values as they are                         | no   |
| 8-bit RGB, palette without transparent | RGB, the same colours                                           | no   |
| any transparency                       | put on white; grey stays L, everything else becomes RGB         | yes  |
| CMYK, YCbCr, LAB, HSV                  | RGB as Pillow converts it, without a colour profile             | yes  |
| 16-bit grey, integers 0 to 65535       | L: 0..2^d-1 to 0..255, d the smallest of 8, 10, 12, 14, 16 that | yes, |
|                                        | holds the maximum (d = 8 keeps the values)                      | d>8  |
| grey with negative or larger integers, | L: smallest to largest finite value to 0..255; NaN and infinity | yes  |
| floating-point grey                    | become 0; a flat picture becomes 0                              |      |
| 16-bit colour or grey with alpha       | the 8 bits that Pillow keeps                                    | yes  |
| several frames or pages                | the first one                                                   | yes  |
| JPEG with further pictures inside      | the main one                                                    | no   |
| EXIF orientation 2 to 8                | turned upright (TIFF: by Pillow while decoding)                 | yes  |
| EXIF that cannot be read               | taken as upright                                                | no   |
| ICC colour profile                     | ignored, as the image loaders of Keras and TensorFlow do: a     | no   |
|                                        | model sees the numbers that it saw in training                  |      |

The format is decided by the content, never by the name. The numbers of bytes and pixels are checked before
anything is decoded. Pillow's own protections (text chunks, TIFF tags, decompression bombs, truncated files) stay
as they are, and no setting of Pillow is changed. They were checked with Pillow 13 only.

Pillow warns about harmless damage. `warnings.catch_warnings` swaps a list that all threads share, so it is not used:
one process-wide filter for warnings raised in Pillow's modules is put first instead, and stays. The C library for
TIFF writes a line to stderr about a damaged file; only redirecting the process's stderr stops it, as
`picasso.images.decoder_process` does.
"""

from __future__ import annotations

import io
import re
import struct
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin, WebPImagePlugin

from picasso.errors import ImageDamaged, ImageRefused, TooLarge

FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""Pillow's name of each format that is read, with the usual endings of file names."""

ACCEPT = ",".join([*(f"image/{name.lower()}" for name in FORMATS), *(end for ends in FORMATS.values() for end in ends)])
"""For `<input type="file" accept=...>`; a hint to the browser, not a check."""

MAX_FRAMES_COUNTED = 100
MAX_JPEG_SCANS = 500
MAX_TIFF_STRIPS = 2**18

_Numbers = npt.NDArray[Any]

READS = "PNG, JPEG, WebP, GIF, BMP, TIFF"
_REMEDY = "Save it as PNG or JPEG and try again."
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)  # imported here, so that Image.open need not import while threads run
_QUIET: tuple[object, ...] = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_STRIP_TAGS = (273, 279, 324, 325)  # offsets and byte counts of strips and tiles
_TURNED = "The picture was turned upright (EXIF orientation {})."
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
}
_OTHERS = {
    rb"%PDF-": "a PDF document",
    rb"PK\x03\x04|PK\x05\x06": "a zip archive or an office document",
    rb"\x1f\x8b|7z\xbc\xaf|Rar!": "a compressed archive",
    rb".{128}DICM": "a DICOM file",
    rb".{4}ftyp(hei|hev|mif1|msf1)": "a HEIC image",
    rb".{4}ftypavi[fs]": "an AVIF image",
    rb".{4}ftyp|RIFF.{4}AVI |\x1aE\xdf\xa3": "a video",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 image",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL image",
    rb"8BPS": "a Photoshop document",
    rb"\0\0\x01\0": "an icon file (ICO)",
    rb"\x76\x2f\x31\x01": "an OpenEXR image",
    rb"\x89HDF": "an HDF5 file",
    rb"\x93NUMPY": "a NumPy array",
    rb"\s*(<svg|<!doctype svg|<(\?xml|!--).*<svg)": "an SVG drawing",
    rb"\s*(<!doctype html|<html)": "a web page (HTML)",
}


@dataclass(frozen=True)
class Limits:
    """What one file may have: bytes, and pixels (width x height, checked at the header).

    And what reading it may take where a process of its own does that (`picasso.images.decoder`): seconds, and memory.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000
    max_seconds: float = 30

    @property
    def max_memory(self) -> int:
        """Bytes: of the file twice, of each pixel 32, and 64 MiB for what does not grow with either.

        Measured with Pillow 13, for each pixel: 25 bytes by a transparent WebP, 22 by 32-bit integers, 18 by floats, 14
        by a transparent PNG, 12 by a JPEG.
        """
        return 2 * self.max_bytes + 32 * self.max_pixels + 64 * 2**20


@dataclass(frozen=True)
class ReadImage:
    """An upload that was read: see the module's table.

    `image` has mode "L" or "RGB", is upright and carries no metadata. `format` is a key of `FORMATS`, or "" for a
    picture that was in no file.
    `notes` has one sentence for people per conversion that changed the pixels.
    """

    image: Image.Image
    format: str
    notes: tuple[str, ...]


def check_bytes(count: int, filename: str, limits: Limits) -> None:
    """Raises `TooLarge` where a file has more bytes than allowed; its content need not have been read for that."""
    if count > limits.max_bytes:
        name = f'"{shown_name(filename)}"'
        raise TooLarge(f"{name} has {count:,} bytes; the limit is {limits.max_bytes:,}. Make it smaller and try again.")


def read_image(data: bytes, filename: str, limits: Limits = Limits()) -> ReadImage:
    """Read the bytes of one uploaded file; `filename` is used in messages only.

    Pillow refuses about 179 million pixels on its own, whatever `limits` says.

    Raises `ImageRefused` (not a format that is read), `TooLarge` (bytes or pixels) or `ImageDamaged`; nothing else.
    """
    name = f'"{shown_name(filename)}"'
    check_bytes(len(data), filename, limits)
    kind = _recognize(data, name)
    try:
        return _read(data, kind, name, limits.max_pixels)
    except ImageRefused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\((\d+) pixels\)", str(error))  # Pillow looks before the size is known here
        pixels = f"{int(found[1]):,}" if found else "too many"
        limit = min(limits.max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or limits.max_pixels))
        raise TooLarge(f"{name} has {pixels} pixels; the limit is {limit:,}. Make it smaller and try again.") from error
    except Exception as error:  # Pillow raises whatever its parsers meet: OSError, struct.error, KeyError, ...
        raise ImageDamaged(
            f"{name} is damaged or incomplete: it starts like a {kind} image, but its content cannot be read. "
            "Open it in an image editor, save it as PNG or JPEG and try again."
        ) from error


def take_image(image: Image.Image, name: str) -> ReadImage:
    """Convert a picture that is open in this process as `read_image` does; it stays as it is.

    Raises ImageDamaged where it was opened from a file that cannot be read further.
    """
    try:
        image.load()
        orientation = _orientation(image)
        picture, notes = _to_8bit(image.copy(), 8)
    except Exception as error:  # Pillow raises whatever its parsers meet
        raise ImageDamaged(f'"{shown_name(name)}" cannot be read: {type(error).__name__}: {error}') from error
    if orientation > 1:
        picture = picture.transpose(_TURN[orientation])
        notes.append(_TURNED.format(orientation))
    picture.info = {}
    return ReadImage(picture, image.format or "", tuple(notes))


def encode_png(image: Image.Image) -> bytes:
    """Return a PNG of an image in mode L, RGB or RGBA: the pixels only, no metadata. Raises OSError for other modes."""
    if image.info:
        image = image.copy()
        image.info = {}
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def shown_name(filename: str | None) -> str:
    """Return the last part of a file name as text to show: never a path to open, and not escaped for HTML.

    Control and formatting characters (bidi overrides among them) and surrogates are removed. At most 120 characters:
    the middle of a longer name is left out, its ending stays. "image" if nothing is left.
    """
    last = re.split(r"[/\\]", filename or "")[-1]
    kept = [c for c in last if c in "\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    name = "".join(kept).strip()
    if not name.strip(" .\u200c\u200d"):
        return "image"
    return name if len(name) <= 120 else f"{name[:99]}…{name[-20:]}"


def _recognize(data: bytes, name: str) -> str:
    """Return the key of `FORMATS` that the first bytes announce. Raises ImageRefused that says what the file seems."""
    if not data:
        raise ImageRefused(f"{name} is empty (0 bytes). Check the file and try again.")
    for start, kind in _STARTS.items():
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return "BMP"
    head = data[:1024].removeprefix(b"\xef\xbb\xbf")
    for pattern, what in _OTHERS.items():
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            raise ImageRefused(f"{name} seems to be {what}; Picasso reads {READS}. {_REMEDY}")
    raise ImageRefused(f"{name} is not an image in a format Picasso reads ({READS}). {_REMEDY}")


def _read(data: bytes, kind: str, name: str, max_pixels: int) -> ReadImage:
    """Decode and convert. Raises TooLarge, or anything that Pillow raises."""
    _silence_pillow()
    notes = []
    frames = _inspect(data, kind)
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise TooLarge(
                f"{name} is {width} x {height} = {width * height:,} pixels; the limit is {max_pixels:,}. "
                "Make it smaller and try again."
            )
        frames = frames or int(getattr(image, "n_frames", 1))
        if frames > 1:
            count = f"more than {MAX_FRAMES_COUNTED}" if frames > MAX_FRAMES_COUNTED else str(frames)
            notes.append(f"Only the first of {count} frames is used.")
        reduced = ";16" in str(image.tile[:1]) and image.mode[0] not in "IF"
        # Pillow turns a TIFF itself and then forgets its orientation, so that is read before.
        orientation = _orientation(image) if kind == "TIFF" else 1
        image.load()
        picture, said = _to_8bit(image, int(data[24]) if kind == "PNG" else 8)
        if kind != "TIFF":
            orientation = _orientation(image)
            picture = picture.transpose(_TURN[orientation]) if orientation > 1 else picture
    if reduced:
        notes.append("16-bit values were reduced to 8 bits.")
    notes += said
    if orientation > 1:
        notes.append(_TURNED.format(orientation))
    picture.info = {}
    return ReadImage(picture, kind, tuple(notes))


def _silence_pillow() -> None:
    """Put the filter for Pillow's warnings first, unless it is: other code may have put its own before it."""
    if not warnings.filters or warnings.filters[0] != _QUIET:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where there is none, it is invalid, or the EXIF cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return value if isinstance(value, int) and value in _TURN else 1
    except Exception:  # broken metadata must not spoil a good picture
        return 1


def _inspect(data: bytes, kind: str) -> int:
    """Return the number of frames, at most MAX_FRAMES_COUNTED + 1, or 0 if Pillow knows it without counting.

    Raises ValueError for two bombs that Pillow lets through: a JPEG with a great many scans, where 30 bytes can cost
    a pass over the picture, and a TIFF with millions of strips. A chance "FF DA" in data appended to a JPEG
    (a phone's video) comes once in 65,536 bytes; three times as many are allowed.
    """
    if kind == "JPEG":
        if data.count(b"\xff\xda") > MAX_JPEG_SCANS + len(data) // 20_000:
            raise ValueError("too many scans")
        return 1  # further pictures inside are previews and depth or gain maps, not frames
    return {"GIF": _count_gif_frames, "TIFF": _count_tiff_pages}.get(kind, lambda _: 0)(data)


def _count_gif_frames(data: bytes) -> int:
    """Walk a GIF's blocks; Pillow's own count has no cap. A damaged end ends the count."""

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 128 else 0

    frames = 0
    with suppress(IndexError):
        at = 13 + table(data[10])
        while frames <= MAX_FRAMES_COUNTED and data[at] in b"!,":
            if data[at] == ord(","):
                frames += 1
                at += 11 + table(data[at + 9])
            else:
                at += 2
            while data[at]:  # sub-blocks: a length, then so many bytes
                at += data[at] + 1
            at += 1
    return frames


def _count_tiff_pages(data: bytes) -> int:
    """Follow a TIFF's chain of directories; Pillow would load the tags of each. Raises ValueError as `_inspect`."""
    order = "<" if data[:1] == b"I" else ">"
    big = data[2:3] == b"+"  # as Pillow decides: it does not know big-endian BigTIFF
    offset, number, entry, at = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    seen: set[int] = set()
    with suppress(struct.error, IndexError, OverflowError):
        (at,) = struct.unpack_from(order + offset, data, at)
        while at and at not in seen and len(seen) <= MAX_FRAMES_COUNTED:
            (entries,) = struct.unpack_from(order + number, data, at)
            first = at + struct.calcsize(number)
            seen.add(at)
            for place in range(first, first + entry * entries, entry) if len(seen) == 1 else ():
                tag, _, count = struct.unpack_from(order + "HH" + offset, data, place)
                if tag in _STRIP_TAGS and count > MAX_TIFF_STRIPS:
                    raise ValueError("too many strips")
            (at,) = struct.unpack_from(order + offset, data, first + entry * entries)
    return len(seen)


def _to_8bit(image: Image.Image, png_depth: int) -> tuple[Image.Image, list[str]]:
    """Return a new image in mode L or RGB and the notes. `png_depth`: a PNG's bits per sample, else 8."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return _deep_to_8bit(image)
    if image.has_transparency_data:
        return _on_white(image, png_depth)
    if mode in ("1", "L"):
        return image.convert("L"), []
    notes = [f"{mode} colours were converted to RGB."] if mode in ("CMYK", "YCbCr", "LAB", "HSV") else []
    return image.convert("RGB"), notes


def _on_white(image: Image.Image, png_depth: int) -> tuple[Image.Image, list[str]]:
    """Composite a transparent image of any mode on white: L from grey modes, else RGB."""
    key = image.info.get("transparency")
    if png_depth == 16 and isinstance(key, tuple):  # Pillow keeps the key as in the file, but scales the pixels
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif png_depth < 8 and image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**png_depth - 1)
    mode, full = ("L", "LA") if image.mode in ("1", "L", "LA", "La") else ("RGB", "RGBA")
    image = image.convert(full)
    alpha = image.getchannel("A")
    opaque = image.convert(mode)
    if alpha.getextrema() == (255, 255):
        return opaque, []
    white = Image.new(mode, image.size, "white")
    white.paste(opaque, mask=alpha)
    return white, ["Transparent parts were put on white."]


def _deep_to_8bit(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Scale a grey image of 16-bit or 32-bit integers or floats to mode L, as the module's table says."""
    values = np.asarray(image)
    notes = []
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        grey, note = _stretch(values)
        notes.append(note)
    else:
        maximum = int(values.max())
        top = next(2**depth - 1 for depth in (8, 10, 12, 14, 16) if maximum < 2**depth)
        table = ((np.arange(top + 1) * 255 + top // 2) // top).astype(np.uint8)
        grey = _in_blocks(values, lambda part: table[part])
        if top > 255:
            notes.append(f"16-bit grey was scaled from 0–{top} to 0–255.")
    key = image.info.get("transparency")
    if isinstance(key, int) and (hidden := values == key).any():
        grey[hidden] = 255
        notes.append("Transparent parts were put on white.")
    return Image.fromarray(grey), notes


def _stretch(values: _Numbers) -> tuple[npt.NDArray[np.uint8], str]:
    """Scale (height, width) numbers from their finite minimum..maximum to 0..255, and say so."""
    finite = np.isfinite(values)
    known = values[finite]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scale = 255 / (high - low) if high > low else 0.0
    grey = _in_blocks(np.where(finite, values, low), lambda part: np.rint((part.astype(np.float64) - low) * scale))
    grey[~finite] = 0
    note = f"Grey values were scaled from {low:g} to {high:g} to the range 0–255."
    return grey, note if finite.all() else f"{note} Values that are not finite numbers became 0."


def _in_blocks(values: _Numbers, convert: Callable[[_Numbers], _Numbers]) -> npt.NDArray[np.uint8]:
    """Apply `convert` (any numbers to 0..255) a million values at a time: 50 million doubles would take 400 MB."""
    grey = np.empty(values.shape, np.uint8)
    flat, out = values.reshape(-1), grey.reshape(-1)
    for start in range(0, flat.size, 2**20):
        out[start : start + 2**20] = convert(flat[start : start + 2**20])
    return grey
