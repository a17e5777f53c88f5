"""Integrated gradients by hand: integrals that are known, and the error of the trapezoidal rule."""

import numpy as np
import pytest
from fakes import Fake, Power, noise

from picasso.attribution.integrated_gradients import integrated_gradients, most_points
from picasso.attribution.targets import Targets

WEIGHTS = noise(3, 4, 5, 2)
IMAGES = noise(2, 4, 5, 2, seed=1)
BASELINES = noise(2, 4, 5, 2, seed=2)
TARGETS = Targets(IMAGES, np.array([0, 0, 1]), np.array([2, 0, 1]), logits=False)


def integrate(model, targets=TARGETS, baselines=BASELINES, tolerance=0.01, most=65, **more):
    return integrated_gradients(model, targets, baselines, tolerance=tolerance, most=most, **more)


def test_of_a_linear_model_it_is_weights_times_difference():
    found = integrate(Power(WEIGHTS))
    assert found.maps.dtype == np.float32
    expected = (WEIGHTS[[2, 0, 1]] * (IMAGES - BASELINES)[[0, 0, 1]]).sum(axis=-1)
    np.testing.assert_allclose(found.maps, expected, atol=1e-5)
    assert found.points.tolist() == [17, 17, 17]


def test_of_a_quadratic_model_it_is_the_difference_of_squares():
    """The gradient w * x is linear along the way, so that the trapezoidal rule is exact: w * (x^2 - b^2) / 2."""
    found = integrate(Power(WEIGHTS, 2))
    expected = (WEIGHTS[[2, 0, 1]] * ((IMAGES**2 - BASELINES**2) / 2)[[0, 0, 1]]).sum(axis=-1)
    np.testing.assert_allclose(found.maps, expected, atol=1e-5)


def test_map_and_gap_belong_to_the_change_of_score():
    model = Power(WEIGHTS, 3)
    found = integrate(model, most=17, tolerance=0)
    change = (model.predict(IMAGES) - model.predict(BASELINES))[[0, 0, 1], [2, 0, 1]]
    np.testing.assert_allclose(found.change, change, atol=1e-6)
    np.testing.assert_allclose(found.gap, np.abs(found.maps.sum(axis=(1, 2)) - change), atol=1e-5)


@pytest.mark.parametrize(
    ("tolerance", "most", "points", "gap"),
    [
        (0.002, 513, 17, 16 / 16**3),
        (0.0015, 513, 25, 8 / 16**3 + 16 / 32**3),
        (0.001, 513, 33, 32 / 32**3),
        (0.0001, 32, 25, 8 / 16**3 + 16 / 32**3),
        (0, 17, 17, 16 / 16**3),
    ],
)
def test_it_refines_until_the_values_add_up(tolerance, most, points, gap):
    """Of S = x^3 / 3 the rule is off by h^3 / 2 of the change over each interval of length h."""
    model = Power(np.ones((1, 1, 1, 1)), 3)
    x = np.full((1, 1, 1, 1), 2, np.float32)
    targets = Targets(x, np.array([0]), np.array([0]), logits=False)
    found = integrate(model, targets, np.zeros_like(x), tolerance, most)
    assert found.points.tolist() == [points]
    assert found.gap[0] / found.change[0] == pytest.approx(gap / 2, abs=2e-7)
    assert model.calls == points  # a gradient and a score at each, from one call
    assert most_points(most) >= points


class Jump(Fake):
    """S = relu(sum(x) - 0.3): the gradient jumps where the sum is 0.3."""

    def __init__(self):
        super().__init__((1, 1, 1), 1)

    def score(self, x):
        return np.maximum(x.sum(axis=(1, 2)).astype(float) - 0.3, 0)

    def slope(self, x, classes):
        return (x.astype(float) > 0.3) * 1.0


def test_points_go_to_where_the_gradient_jumps():
    """Evenly spaced, 57 points leave up to 1 / 112 of the way; each halving around the jump halves that."""
    x = np.ones((1, 1, 1, 1), np.float32)
    target = Targets(x, np.array([0]), np.array([0]), logits=False)
    found = integrate(Jump(), target, np.zeros_like(x), tolerance=0, most=65)
    assert found.points.tolist() == [65]
    assert found.maps[0, 0, 0] == pytest.approx(0.7, abs=0.5 / 8 / 2**7)


def test_only_targets_that_do_not_add_up_are_refined():
    """Class 0 does not care, so its values add up at once; class 1 is cubic."""
    model = Power(np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))]), 3)
    x = np.ones((1, 2, 2, 1), np.float32)
    found = integrate(model, Targets(x, np.array([0, 0]), np.array([0, 1]), logits=False), 0 * x, 0.001)
    assert found.points.tolist() == [17, 33]
    assert model.calls == 17 + 33


@pytest.mark.parametrize("seconds", [0.0, 0.34, 1.8])
def test_the_company_and_the_batch_do_not_matter(seconds):
    together = integrate(Power(WEIGHTS, 4), tolerance=1e-3)
    model = Power(WEIGHTS, 4, seconds=seconds)
    for row, (image, cls) in enumerate(zip(TARGETS.images, TARGETS.classes, strict=True)):
        part = slice(image, image + 1)
        one = Targets(IMAGES[part], np.array([0]), np.array([cls]), logits=False)
        alone = integrate(model, one, BASELINES[part], 1e-3)
        np.testing.assert_allclose(alone.maps[0], together.maps[row], atol=1e-5)
        assert alone.points[0] == together.points[row]


def test_classes_of_an_image_share_batches():
    model = Power(WEIGHTS)
    integrate(model, Targets(IMAGES[:1], np.array([0, 0, 0]), np.array([0, 1, 2]), logits=False), BASELINES[:1])
    assert model.sizes == [13] * 6 + [12] * 2  # half a batch, scores and gradients of each


def test_no_difference_needs_no_refinement():
    found = integrate(Power(WEIGHTS, 3), baselines=IMAGES)
    assert not found.maps.any()
    assert found.points.tolist() == [17, 17, 17]


@pytest.mark.parametrize(("limit", "points"), [(17, 17), (24, 17), (25, 25), (129, 129), (130, 129)])
def test_points_come_by_eight(limit, points):
    assert most_points(limit) == points


def test_it_tells_how_far_it_is():
    said = []
    integrate(Power(WEIGHTS, 3), tolerance=0, step=lambda share, _: said.append(share))
    assert said == sorted(said)
    assert 0 < said[0] < said[-1] == 1


@pytest.mark.parametrize("asked", [1, 3])
def test_one_that_has_enough_gets_what_so_many_points_give(asked):
    """Of one image: the same maps, and the gap that they then have."""
    targets, baselines = Targets(IMAGES[:1], np.array([0, 0]), np.array([2, 0]), logits=False), BASELINES[:1]
    answers = iter([False] * (asked - 1) + [True])
    stopped = integrate(Power(WEIGHTS, 4), targets, baselines, 0, step=lambda *_: next(answers))
    fewer = integrate(Power(WEIGHTS, 4), targets, baselines, 0, most=9 + 8 * asked)
    assert stopped.points.tolist() == fewer.points.tolist() == [9 + 8 * asked] * 2
    np.testing.assert_array_equal(stopped.maps, fewer.maps)
    np.testing.assert_array_equal(stopped.gap, fewer.gap)


def test_images_that_were_not_begun_have_no_points():
    found = integrate(Power(WEIGHTS), step=lambda *_: True)
    assert found.points.tolist() == [17, 17, 0]
    assert not found.maps[2].any()
