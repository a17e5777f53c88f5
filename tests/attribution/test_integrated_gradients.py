"""Integrated gradients by hand: integrals that are known, and the error of the trapezoidal rule."""

import numpy as np
import pytest
from fakes import Power, noise

from picasso.attribution.integrated_gradients import integrated_gradients, intervals
from picasso.attribution.targets import Targets

WEIGHTS = noise(3, 4, 5, 2)
IMAGES = noise(2, 4, 5, 2, seed=1)
BASELINES = noise(2, 4, 5, 2, seed=2)
TARGETS = Targets(IMAGES, np.array([0, 0, 1]), np.array([2, 0, 1]), logits=False)


def integrate(model, targets=TARGETS, baselines=BASELINES, tolerance=0.01, most=64, **more):
    return integrated_gradients(model, targets, baselines, tolerance=tolerance, most=most, **more)


def test_of_a_linear_model_it_is_weights_times_difference():
    found = integrate(Power(WEIGHTS))
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, WEIGHTS[[2, 0, 1]] * (IMAGES - BASELINES)[[0, 0, 1]], atol=1e-6)
    assert found.points.tolist() == [9, 9, 9]


def test_of_a_quadratic_model_it_is_the_difference_of_squares():
    """The gradient w * x is linear along the way, so that the trapezoidal rule is exact: w * (x^2 - b^2) / 2."""
    found = integrate(Power(WEIGHTS, 2))
    expected = WEIGHTS[[2, 0, 1]] * ((IMAGES**2 - BASELINES**2) / 2)[[0, 0, 1]]
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_values_and_gap_belong_to_the_change_of_score():
    model = Power(WEIGHTS, 3)
    found = integrate(model, most=16, tolerance=0)
    change = (model.predict(IMAGES) - model.predict(BASELINES))[[0, 0, 1], [2, 0, 1]]
    np.testing.assert_array_equal(found.change, change)
    np.testing.assert_allclose(found.gap, np.abs(found.values.sum(axis=(1, 2, 3)) - change), atol=1e-5)


@pytest.mark.parametrize(
    ("tolerance", "most", "points"),
    [(0.01, 1024, 9), (0.001, 1024, 33), (0.0001, 1024, 129), (0.0001, 100, 65), (0.0001, 64, 65), (0, 8, 9)],
)
def test_it_refines_until_the_values_add_up(tolerance, most, points):
    """From 0, the rule with n intervals gives x^3 / 3 * (1 + 1 / (2 n^2)) of S = x^3 / 3: a gap of 1 / (2 n^2)."""
    model = Power(np.ones((1, 1, 1, 1)), 3)
    x = np.full((1, 1, 1, 1), 2, np.float32)
    targets = Targets(x, np.array([0]), np.array([0]), logits=False)
    found = integrate(model, targets, np.zeros_like(x), tolerance, most)
    assert found.points.tolist() == [points]
    assert found.gap[0] / found.change[0] == pytest.approx(0.5 / (points - 1) ** 2, abs=2e-7)
    assert model.calls == 2 + points  # earlier points count again


def test_only_targets_that_do_not_add_up_are_refined():
    """Class 0 is linear, so its values add up at once; class 1 is not."""
    model = Power(np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))]), 3)
    x = np.ones((1, 2, 2, 1), np.float32)
    found = integrate(model, Targets(x, np.array([0, 0]), np.array([0, 1]), logits=False), 0 * x, 0.001)
    assert found.points.tolist() == [9, 33]
    assert model.calls == 2 + 9 + 33


@pytest.mark.parametrize("seconds", [0.0, 0.17, 0.9])
def test_the_company_and_the_batch_do_not_matter(seconds):
    together = integrate(Power(WEIGHTS, 4), tolerance=1e-4)
    model = Power(WEIGHTS, 4, seconds=seconds)
    for row, (image, cls) in enumerate(zip(TARGETS.images, TARGETS.classes, strict=True)):
        part = slice(image, image + 1)
        one = Targets(IMAGES[part], np.array([0]), np.array([cls]), logits=False)
        alone = integrate(model, one, BASELINES[part], 1e-4)
        np.testing.assert_allclose(alone.values[0], together.values[row], atol=1e-5)
        assert alone.points[0] == together.points[row]


def test_no_difference_needs_no_refinement():
    found = integrate(Power(WEIGHTS, 3), baselines=IMAGES)
    assert not found.values.any()
    assert found.points.tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    ("most", "expected"),
    [(8, [8]), (15, [8]), (16, [8, 16]), (100, [8, 16, 32, 64]), (5, [5]), (128, [8, 16, 32, 64, 128])],
)
def test_intervals_double(most, expected):
    assert intervals(most) == expected


def test_it_tells_how_far_it_is():
    said = []
    integrate(Power(WEIGHTS, 3), tolerance=0, step=lambda share, _: said.append(share))
    assert said == sorted(said)
    assert 0 < said[0] < said[-1] == 1
