"""Errors: one tree, each with what programs and people need, and able to travel between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from picasso import errors
from picasso.errors import PicassoError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PicassoError)]


@pytest.mark.parametrize("kind", KINDS)
def test_pickling_keeps_everything(kind):
    error = pickle.loads(pickle.dumps(kind("'window' must be 1..224, got 0", field="window")))
    assert type(error) is kind
    assert (str(error), error.message, error.field) == (*["'window' must be 1..224, got 0"] * 2, "window")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_programs_and_people_need(kind):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert 400 <= kind.status <= 599
    assert 1 <= kind.exit_code <= 255
    assert kind.title[0].isupper()
    assert kind.__doc__
    assert kind("A sentence.").field is None


def test_codes_are_unique():
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
