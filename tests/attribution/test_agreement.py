"""How alike maps are, against SciPy, and the stages of shuffling."""

import numpy as np
import pytest
from fakes import noise
from scipy import stats

from picasso.attribution.agreement import (
    agreement,
    cascade,
    on_one_grid,
    overlap,
    ranks,
    spearman,
    total_variation,
)
from picasso.attribution.hiding_curves import strongest_first


@pytest.mark.parametrize("coarse", [1000, 2, 0.5])  # 0.5 makes many values equal
def test_spearman_is_scipys(coarse):
    a, b = noise(9, 12), noise(9, 12, seed=1)
    a, b = np.round(a * coarse), np.round((a + b) * coarse)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-12)
    np.testing.assert_array_equal(ranks(a), stats.rankdata(a))


def test_spearman_sees_the_order_only():
    a = noise(5, 4)
    assert spearman(a, np.exp(a)) == pytest.approx(1)
    assert spearman(a, -(a**3)) == pytest.approx(-1)


def test_an_empty_map_is_like_no_other():
    assert spearman(np.zeros((5, 4), np.float32), noise(5, 4)) == 0


def test_overlap_by_hand():
    values = np.arange(20, dtype=np.float32).reshape(4, 5)
    other = values.copy()
    other[3, 4], other[0, 0] = 0, 19  # the two strongest are then the first pixel and the one before the last
    rng = np.random.default_rng(0)
    first, second = strongest_first(values, rng), strongest_first(other, rng)
    assert overlap(first, second, 0.1) == 0.5
    assert overlap(first, first, 0.1) == overlap(first, second, 1) == 1


def test_stages():
    assert [cascade(layers) for layers in (0, 1, 2, 3, 4, 99)] == [
        [], [1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 25, 50, 99],
    ]  # fmt: skip


def test_maps_of_two_sizes_meet_on_the_coarser_grid():
    coarse = np.arange(16.0).reshape(4, 4)
    fine = np.kron(coarse, np.ones((2, 2)))
    a, b = on_one_grid(coarse, (0, 0, 80, 40), fine, (0, 0, 80, 40))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, coarse)
    middle = fine[:, 2:6]  # the same picture, cropped
    a, b = on_one_grid(coarse, (0, 0, 80, 40), middle, (20, 0, 60, 40))
    np.testing.assert_array_equal(a, coarse[:, 1:3])
    np.testing.assert_array_equal(b, coarse[:, 1:3])


def test_maps_of_one_grid_are_left_alone_and_of_different_places_have_nothing_in_common():
    a, b = np.zeros((3, 5)), np.ones((3, 5))
    same = on_one_grid(a, (0, 0, 5, 3), b, (0, 0, 5, 3))
    assert same[0] is a
    assert same[1] is b
    apart = on_one_grid(a, (0, 0, 5, 3), b, (10, 0, 15, 3))
    assert apart[0].size == 0
    assert agreement(*apart, signed=True) is None


def test_agreement_counts_the_sign_only_where_both_have_one():
    a = np.array([[-3.0, 1.0], [2.0, np.nan]])
    assert agreement(a, -a, signed=True) == pytest.approx(-1)
    assert agreement(a, -a, signed=False) == pytest.approx(1)
    assert agreement(a, np.array([[1.0, 2.0], [3.0, 4.0]]), signed=True) == pytest.approx(1)  # NaN is left out


def test_total_variation():
    assert total_variation(np.array([1.0, 0, 0]), np.array([0, 0, 1.0])) == 1
    assert total_variation(np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])) == pytest.approx(0.3)
