"""Reading uploads: every conversion with hand-computed values, every refusal with its message, and noise."""

from __future__ import annotations

import io
import pickle
import struct
import threading
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from picasso.errors import ImageDamaged, ImageRefused, TooLarge
from picasso.images import reading
from picasso.images.reading import ACCEPT, FORMATS, Limits, ReadImage, encode_png, read_image, shown_name

WHITE_NOTE = "Transparent parts were put on white."


def saved(image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, colour, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG made by hand; `rows` are raw bytes with the filter byte 0 before each row."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    for name, body in chunks.items():
        out += chunk(name.encode(), body)
    return out + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(entries, body=b"", order="<") -> bytes:
    """A TIFF of one directory at offset 8; `body` follows it. Entries: (tag, type, count, value)."""
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(order + {3: "HH", 4: "I"}.get(kind, "I"), *([value, 0] if kind == 3 else [value]))
        directory += struct.pack(order + "HHI", tag, kind, count) + packed
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + b"\0\0\0\0" + body


def values(result: ReadImage):
    return np.asarray(result.image).tolist()


def grey16(numbers, dtype=np.uint16) -> Image.Image:
    return Image.fromarray(np.array([numbers], dtype))


def photo(width=23, height=17) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 10 % 256, y * 14 % 256, (x * y) % 256], -1).astype(np.uint8))


# ---------------------------------------------------------------------------------------------- what stays as it is


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_read(kind):
    image = photo()
    result = read_image(saved(image, kind, **({"lossless": True} if kind == "WEBP" else {})), "a.dat")
    assert (result.format, result.image.mode, result.image.size, result.notes) == (kind, "RGB", (23, 17), ())
    assert type(result.image) is Image.Image
    if kind not in ("JPEG", "GIF"):
        assert values(result) == np.asarray(image).tolist()


def test_grey_stays_grey_and_one_bit_becomes_black_and_white():
    assert values(read_image(saved(Image.fromarray(np.array([[3, 200]], np.uint8))), "a")) == [[3, 200]]
    result = read_image(saved(Image.fromarray(np.array([[True, False, True]]))), "a.png")
    assert (result.image.mode, values(result), result.notes) == ("L", [[255, 0, 255]], ())


def test_palette_becomes_rgb():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    for kind in ("PNG", "BMP", "TIFF", "GIF"):
        result = read_image(saved(image, kind), "a")
        assert (values(result), result.notes) == ([[[40, 50, 60], [10, 20, 30]]], ())


@pytest.mark.parametrize("size", [(1, 1), (1, 60000), (60000, 1)])
def test_extreme_sizes(size):
    assert read_image(saved(Image.new("L", size, 7)), "a.png").image.size == size


def test_the_format_is_decided_by_content():
    assert read_image(saved(photo(), "PNG"), "photo.jpg").format == "PNG"


def test_no_metadata_is_left():
    exif = Image.Exif()
    exif[0x010E] = "secret"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "secret")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"exif": exif, "icc_profile": profile, "dpi": (300, 300)}
    for data in (saved(photo(), "JPEG", **options, comment=b"secret"), saved(photo(), pnginfo=text, **options)):
        result = read_image(data, "a")
        assert result.image.info == {}
        assert not result.image.getexif()
        assert result.notes == ()
        again = encode_png(result.image)
        assert b"secret" not in again
        assert b"iCCP" not in again
        assert values(read_image(again, "b")) == values(result)


def test_encode_png_writes_no_metadata_of_any_image():
    image = Image.new("RGBA", (1, 1), (1, 2, 3, 4))
    image.info = {"icc_profile": b"profile", "exif": b"Exif\0\0"}
    back = Image.open(io.BytesIO(encode_png(image)))
    assert (back.getpixel((0, 0)), back.info) == ((1, 2, 3, 4), {})
    assert "exif" in image.info


# ------------------------------------------------------------------------------------------------------ conversions


