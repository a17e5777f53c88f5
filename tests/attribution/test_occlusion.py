"""Occlusion's geometry: positions by hand, averaging by hand and against a plain double loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picasso.attribution.occlusion import average, coarse_to_fine, corners, starts


@st.composite
def placements(draw):
    """An image (height, width), a window that fits, and any stride, larger than the window too."""
    shape = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    window = draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))
    return shape, window, draw(st.integers(1, 30))


def by_double_loop(values, positions, window, shape):
    """The mean of all windows over each pixel, pixel by pixel."""
    out = np.full(shape, np.nan)
    for row in range(shape[0]):
        for column in range(shape[1]):
            covering = [
                value
                for value, (top, left) in zip(values, positions, strict=True)
                if top <= row < top + window[0] and left <= column < left + window[1]
            ]
            if covering:
                out[row, column] = sum(covering) / len(covering)
    return out


@pytest.mark.parametrize(
    ("size", "window", "stride", "expected"),
    [
        (10, 4, 4, [0, 4, 6]),  # the last one moves inward
        (10, 4, 3, [0, 3, 6]),  # ends at the border by itself
        (10, 4, 2, [0, 2, 4, 6]),
        (10, 3, 7, [0, 3, 6, 7]),  # a stride above the window would leave gaps: the window is the step
        (10, 10, 1, [0]),
        (10, 9, 100, [0, 1]),
        (5, 1, 1, [0, 1, 2, 3, 4]),
        (5, 1, 9, [0, 1, 2, 3, 4]),
        (1, 1, 1, [0]),
        (7, 5, 5, [0, 2]),
        (224, 32, 16, list(range(0, 193, 16))),
    ],
)
def test_starts_by_hand(size, window, stride, expected):
    assert starts(size, window, stride).tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((10, 0, 1), "window must be 1..10, got 0"),
        ((10, 11, 1), "window must be 1..10, got 11"),
        ((10, 4, 0), "stride must be at least 1, got 0"),
        ((10, 4, -2), "stride must be at least 1, got -2"),
    ],
)
def test_starts_refuses(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        starts(*arguments)


def test_corners_go_row_by_row_on_a_wide_image_with_a_tall_window():
    # 3 rows with windows of 2: starts 0, 1. 5 columns with windows of 1, at most 1 apart: 0..4.
    expected = [[top, left] for top in (0, 1) for left in range(5)]
    assert corners((3, 5), (2, 1), 2).tolist() == expected


def test_average_of_one_window_leaves_the_rest_unknown():
    result = average(np.array([3.0]), np.array([[1, 1]]), (1, 2), (3, 4))
    expected = np.full((3, 4), np.nan)
    expected[1, 1:3] = 3
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


def test_average_where_windows_overlap():
    # Columns 0..2 have the value 1, columns 2..4 the value 5; both lie on column 2.
    result = average(np.array([1.0, 5.0]), np.array([[0, 0], [0, 2]]), (2, 3), (2, 5))
    np.testing.assert_array_equal(result, [[1, 1, 3, 5, 5]] * 2)


def test_average_where_four_windows_overlap():
    result = average(np.array([1.0, 2.0, 3.0, 6.0]), corners((3, 3), (2, 2), 1), (2, 2), (3, 3))
    np.testing.assert_array_equal(result, [[1, 1.5, 2], [2, 3, 4], [3, 4.5, 6]])


def test_average_keeps_a_small_value_beside_a_large_one():
    """Running sums must not lose the one in the other: they are kept in double precision."""
    result = average(np.array([1e6, 1e-3], np.float32), np.array([[0, 0], [0, 2]]), (1, 2), (1, 4))
    np.testing.assert_allclose(result, [[1e6, 1e6, 1e-3, 1e-3]], rtol=1e-6)


@given(placements())
def test_windows_cover_every_pixel_and_nothing_outside(placement):
    shape, window, stride = placement
    places = corners(shape, window, stride)
    covered = np.zeros(shape, int)
    for top, left in places:
        assert 0 <= top <= shape[0] - window[0]
        assert 0 <= left <= shape[1] - window[1]
        covered[top : top + window[0], left : left + window[1]] += 1
    assert covered.min() >= 1
    assert len(np.unique(places, axis=0)) == len(places)
    assert (places.max(axis=0) + window).tolist() == list(shape)  # the last window ends at the border


@given(placements())
def test_windows_are_never_further_apart_than_the_stride(placement):
    shape, window, stride = placement
    for size, side in zip(shape, window, strict=True):
        assert (np.diff(starts(size, side, stride)) <= min(stride, side)).all()


@given(placements(), st.randoms(use_true_random=False))
def test_average_equals_a_double_loop(placement, random):
    shape, window, stride = placement
    places = corners(shape, window, stride)
    some = places[random.sample(range(len(places)), random.randint(1, len(places)))]
    values = np.array([random.uniform(-10, 10) for _ in some])
    result = average(values, some, window, shape)
    np.testing.assert_allclose(result, by_double_loop(values, some, window, shape), rtol=1e-5, atol=1e-5)


@given(placements())
def test_coarse_to_fine_is_a_permutation(placement):
    places = corners(*placement)
    for fewest in (1, 5):
        levels = coarse_to_fine(places, fewest)
        assert sorted(np.concatenate(levels).tolist()) == list(range(len(places)))
        assert all(len(level) >= fewest for level in levels[:-1])
        assert len(levels[-1])


def test_coarse_to_fine_takes_every_fourth_then_every_second():
    places = corners((1, 9), (1, 1), 1)
    assert [places[level, 1].tolist() for level in coarse_to_fine(places)] == [[0, 4, 8], [2, 6], [1, 3, 5, 7]]


def test_coarse_to_fine_takes_the_corners_of_a_grid_first():
    places = corners((5, 5), (1, 1), 1)
    coarse, middle, fine = coarse_to_fine(places)
    assert places[coarse].tolist() == [[0, 0], [0, 4], [4, 0], [4, 4]]
    assert places[middle].tolist() == [[0, 2], [2, 0], [2, 2], [2, 4], [4, 2]]
    assert len(fine) == 16
