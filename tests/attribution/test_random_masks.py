"""RISE: its masks, its estimate against plain code, and whether its standard error is one."""

from itertools import product

import numpy as np
import pytest
from fakes import Fake, Power, noise
from scipy import stats

from picasso.attribution.random_masks import FEWEST, make_masks, random_masks

SHAPE = (9, 12)
WEIGHTS = noise(3, *SHAPE, 2)
X, FILL = noise(*SHAPE, 2, seed=1), noise(*SHAPE, 2, seed=2)


def rise(model=None, classes=(2, 0), most=320, precision=0.0, seed=0, **more):
    return random_masks(
        model or Power(WEIGHTS, 2), X, list(classes), FILL, logits=False, most=most, cells=4, visible=0.4,
        precision=precision, seed=seed, **more,
    )  # fmt: skip


def masks_of(count, seed=0):
    return make_masks(np.random.default_rng(seed).random((count, 4 * 4 + 2)), SHAPE, (4, 4), 0.4)


def test_a_mask_by_hand():
    """Cells 1 and 0 over 4 pixels: cells of 2 pixels, stretched to 3 cells, 6 pixels, from an offset of 1."""
    chance = np.array([[0.0, 0.5, 0.1, 0.9]])
    stretched = [1, 1, 2 / 3, 1 / 3, 0, 0]  # the cells' middles are at 1 and 4
    np.testing.assert_allclose(make_masks(chance, (1, 4), (1, 2), 0.5), [[stretched[1:5]]], atol=1e-6)


def test_masks_let_through_as_much_as_was_asked_for_everywhere():
    masks = masks_of(6000)
    assert masks.shape == (6000, *SHAPE)
    assert 0 <= masks.min() < masks.max() <= 1
    np.testing.assert_allclose(masks.mean(axis=0), 0.4, atol=0.03)


def test_masks_are_shifted_by_less_than_a_cell():
    rng = np.random.default_rng(0)
    numbers = rng.random((50, 6))
    numbers[:, 2:] = [0.1, 0.9, 0.1, 0.9]  # the same two columns each time
    masks = make_masks(numbers, (8, 8), (2, 2), 0.5)
    assert len({mask.tobytes() for mask in masks}) == 4  # a cell has 4 pixels: 4 offsets that show