@pytest.mark.parametrize(
    ("mode", "pixels", "expected"),
    [
        ("RGBA", [(10, 20, 30, 255), (10, 20, 30, 0), (10, 0, 255, 51)], [[10, 20, 30], [255] * 3, [206, 204, 255]]),
        ("LA", [(10, 255), (10, 0), (0, 51)], [10, 255, 204]),
    ],
)
def test_alpha_is_put_on_white(mode, pixels, expected):
    image = Image.new(mode, (3, 1))
    image.putdata(pixels)
    for kind in ("PNG", "TIFF"):
        result = read_image(saved(image, kind), "a")
        assert (values(result), result.notes) == ([expected], (WHITE_NOTE,))


def test_opaque_alpha_changes_nothing():
    result = read_image(saved(Image.new("RGBA", (1, 1), (9, 8, 7, 255))), "a")
    assert (values(result), result.notes) == ([[[9, 8, 7]]], ())


@pytest.mark.parametrize("transparency", [0, b"\x00\xff", b"\x33\xff"])
def test_palette_transparency_is_put_on_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 40, 50, 60])
    image.putdata([0, 1])
    result = read_image(saved(image, transparency=transparency), "a.png")
    hidden = [204] * 3 if transparency == b"\x33\xff" else [255] * 3
    assert (values(result), result.notes) == ([[hidden, [40, 50, 60]]], (WHITE_NOTE,))


