"""Learnt weights shuffled: what is left of a model when it forgets what it learnt.

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim 2018, "Sanity Checks for Saliency Maps", section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shuffled(arrays: Iterable[NDArray[Any]], seed: int) -> Iterator[NDArray[Any]]:
    """Each array with its values at random places: those that it had, so that a variance stays positive.

    The first arrays are shuffled alike however many follow.
    """
    rng = np.random.default_rng(seed)
    for values in arrays:
        yield rng.permutation(values.ravel()).reshape(values.shape)
