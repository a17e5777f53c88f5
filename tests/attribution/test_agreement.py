"""How alike maps are, against SciPy, and the stages of shuffling."""

import numpy as np
import pytest
from fakes import noise
from scipy import stats

from picasso.attribution.agreement import cascade, overlap, ranks, spearman
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