def test_gif_transparency_and_animation():
    frames = [Image.new("P", (2, 1)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.putpalette([0, 0, 0, 40, 50, 60])
        frame.putdata([number % 2, 1 - number % 2])
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=0, disposal=2)
    result = read_image(data, "a.gif")
    assert result.notes == ("Only the first of 3 frames is used.", WHITE_NOTE)
    assert values(result) == [[[255] * 3, [40, 50, 60]]]


@pytest.mark.parametrize(
    ("depth", "colour", "row", "key", "expected"),
    [
        (1, 0, b"\x80", b"\0\1", [255, 0]),
        (2, 0, b"\x60", b"\0\1", [255, 170]),  # samples 1, 2 of 0..3
        (8, 0, b"\x05\x06", b"\0\x05", [255, 6]),
        (16, 0, b"\x00\x00\x0f\xff", b"\0\0", [255, 255]),
        (16, 0, b"\x0f\xfe\x0f\xff", b"\x0f\xfe", [255, 255]),
        (8, 2, b"\1\2\3\4\5\6", b"\0\1\0\2\0\3", [[255] * 3, [4, 5, 6]]),
        (16, 2, b"\1\0\2\0\3\0\4\0\5\0\6\0", b"\1\0\2\0\3\0", [[255] * 3, [4, 5, 6]]),
    ],
)
def test_png_transparent_colour(depth, colour, row, key, expected):
    result = read_image(png(2, 1, depth, colour, b"\0" + row, tRNS=key), "a.png")
    assert values(result) == [expected]
    if (depth, row[:1]) != (1, b"\x80"):
        assert WHITE_NOTE in result.notes


def test_cmyk():
    image = Image.new("CMYK", (1, 1), (255, 0, 51, 0))
    for kind in ("TIFF", "JPEG"):  # Pillow writes and reads the inverted JPEG of Adobe
        result = read_image(saved(image, kind, **({"quality": 100} if kind == "JPEG" else {})), "a")
        assert np.abs(np.array(values(result)) - [[[0, 255, 204]]]).max() <= 2
        assert result.notes == ("CMYK colours were converted to RGB.",)


def test_lab_and_ycbcr():
    lab = Image.new("LAB", (1, 1), (255, 128, 128))  # L = 100, a = b = 0: white
    result = read_image(saved(lab, "TIFF"), "a.tif")
    assert np.array(values(result)).min() >= 253
    assert result.notes == ("LAB colours were converted to RGB.",)
    result = read_image(saved(Image.new("YCbCr", (1, 1), (100, 128, 128)), "TIFF"), "a.tif")
    assert values(result) == [[[100, 100, 100]]]


@pytest.mark.parametrize(
    ("numbers", "expected", "top"),
    [
        ([0, 100, 255], [0, 100, 255], None),
        ([0, 1023, 512], [0, 255, 128], 1023),
        ([0, 256], [0, 64], 1023),  # 256 * 255 / 1023 = 63.8
        ([0, 4095, 2048], [0, 255, 128], 4095),
        ([16383, 8191], [255, 127], 16383),
        ([0, 65535, 257, 32768], [0, 255, 1, 128], 65535),
    ],
)
def test_16_bit_grey_is_scaled_from_its_bit_depth(numbers, expected, top):
    integer = Image.fromarray(np.array([numbers], np.int32))
    big_endian = Image.frombytes("I;16B", (len(numbers), 1), np.array(numbers, ">u2").tobytes())
    notes = () if top is None else (f"16-bit grey was scaled from 0–{top} to 0–255.",)
    for image, kind in [(grey16(numbers), "PNG"), (grey16(numbers), "TIFF"), (integer, "TIFF"), (big_endian, "TIFF")]:
        result = read_image(saved(image, kind), "a")
        assert (result.image.mode, values(result), result.notes) == ("L", [expected], notes)


def test_negative_and_large_integers_are_stretched():
    result = read_image(saved(grey16([-100, 0, 155], np.int32), "TIFF"), "a.tif")
    assert values(result) == [[0, 100, 255]]
    assert result.notes == ("Grey values were scaled from -100 to 155 to the range 0–255.",)
    assert values(read_image(saved(grey16([0, 100_000, 200_000], np.int32), "TIFF"), "a.tif")) == [[0, 128, 255]]


def test_floats_are_stretched_and_not_finite_values_become_zero():
    result = read_image(saved(grey16([np.nan, -1, 0, 1, np.inf, -np.inf], np.float32), "TIFF"), "a.tif")
    assert values(result) == [[0, 0, 128, 255, 0, 0]]
    assert result.notes == (
        "Grey values were scaled from -1 to 1 to the range 0–255. Values that are not finite numbers became 0.",
    )
    assert values(read_image(saved(grey16([0.3, 0.3], np.float32), "TIFF"), "a.tif")) == [[0, 0]]
    assert values(read_image(saved(grey16([np.nan, np.inf], np.float32), "TIFF"), "a.tif")) == [[0, 0]]
    extreme = read_image(saved(grey16([-3e38, 3e38, 1e-45], np.float32), "TIFF"), "a.tif")
    assert values(extreme) == [[0, 255, 128]]


def test_16_bit_colour_is_reduced_and_noted():
    result = read_image(png(1, 1, 16, 2, b"\0\x12\x34\x56\x78\x9a\xbc"), "a.png")
    assert (values(result), result.notes) == ([[[0x12, 0x56, 0x9A]]], ("16-bit values were reduced to 8 bits.",))


@pytest.mark.parametrize(("count", "said"), [(2, "2"), (100, "100"), (150, "more than 100")])
@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_only_the_first_frame_is_used(kind, count, said):
    frames = [Image.new("RGB", (2, 2), (number, 0, 0)) for number in range(count)]
    options = {"lossless": True} if kind == "WEBP" else {}
    result = read_image(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options), "a")
    assert result.notes == (f"Only the first of {said} frames is used.",)
    assert values(result) == [[[0, 0, 0]] * 2] * 2


