"""SmoothGrad by hand: what noise does to models whose gradients are known."""

import numpy as np
import pytest
from fakes import Power, noise

from picasso.attribution.smoothgrad import smoothgrad
from picasso.attribution.targets import Targets

WEIGHTS = noise(3, 4, 5, 2)
IMAGES = noise(2, 4, 5, 2, seed=1)
TARGETS = Targets(IMAGES, np.array([0, 0, 1]), np.array([2, 0, 1]), logits=False)


def normal(number):
    """The noise of one sample with the seed 3."""
    return np.random.default_rng((3, number)).standard_normal((4, 5, 2), np.float32)


def test_noise_does_not_change_the_gradient_of_a_linear_model():
    result = smoothgrad(Power(WEIGHTS), TARGETS, samples=7, noise=0.5, seed=0).gradients
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, WEIGHTS[[2, 0, 1]], rtol=1e-6)


def test_of_a_quadratic_model_the_mean_noise_is_left():
    """dS/dx at x + e is w * (x + e): the mean is w * (x + mean(e))."""
    result = smoothgrad(Power(WEIGHTS, 2), TARGETS, samples=5, noise=0.2, seed=3).gradients
    mean = np.mean([normal(n) for n in range(5)], axis=0)
    for values, image, cls in zip(result, [0, 0, 1], [2, 0, 1], strict=True):
        x = IMAGES[image]
        np.testing.assert_allclose(values, WEIGHTS[cls] * (x + 0.2 * (x.max() - x.min()) * mean), atol=1e-5)


def test_the_noise_has_the_share_of_the_range_that_was_asked_for():
    """Of a cubic model, E[(x + e)^2] = x^2 + sigma^2."""
    x = np.full((1, 20, 20, 1), 1, np.float32)
    x[0, 0, 0, 0] = -3  # a range of 4: sigma is 0.4
    targets = Targets(x, np.array([0]), np.array([0]), logits=False)
    values = smoothgrad(Power(np.ones((1, 20, 20, 1)), 3), targets, samples=100, noise=0.1, seed=0).gradients
    assert np.delete(values, 0).mean() == pytest.approx(1 + 0.4**2, abs=0.02)


def test_without_noise_it_is_the_gradient():
    result = smoothgrad(Power(WEIGHTS, 2), TARGETS, samples=3, noise=0, seed=0).gradients
    np.testing.assert_allclose(result, WEIGHTS[[2, 0, 1]] * IMAGES[[0, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.0, 0.34, 1.8])
def test_the_company_and_the_batch_do_not_matter(seconds):
    """The same image gives the same map alone, with others, and on a slow machine; another seed another one."""
    values = {"samples": 6, "noise": 0.3}
    together = smoothgrad(Power(WEIGHTS, 3), TARGETS, **values, seed=1).gradients
    model = Power(WEIGHTS, 3, seconds=seconds)
    for row, (image, cls) in enumerate(zip(TARGETS.images, TARGETS.classes, strict=True)):
        one = Targets(IMAGES[image : image + 1], np.array([0]), np.array([cls]), logits=False)
        alone = smoothgrad(model, one, **values, seed=1).gradients[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-5)
    assert np.abs(smoothgrad(model, TARGETS, **values, seed=2).gradients - together).max() > 0.01


def test_samples_of_all_targets_share_batches():
    model = Power(WEIGHTS)
    smoothgrad(model, TARGETS, samples=32, noise=0.1, seed=0)
    assert model.sizes == [16] * 6  # 32 samples of 3 targets
    assert model.calls == 96


def test_it_tells_how_far_it_is():
    said = []
    result = smoothgrad(
        Power(WEIGHTS, 2), TARGETS, samples=32, noise=0.1, seed=0, step=lambda share, maps: said.append((share, maps))
    )
    assert [share for share, _ in said] == pytest.approx(np.arange(1, 7) / 6)
    np.testing.assert_array_equal(said[-1][1], result.gradients)
    assert result.samples.tolist() == [32] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.8])
@pytest.mark.parametrize("asked", [1, 2])
def test_one_that_has_enough_gets_the_mean_over_the_samples_so_far(asked, seconds):
    """Of 12 samples of 3 targets come as many as fill one or two batches: the mean of w * (x + e)^2 over those."""
    model, answers = Power(WEIGHTS, 3, seconds=seconds), iter([False] * (asked - 1) + [True])
    found = smoothgrad(model, TARGETS, samples=12, noise=0.2, seed=3, step=lambda *_: next(answers))
    assert model.calls == found.samples.sum() < 36
    assert 1 <= found.samples.min() <= found.samples.max() <= found.samples.min() + 1
    for values, image, cls, samples in zip(found.gradients, [0, 0, 1], [2, 0, 1], found.samples, strict=True):
        x = IMAGES[image]
        noisy = [x + 0.2 * (x.max() - x.min()) * normal(n) for n in range(samples)]
        np.testing.assert_allclose(values, np.mean([WEIGHTS[cls] * one**2 for one in noisy], axis=0), atol=1e-5)