def test_equal_to_plain_code():
    model = Power(WEIGHTS, 2)
    found = rise(model)
    masks = masks_of(320)[..., None]
    scores = model.predict(X * masks + FILL * (1 - masks))
    for row, cls in enumerate((2, 0)):
        s, m = scores[:, cls, None, None].astype(float), masks[..., 0]
        values = (s - s.mean()) * (m - 0.4) / 0.4
        np.testing.assert_allclose(found.maps[row], values.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(found.errors[row], values.std(axis=0, ddof=1) / np.sqrt(320), atol=1e-5)
        assert found.mean[row] == pytest.approx(s.mean(), rel=1e-5)
    assert found.masks == 320


def test_it_is_the_papers_map_but_for_chance():
    """Equation 6, mean(S * M) / p, minus the mean score: the same within what chance leaves."""
    found = rise(most=6400)
    masks = masks_of(6400)
    scores = Power(WEIGHTS, 2).predict(X * masks[..., None] + FILL * (1 - masks[..., None]))[:, 2].astype(float)
    paper = np.tensordot(scores, masks.astype(float), 1) / 6400 / 0.4 - scores.mean()
    coverage = (masks.mean(axis=0, dtype=float) / 0.4 - 1) * scores.mean()  # how often a pixel happened to be visible
    np.testing.assert_allclose(found.maps[0], paper - coverage, atol=1e-5)


def test_the_standard_error_is_what_seeds_differ_by():
    found = [rise(classes=(1,), seed=seed) for seed in range(60)]
    spread = np.std([one.maps[0] for one in found], axis=0, ddof=1)
    said = np.mean([one.errors[0] for one in found], axis=0)
    assert (spread / said).mean() == pytest.approx(1, abs=0.05)


class OfMask(Fake):
    """The score is a function of the mask, which it sees as the image of 6 x 6 pixels."""

    def __init__(self, function):
        super().__init__((6, 6, 1), 1)
        self.function = function

    def score(self, x):
        return self.function(x[..., 0].astype(float))[:, None]

    def true_map(self):
        """By hand: all masks of 2 x 2 cells, visible or not with equal chance, at all nine offsets."""
        numbers = product([1 / 6, 1 / 2, 5 / 6], [1 / 6, 1 / 2, 5 / 6], *[[0, 1]] * 4)
        masks = make_masks(np.array(list(numbers)), (6, 6), (2, 2), 0.5)
        scores = self.function(masks.astype(float))
        return np.tensordot(scores - scores.mean(), masks, 1) / len(masks) / 0.5

    def rise(self, masks, seed):
        white, black = np.ones((6, 6, 1), np.float32), np.zeros((6, 6, 1), np.float32)
        return random_masks(
            self, white, [0], black, logits=False, most=masks, cells=2, visible=0.5, precision=0, seed=seed
        )


COMMON = OfMask(lambda masks: masks.mean(axis=(1, 2)))
RARE = OfMask(lambda masks: (masks.mean(axis=(1, 2)) > 0.9) * 1.0)  # one mask in 15


def covered(model, masks):
    """The share of pixels and seeds whose 95 % interval has the true value."""
    width, true = stats.t.ppf(0.975, masks - 1), model.true_map()
    found = [model.rise(masks, seed) for seed in range(60)]
    return np.mean([np.abs(one.maps[0] - true) <= width * one.errors[0] + 1e-6 for one in found])


def test_the_square_of_the_standard_error_is_right_on_average_with_few_masks():
    found, true = [COMMON.rise(16, seed) for seed in range(200)], COMMON.true_map()
    squares = np.mean([(one.maps[0] - true) ** 2 for one in found])
    assert np.mean([one.errors[0].astype(float) ** 2 for one in found]) == pytest.approx(squares, rel=0.15)


@pytest.mark.parametrize(
    ("model", "masks", "low", "high"),
    [(COMMON, 16, 0.85, 1), (COMMON, FEWEST, 0.93, 1), (RARE, 16, 0, 0.7), (RARE, FEWEST, 0.88, 1)],
)
def test_how_often_the_true_value_lies_where_the_standard_error_says(model, masks, low, high):
    """Student's t is enough where all masks tell something. Where a high score is rare, 16 masks are too few."""
    assert low <= covered(model, masks) <= high
    assert model.rise(masks, 0).few == (masks < FEWEST)


def test_one_pixel_that_matters_is_found():
    """S = x at (2, 7), with 1 there and a fill of 0: the map is cov(M(2, 7), M) / p, with its peak at that pixel."""
    weights = np.zeros((1, *SHAPE, 2))
    weights[0, 2, 7, 0] = 1
    model = Power(weights)
    found = random_masks(
        model, np.ones((*SHAPE, 2), np.float32), [0], np.zeros((*SHAPE, 2), np.float32), logits=False, most=4000,
        cells=4, visible=0.5, precision=0, seed=0,
    )  # fmt: skip
    row, column = np.unravel_index(found.maps[0].argmax(), SHAPE)
    assert abs(row - 2) <= 1
    assert abs(column - 7) <= 1


def test_it_stops_once_it_is_precise():
    loose, tight = rise(precision=0.5, most=3200), rise(precision=0.05, most=3200)
    assert loose.masks == FEWEST
    assert FEWEST < tight.masks < 3200
    assert (tight.precision <= 0.05).all()


def test_a_model_that_does_not_care_needs_the_fewest():
    found = rise(Power(np.zeros((1, *SHAPE, 2))), classes=(0,), precision=0.01)
    assert found.masks == FEWEST
    assert not found.maps.any()


@pytest.mark.parametrize("seconds", [0.34, 1.8])
def test_the_batch_and_the_company_do_not_matter(seconds):
    model = Power(WEIGHTS, 2)
    both, one = rise(model), rise(Power(WEIGHTS, 2, seconds=seconds), classes=(0,))
    np.testing.assert_allclose(both.maps[1], one.maps[0], atol=1e-6)
    assert model.calls == 320
    assert set(model.sizes) == {32}


def test_few_masks_are_the_first_of_many():
    said = []
    rise(most=320, step=lambda share, maps: said.append((share, maps)))
    assert [share for share, _ in said] == pytest.approx(np.arange(1, 11) / 10)
    np.testing.assert_array_equal(said[4][1], rise(most=160).maps)


def test_no_masks_are_refused():
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        rise(most=0)


def test_whoever_has_enough_gets_the_maps_of_the_masks_so_far():
    answers = iter([False, True])
    found = rise(step=lambda *_: next(answers))
    assert found.masks == 64
    np.testing.assert_array_equal(found.maps, rise(most=64).maps)


def test_it_says_that_it_is_done_when_it_is_precise():
    said = []
    assert rise(precision=0.5, most=3200, step=lambda share, _: said.append(share)).masks < 3200
    assert said[-1] == 1
