"""Saliency: which pixels move a class score most, to first order.

Source: Simonyan, Vedaldi & Zisserman 2013, "Deep Inside Convolutional Networks", section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def saliency(gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum of absolute values over channels.

    Args:
        gradients: float32 (N, height, width, channels) of a class score with respect to the preprocessed input.

    Returns:
        float32 (N, height, width), unsigned: units of score per unit of input.
    """
    return np.abs(gradients).max(axis=-1)  # type: ignore[no-any-return]
