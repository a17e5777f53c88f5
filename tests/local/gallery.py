"""Images that the tiny model tells apart."""

from __future__ import annotations

import numpy as np
from PIL import Image


def blocks(seed, size=(30, 20)):
    """An image of large blocks: to noise the tiny model is blind."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
