"""The pictures that visitors bring: real ones, in several formats and sizes, and files that are none.

Run by the Python that Picasso has, since it needs Pillow and scikit-image: python benchmarks/load_pictures.py FOLDER
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

DIGITS = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist_10k.npz"  # where they are at hand
LONGEST = 1024  # pixels; one is sent as large as a telephone makes them
LARGE = (4032, 3024)


def write(folder: Path) -> None:
    """Writes `good/` and `bad/` there."""
    good, bad = folder / "good", folder / "bad"
    good.mkdir(parents=True)
    bad.mkdir()
    photographs = [
        path for path in sorted((Path(skimage.__file__).parent / "data").iterdir()) if path.suffix in (".png", ".jpg")
    ]
    for number, path in enumerate(photographs):
        picture = Image.open(path)
        if picture.mode not in ("RGB", "L"):
            picture = picture.convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        ending = ("png", "jpg", "webp", "gif", "bmp", "tif")[number % 6]
        picture.save(good / f"{path.stem}.{ending}")
    Image.open(next(path for path in photographs if path.stem == "chelsea")).resize(LARGE).save(good / "telephone.jpg")
    if DIGITS.exists():
        for number, digit in enumerate(np.load(DIGITS)["x"][::500]):
            Image.fromarray(digit).save(good / f"digit-{number}.png")
    _write_bad(bad, (good / "telephone.jpg").read_bytes(), next(good.glob("*.png")).read_bytes())


def _write_bad(bad: Path, photograph: bytes, png: bytes) -> None:
    (bad / "empty.png").write_bytes(b"")
    (bad / "page.png").write_text("<html><script>alert(1)</script></html>")
    (bad / "half.jpg").write_bytes(photograph[:2000])
    (bad / "cut.png").write_bytes(png[: len(png) // 2])
    (bad / "noise.webp").write_bytes(np.random.default_rng(0).bytes(50_000))
    (bad / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(bytes(10_000_000)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
