"""Regions as text: what they cover, what they are not, and pictures in which they are hidden."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from picasso.attribution import regions
from picasso.attribution.superpixels import superpixels

SHAPE = (4, 6)


def text_of(mask):
    """Run lengths of a mask, as the page writes them."""
    runs = [(bool(value), len(list(run))) for value, run in itertools.groupby(mask.reshape(-1))]
    runs = [*([(False, 0)] if runs[0][0] else []), *runs]
    return ".".join(np.base_repr(length, 36).lower() for _, length in (runs if runs[-1][0] else runs[:-1]))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_what_was_painted_comes_back(share):
    for seed in range(20):
        mask = np.random.default_rng(seed).random(SHAPE) < share
        np.testing.assert_array_equal(regions.mask_of(text_of(mask), SHAPE), mask)


@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [
        ("1,2,3,2", (2, 4), (1, 4)),
        ("0,0,6,4", (0, 4), (0, 6)),
        ("-2,-1,4,3", (0, 2), (0, 2)),
        ("5,3,99,99", (3, 4), (5, 6)),
    ],
)
def test_rectangles_may_overhang(text, rows, columns):
    expected = np.zeros(SHAPE, bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(regions.mask_of(text, SHAPE), expected)


def test_nothing_is_nothing():
    assert not regions.mask_of("", SHAPE).any()
    assert not regions.mask_of("o", SHAPE).any()  # one run of 24 outside
    assert regions.mask_of("0.o", SHAPE).all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("6,0,1,1", "does not touch the picture of 6 x 4 pixels"),
        ("1,1,0,1", "does not touch"),
        ("1,2,3", "four whole numbers"),
        ("1,2,3,4,5", "four whole numbers"),
        ("1,2,3,NaN", "four whole numbers"),
        ("1,2,3.5,4", "four whole numbers"),
        ("1,2,3,99999999", "four whole numbers"),
        ("0.p", "has 25 pixels, the picture 24"),
        ("zzzzzzz.zzzzzzz", "the picture 24"),
        ("nan inf", "run lengths in base 36"),
        ("1..2", "run lengths in base 36"),
        ("-1", "run lengths in base 36"),
        ("A", "run lengths in base 36"),
        ("٣", "run lengths in base 36"),
        ("<script>", "run lengths in base 36"),
    ],
)
def test_what_is_no_region_is_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        regions.mask_of(text, SHAPE)


def test_words():
    assert regions.words("92,64,40,30") == "40 × 30 px at 92, 64"
    assert regions.words("2k0.8.5w.a") == "18 px painted"
    assert (regions.words(""), regions.words("§")) == ("", "not a region")


def test_the_middle_lies_in_the_middle():
    mask = regions.mask_of(regions.middle((12, 16)), (12, 16))
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=0)), np.arange(6, 10))
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=1)), np.arange(4, 8))
    assert regions.mask_of(regions.middle((1, 2)), (1, 2)).sum() == 1


def test_hiding_and_keeping_are_each_others_opposite():
    x, fill = np.full((*SHAPE, 3), 2, np.float32), np.full((*SHAPE, 3), 5, np.float32)
    mask = regions.mask_of("1,1,2,2", SHAPE)
    hidden, kept = (regions.covered(x, fill, mask, keep) for keep in (False, True))
    assert hidden.dtype == np.float32
    assert (hidden[mask] == 5).all()
    assert (hidden[~mask] == 2).all()
    np.testing.assert_array_equal(hidden + kept, np.full_like(x, 7))


@pytest.mark.parametrize("channels", [(), (3,)])
def test_superpixels_follow_an_edge(channels):
    picture = np.zeros((16, 20, *channels), np.uint8)
    picture[:, 7:] = 255
    pieces = superpixels(picture, 8)
    assert (pieces.shape, pieces.dtype) == ((16, 20), np.uint16)
    assert set(np.unique(pieces)) == set(range(pieces.max() + 1))
    assert pieces.max() > 1
    assert not set(pieces[:, :7].ravel()) & set(pieces[:, 7:].ravel())
    assert superpixels(picture[:1, :2], 300).shape == (1, 2)
