"""How long a run still takes, and how it is said."""

from __future__ import annotations

import pytest

from picasso.web.remaining import TRUSTED_AT, about, seconds_left


@pytest.mark.parametrize(
    ("progress", "passed", "estimate", "left"),
    [
        (0.0, 0.0, 20.0, 20.0),
        (0.0, 5.0, 20.0, 15.0),
        (0.0, 25.0, 20.0, None),  # later than expected, and nothing to judge it by
        (0.0, 5.0, None, None),
        (0.5, 30.0, 20.0, 30.0),  # half is done: what has passed counts
        (TRUSTED_AT, 10.0, 1000.0, 30.0),
        (0.125, 10.0, 80.0, 70.0),  # seen and expected agree
        (0.125, 20.0, 80.0, 105.0),  # halfway between 140 seen and 70 expected
        (0.25, 10.0, None, 30.0),
        (1.0, 10.0, 5.0, 0.0),
    ],
)
def test_the_time_that_is_left(progress: float, passed: float, estimate: float | None, left: float | None) -> None:
    assert seconds_left(progress, passed, estimate) == (None if left is None else pytest.approx(left))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "a few seconds"),
        (6, "about 5 s"),
        (52, "about 50 s"),
        (58, "about 1 min"),
        (150, "about 2 min"),
        (5000, "about 83 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_how_it_is_said(seconds: float, said: str) -> None:
    assert about(seconds) == said
