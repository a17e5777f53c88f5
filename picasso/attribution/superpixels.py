"""A picture cut into pieces of about one colour.

Source: Achanta, Shaji, Smith, Lucchi, Fua & Süsstrunk 2012, "SLIC Superpixels Compared to State-of-the-Art Superpixel
Methods", as scikit-image computes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COMPACTNESS = 10.0  # how much nearness counts beside colour (Lab), as the paper has it


def superpixels(picture: NDArray[np.uint8], count: int) -> NDArray[np.uint16]:
    """The number of the piece that each pixel belongs to, from 0 on without gaps: (height, width).

    Args:
        picture: 0..255, (height, width) or (height, width, 3).
        count: how many pieces there should be, about; never more than pixels.
    """
    from skimage.segmentation import slic  # takes a while to import

    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    count = min(count, picture.shape[0] * picture.shape[1])
    pieces = slic(colours, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    return np.unique(pieces, return_inverse=True)[1].reshape(pieces.shape).astype(np.uint16)
