"""Deletion and insertion on a linear model, where every score is known: S = sum(w * x)."""

import numpy as np
import pytest
from fakes import Power, noise

from picasso.attribution.hiding_curves import area, hiding_curves, moved, strongest_first

SHAPE = (6, 8)
X, FILL = np.abs(noise(*SHAPE, 2)), noise(*SHAPE, 2, seed=1) / 10
WEIGHTS = noise(3, *SHAPE, 2, seed=2)


def rng(seed=0):
    return np.random.default_rng(seed)


def curves_of(values, steps=6, **more):
    orders = np.stack([strongest_first(one, rng()) for one in values])
    return hiding_curves(Power(WEIGHTS, **more), X, 1, FILL, orders, steps)


def test_curves_by_hand():
    """Four pixels worth 4, 3, 2 and 1 over an empty fill, in the best order, in the worst, and by row."""
    x = np.array([[2, 4], [1, 3]], np.float32)[..., None]
    model = Power(np.ones((1, 2, 2, 1)))
    orders = np.array([[[2, 0], [3, 1]], [[1, 3], [0, 2]], [[0, 1], [2, 3]]])
    found = hiding_curves(model, x, 0, np.zeros_like(x), orders, steps=4)
    np.testing.assert_allclose(found.deletion, [[10, 6, 3, 1, 0], [10, 9, 7, 4, 0], [10, 8, 4, 3, 0]])
    np.testing.assert_allclose(found.insertion, [[0, 4, 7, 9, 10], [0, 1, 3, 6, 10], [0, 2, 6, 7, 10]])
    np.testing.assert_allclose(area(found.deletion), [3.75, 6.25, 5.0])  # (10 / 2 + 6 + 3 + 1) / 4, ...
    np.testing.assert_allclose(area(found.insertion), [6.25, 3.75, 5.0])


def test_equal_to_pixel_flipping_written_out():
    """As Quantus does it: sort, replace step by step, predict; here also the score before the first step."""
    values = noise(*SHAPE, seed=5)
    found = curves_of([values], steps=8)
    order = np.argsort(-values.ravel())
    for start, curve in ((X, found.deletion[0]), (FILL, found.insertion[0])):
        picture, other = start.copy().reshape(-1, 2), (FILL if start is X else X).reshape(-1, 2)
        expected = [(start * WEIGHTS[1]).sum()]
        for step in range(8):
            picture[order[step * 6 : step * 6 + 6]] = other[order[step * 6 : step * 6 + 6]]
            expected.append((picture.reshape(X.shape) * WEIGHTS[1]).sum())
        np.testing.assert_allclose(curve, expected, atol=1e-4)
        assert area(curve) == pytest.approx(np.trapezoid(expected, dx=1 / 8), abs=1e-5)


def test_no_map_is_better_than_what_each_pixel_adds():
    perfect = (WEIGHTS[1] * (X - FILL)).sum(axis=-1)
    found = curves_of([perfect, *(moved(perfect, rng(seed)) for seed in range(20)), -perfect], steps=48)
    deletion, insertion = area(found.deletion), area(found.insertion)
    assert deletion[0] == min(deletion)
    assert insertion[0] == max(insertion)
    assert deletion[-1] == max(deletion)


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_batches_are_balanced_and_the_ends_are_computed_once(seconds):
    model, told = Power(WEIGHTS, seconds=seconds), []
    orders = np.stack([strongest_first(noise(*SHAPE, seed=seed), rng()) for seed in range(5)])
    hiding_curves(model, X, 0, FILL, orders, 6, told.append)
    total = 2 * 5 * (6 - 1)
    ends, *sizes = model.sizes
    assert (ends, sum(sizes), len(sizes)) == (2, total, -(-total // model.batch))
    assert max(sizes) - min(sizes) <= 1
    assert told == sorted(told)
    assert told[-1] == 1


def test_the_strongest_come_first_and_equal_ones_by_chance():
    values = np.zeros(SHAPE, np.float32)
    values[2, 3], values[4, 1], values[0, 0] = 3, 2, -1
    first, same, other = (strongest_first(values, rng(seed)) for seed in (0, 0, 1))
    assert (first[2, 3], first[4, 1], first[0, 0]) == (0, 1, 47)
    assert sorted(first.ravel()) == list(range(48))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_moved_map_has_the_same_neighbours_elsewhere():
    values = noise(*SHAPE, seed=6)
    places = [moved(values, rng(seed)) for seed in range(30)]
    np.testing.assert_array_equal(places[0], moved(values, rng(0)))
    assert len({place.tobytes() for place in places}) > 20

    def neighbours(one, axis):
        return sorted(np.abs(one - np.roll(one, 1, axis)).ravel())

    for place in places:
        assert sorted(place.ravel()) == sorted(values.ravel())
        for axis in (0, 1):
            np.testing.assert_allclose(neighbours(place, axis), neighbours(values, axis))
