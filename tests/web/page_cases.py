"""What tests of pages have in common: pictures, good and bad, and the visualizations that there are."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

XSS = "<img src=x onerror=alert(1)>"
NOBODY = "0" * 32
BUILT_IN = [
    "class-activation",
    "class-probabilities",
    "feature-maps",
    "occlusion",
    "random-masks",
    "saliency",
    "trust",
    "what-if",
]
ALL = [*BUILT_IN, "hidden-halves"]
WITH_SETTINGS_PAGE = [name for name in ALL if name != "what-if"]  # whose page is a tool
SHOWING_CLASSES = [name for name in BUILT_IN if name != "feature-maps"]


def png(size: tuple[int, int] = (28, 28), seed: int = 0) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


GOOD = png()
DAMAGED = GOOD[:60]
HEADER = b"IHDR" + struct.pack(">II", 100_000, 100_000) + GOOD[24:29]
HUGE = GOOD[:12] + HEADER + struct.pack(">I", zlib.crc32(HEADER)) + GOOD[33:]