def test_pages_of_big_tiff_and_of_a_looping_tiff_are_counted():
    two = {"save_all": True, "append_images": [Image.new("L", (1, 1))]}
    result = read_image(saved(Image.new("L", (1, 1)), "TIFF", big_tiff=True, **two), "a.tif")
    assert result.notes == ("Only the first of 2 frames is used.",)
    data = bytearray(saved(Image.new("L", (1, 1)), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert read_image(bytes(data), "loop.tif").notes == ()


def test_further_pictures_in_a_jpeg_are_left_out():
    data = saved(photo(), "MPO", save_all=True, append_images=[photo()])
    result = read_image(data, "phone.jpg")
    assert (result.format, result.notes) == ("JPEG", ())


# ------------------------------------------------------------------------------------------------------ orientation

# The upright picture is 2 wide and 3 high, its squares numbered 0..5 from the top left; here is how each is stored.
STORED = {
    1: [[0, 1], [2, 3], [4, 5]],
    2: [[1, 0], [3, 2], [5, 4]],
    3: [[5, 4], [3, 2], [1, 0]],
    4: [[4, 5], [2, 3], [0, 1]],
    5: [[0, 2, 4], [1, 3, 5]],
    6: [[1, 3, 5], [0, 2, 4]],
    7: [[5, 3, 1], [4, 2, 0]],
    8: [[4, 2, 0], [5, 3, 1]],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation(kind, orientation):
    image = Image.fromarray(np.kron(np.array(STORED[orientation], np.uint8) * 40, np.ones((16, 16), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    result = read_image(saved(image, kind, exif=exif, **options), "a")
    blocks = np.asarray(result.image.convert("L"))[8::16, 8::16]
    assert np.rint(blocks / 40).astype(int).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert result.image.info == {}
    turned = f"The picture was turned upright (EXIF orientation {orientation})."
    assert result.notes == (() if orientation == 1 else (turned,))


@pytest.mark.parametrize(
    "body", [b"", b"junk", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\1" * 30]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_broken_exif_is_no_error(kind, body):
    result = read_image(saved(photo(), kind, exif=b"Exif\0\0" + body), "a")
    assert (result.image.size, result.notes) == ((23, 17), ())


def test_invalid_orientations_are_ignored():
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        assert read_image(saved(photo(), exif=exif), "a").notes == ()


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\xef\xbb\xbf  <SVG>", "an SVG drawing"),
        (b"<!DOCTYPE html><html><svg></svg>", "a web page (HTML)"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04....", "a zip archive or an office document"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\0\0\0\x18ftypavif", "an AVIF image"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_other_formats_are_named(data, what):
    with pytest.raises(ImageRefused) as caught:
        read_image(data, "x.png")
    assert type(caught.value) is ImageRefused
    assert caught.value.message == (
        f'"x.png" seems to be {what}; Picasso reads PNG, JPEG, WebP, GIF, BMP, TIFF. '
        "Save it as PNG or JPEG and try again."
    )


@pytest.mark.parametrize(
    "data", [b"hello", b"BMW drives, and drives, and drives", b"\0" * 100, b"RIFF1234WAVEfmt ", b"P6 1 1 255\nabc"]
)
def test_unknown_content(data):
    with pytest.raises(ImageRefused) as caught:
        read_image(data, "C:\\dir\\notes.txt")
    assert caught.value.message == (
        '"notes.txt" is not an image in a format Picasso reads (PNG, JPEG, WebP, GIF, BMP, TIFF). '
        "Save it as PNG or JPEG and try again."
    )
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_empty_file():
    with pytest.raises(ImageRefused, match=r'^"a\.png" is empty \(0 bytes\)\.'):
        read_image(b"", "a.png")


def test_too_many_bytes():
    data = saved(photo())
    assert read_image(data, "a.png", Limits(max_bytes=len(data)))
    with pytest.raises(TooLarge, match=rf'^"a\.png" has {len(data)} bytes; the limit is {len(data) - 1}\. '):
        read_image(data, "a.png", Limits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels(kind):
    data = saved(photo(), kind)
    assert read_image(data, "a", Limits(max_pixels=23 * 17))
    with pytest.raises(TooLarge, match=r'^"a" is 23 x 17 = 391 pixels; the limit is 390\. '):
        read_image(data, "a", Limits(max_pixels=390))


def test_pixels_are_checked_at_the_header():
    with pytest.raises(TooLarge, match=r"is 10000 x 10000 = 100,000,000 pixels; the limit is 50,000,000\."):
        read_image(png(10_000, 10_000, 8, 2, b"\0"), "bomb.png")
    with pytest.raises(TooLarge, match=r"has 400,000,000 pixels; the limit is 50,000,000\."):  # refused by Pillow
        read_image(png(20_000, 20_000, 8, 2, b"\0"), "bomb.png")
    with pytest.raises(TooLarge, match=r"has 400,000,000 pixels; the limit is 178,956,970\."):
        read_image(png(20_000, 20_000, 8, 2, b"\0"), "bomb.png", Limits(max_pixels=10**9))


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_are_damaged(kind):
    data = saved(photo(), kind)
    for length in (len(data) * 3 // 4, len(data) // 2, 30):
        with pytest.raises(ImageDamaged) as caught:
            read_image(data[:length], "a.dat")
        assert caught.value.message.startswith(f'"a.dat" is damaged or incomplete: it starts like a {kind} image')
        assert caught.value.message.endswith("try again.")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_damaged_content():
    good = png(1, 1, 8, 0, b"\0\x07")
    assert values(read_image(good, "a")) == [[7]]
    no_pixels = png(0, 1, 8, 0, b"\0")
    text_bomb = png(1, 1, 8, 0, b"\0\x07", zTXt=b"k\0\0" + zlib.compress(bytes(2**21)))
    wrong_sum = good[:-17] + bytes([good[-17] ^ 255]) + good[-16:]  # of the pixels, in zlib's trailer
    for data in (no_pixels, text_bomb, wrong_sum, good[:8], b"\xff\xd8\xff", b"GIF89a", b"II*\0"):
        with pytest.raises(ImageDamaged):
            read_image(data, "a")


def test_a_jpeg_with_very_many_scans_is_refused():
    data = saved(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    with pytest.raises(ImageDamaged):
        read_image(data[:last] + data[last:-2] * 600 + data[-2:], "scans.jpg")
    assert read_image(data + b"\xff\xda" * 100, "with video.jpg").image.size == (64, 64)


def test_a_tiff_with_very_many_strips_is_refused():
    count = reading.MAX_TIFF_STRIPS + 1
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (273, 4, count, 200), (279, 4, count, 200)]
    for order in "<>":
        with pytest.raises(ImageDamaged) as caught:
            read_image(tiff(entries, bytes(4 * count + 100), order), "strips.tif")
        assert str(caught.value.__cause__) == "too many strips"


@pytest.mark.parametrize(
    "error",
    [
        *(OSError, SyntaxError, ValueError, struct.error, zlib.error, OverflowError, MemoryError, EOFError, KeyError),
        *(IndexError, TypeError, AttributeError, ZeroDivisionError, RecursionError, AssertionError, UserWarning),
    ],
)
def test_whatever_pillow_raises_is_a_damaged_image(monkeypatch, error):
    def load(self):
        raise error("x")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(ImageDamaged):
        read_image(saved(photo(), "BMP"), "a.bmp")


# --------------------------------------------------------------------------------------------- warnings and threads


def warning_tiff() -> bytes:
    """A good 1 x 1 TIFF with a tag that claims more bytes than the file has: Pillow warns and skips it."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 0), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1), (700, 1, 10**6, 8)]
    entries[5] = (273, 4, 1, len(tiff(entries)))
    return tiff(entries, b"\x2a")


def test_pillow_warnings_do_not_leak():
    with pytest.warns(UserWarning, match="larger than file"):
        Image.open(io.BytesIO(warning_tiff())).load()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("error")
        assert values(read_image(warning_tiff(), "a.tif")) == [[42]]
        before = list(warnings.filters)
        read_image(warning_tiff(), "a.tif")
        assert warnings.filters == before
    assert seen == []


def test_threads():
    expected = values(read_image(saved(photo()), "a"))
    wrong = []

    def work():
        for _ in range(10):
            if values(read_image(saved(photo()), "a")) != expected or values(read_image(warning_tiff(), "b")) != [[42]]:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ------------------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", "cat.png"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\n\x1b[31m.png", "ab[31m.png"),
        ("\u202egnp.exe\u2066\u200f.png", "gnp.exe.png"),
        ("x\ud800y", "xy"),
        ("  Käse 猫 🐈.jpg ", "Käse 猫 🐈.jpg"),
        ("<b>&\"'.png", "<b>&\"'.png"),
        *((nothing, "image") for nothing in (None, "", "/", "dir/", "..", "\u202e", " \t\n", "\u200d")),
    ],
)
def test_shown_name(name, shown):
    assert shown_name(name) == shown


def test_long_names_keep_their_ending():
    name = shown_name("a" * 500 + ".png")
    assert len(name) == 120
    assert name.endswith("a.png")
    assert shown_name("b" * 120) == "b" * 120


@pytest.mark.slow  # any text: Hypothesis makes tables of all characters first
@given(st.text(st.characters(), max_size=200))
def test_any_name_is_shown_safely(name):
    shown = shown_name(name)
    assert 0 < len(shown) <= 120
    assert not set(shown) & set("/\\\n\r\0\u202e")
    shown.encode()


def test_accept_lists_types_and_endings():
    assert {"image/png", "image/tiff", ".jpeg", ".webp"} <= set(ACCEPT.split(","))


# ------------------------------------------------------------------------------------------------------------ noise

_rng = np.random.default_rng(0)
_noise = Image.fromarray(_rng.integers(0, 256, (9, 7, 4), np.uint8), "RGBA")
_exif = Image.Exif()
_exif[0x0112] = 6
GOOD = [
    saved(_noise),
    saved(_noise.convert("P"), transparency=3, exif=_exif),
    saved(_noise, save_all=True, append_images=[_noise.rotate(180)]),
    saved(_noise.convert("RGB"), "JPEG", exif=_exif, progressive=True),
    saved(_noise.convert("CMYK"), "JPEG"),
    saved(_noise.convert("RGB"), "MPO", save_all=True, append_images=[_noise.convert("RGB")]),
    saved(_noise, "WEBP", exif=_exif),
    saved(_noise, "GIF", save_all=True, append_images=[_noise.rotate(180)]),
    saved(_noise.convert("RGB"), "BMP"),
    saved(_noise.convert("P"), "BMP"),
    *(saved(_noise, "TIFF", compression=c, exif=_exif) for c in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")),
    saved(_noise.convert("RGB"), "TIFF", compression="jpeg", save_all=True, append_images=[_noise.convert("RGB")]),
    saved(_noise.convert("F"), "TIFF"),
    saved(grey16([1, 2, 3000]), "TIFF", big_tiff=True),
    saved(grey16([1, 2, 3000])),
    saved(_noise.convert("1"), "TIFF", compression="group4"),
    warning_tiff(),
]


def survives(data: bytes) -> None:
    with suppress(ImageRefused):  # anything else fails the test
        result = read_image(data, "noise.bin", Limits(max_pixels=100_000))
        assert result.image.mode in ("L", "RGB")
        assert result.image.info == {}
        assert result.image.width * result.image.height <= 100_000
        assert read_image(encode_png(result.image), "again").image.tobytes() == result.image.tobytes()


def test_the_good_files_are_good():
    for data in GOOD:
        assert read_image(data, "a").image.size in ((7, 9), (9, 7), (3, 1), (1, 1))


@given(st.binary(max_size=300), st.sampled_from([b"", *reading._STARTS, b"BM", b"RIFF\x40\0\0\0WEBPVP8 "]))
@settings(max_examples=150)
def test_random_bytes(data, start):
    survives(start + data)


@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6),
    st.sampled_from(["replace", "insert", "delete", "cut"]),
)
@settings(max_examples=400)
def test_mutated_files(good, changes, how):
    data = bytearray(good)
    for where, new in changes:
        at = int(where * len(data))
        end = {"replace": at + len(new), "insert": at, "delete": at + len(new), "cut": len(data)}[how]
        data[at:end] = new if how in ("replace", "insert") else b""
    survives(bytes(data))
