"""The contract of `picasso.testing` for every visualization that discovery finds; of our own, more is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from picasso.testing import TinyModel
from picasso.testing.case import Case
from picasso.testing.checks import CHECKS
from picasso.visualizations.discovery import discover

PLUGINS = Path(__file__).resolve().parents[2] / "examples" / "plugin"
REGISTRY = discover([PLUGINS])
GREY = TinyModel(channels=1)


@pytest.fixture(params=REGISTRY.visualizations.values(), ids=REGISTRY.visualizations)
def visualization(request):
    return request.param


@pytest.mark.parametrize("model", [pytest.param("keras", marks=pytest.mark.slow), "numpy"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(visualization, check, model, tiny_model):
    """On a Keras model that takes colours, and on one in NumPy that takes grey."""
    check(Case.of(visualization, tiny_model if model == "keras" else GREY))


def test_nothing_is_broken():
    assert REGISTRY.broken == []
    assert "hidden-halves" in REGISTRY.visualizations


def test_our_own_say_where_they_come_from(visualization):
    assert visualization.description.endswith(".")
    assert visualization.reference_link.startswith("https://")


def test_what_a_model_lacks_is_said_in_words(visualization, tiny_model):
    assert visualization.unsupported_reason(tiny_model.info) is None
    assert visualization.unsupported_reason(GREY.info) is None
    bare = replace(tiny_model.info, capabilities=frozenset())
    assert visualization.unsupported_reason(bare).startswith("Needs ")


def test_weights_are_the_very_same_afterwards(visualization, tiny_model):
    before = [weight.copy() for weight in tiny_model.network.get_weights()]
    Case.of(visualization, tiny_model).run()
    for old, new in zip(before, tiny_model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
