"""Windows over an image: what hides where, pixel by pixel, whole and in patches."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from picasso.models.windows import Windows

SHAPE = (5, 7, 2)
X, FILL = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
CORNERS = st.lists(st.tuples(st.integers(-10, 8), st.integers(-10, 8)), min_size=1, max_size=4)


def by_hand(top, left, size):
    """One copy, pixel by pixel."""
    copy = X.copy()
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            if top <= row < top + size[0] and left <= column < left + size[1]:
                copy[row, column] = FILL[row, column]
    return copy


@settings(max_examples=50)
@given(CORNERS, SIDES, st.data())
def test_patches_are_parts_of_the_hidden_copies(corners, size, data):
    """Also where a window overhangs a border, misses the image, or lies beside the patch."""
    windows = Windows(X[None], np.array(corners), size, FILL)
    expected = np.stack([by_hand(top, left, size) for top, left in corners])
    np.testing.assert_array_equal(windows.hidden(), expected)
    np.testing.assert_array_equal(windows.changing(), (expected != X).any(axis=(1, 2, 3)))
    rows, columns = data.draw(st.integers(1, SHAPE[0])), data.draw(st.integers(1, SHAPE[1]))
    start = st.tuples(st.integers(0, SHAPE[0] - rows), st.integers(0, SHAPE[1] - columns))
    starts = data.draw(st.lists(start, min_size=len(corners), max_size=len(corners)))
    parts = [
        copy[row : row + rows, column : column + columns] for copy, (row, column) in zip(expected, starts, strict=True)
    ]
    np.testing.assert_array_equal(windows.patches(np.array(starts), (rows, columns)), parts)


def test_some_of_the_windows():
    windows = Windows(X[None], np.array([(0, 0), (1, 2), (3, 3)]), (2, 2), FILL)
    some = windows.some(np.array([2, 0]))
    assert len(some) == 2
    np.testing.assert_array_equal(some.hidden(), windows.hidden()[[2, 0]])


def test_a_window_changes_nothing_where_the_image_looks_like_the_fill():
    x = np.zeros((1, 4, 6, 2), np.float32)
    x[0, 1, 2, 1] = 1
    windows = Windows(x, np.array([[0, 0], [0, 1], [1, 2], [2, 2], [-1, 1]]), (2, 2), np.zeros_like(x[0]))
    assert windows.changing().tolist() == [False, True, True, False, False]
