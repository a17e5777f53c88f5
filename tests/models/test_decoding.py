"""Which classes come first, and what decode functions may return."""

from __future__ import annotations

import json

import numpy as np
import pytest

from picasso.errors import ModelError
from picasso.models.decoding import Prediction, highest, own_decode

NAMES = ["tench", "goldfish", "Weißer Hai"]
SCORES = np.float32([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])


def test_highest_comes_first_and_equals_in_class_order():
    first, second = highest(SCORES, NAMES, 2)
    assert [(p.index, p.label) for p in first] == [(1, "goldfish"), (2, "Weißer Hai")]
    assert [p.index for p in second] == [0, 2]
    assert first[0].score == pytest.approx(0.5)
    assert [len(row) for row in highest(SCORES, NAMES, 9)] == [3, 3]
    assert json.dumps(first[0].as_dict())


def decoded(returned, top=5):
    return own_decode(lambda scores: returned, "mine:decode", SCORES, top)


@pytest.mark.parametrize(
    "item",
    [
        {"index": 1, "label": "cat", "score": 0.5},
        {"index": np.int64(1), "label": "cat", "score": np.float32(0.5)},
        {"index": 1, "name": "cat", "prob": 0.5},
        (1, "cat", 0.5),
        [1, "cat", 0.5],
    ],
)
def test_forms_of_own_predictions(item):
    assert decoded([[item], []]) == [[Prediction(1, "cat", 0.5)], []]


def test_own_predictions_are_cut_to_what_is_asked_for():
    assert [len(row) for row in decoded([[(0, "a", 1), (1, "b", 0)]] * 2, top=1)] == [1, 1]


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        (None, "TypeError"),
        ([[{"index": 1, "label": "cat"}], []], "has no label or no score"),
        ([[{"label": "cat", "score": 1}], []], "KeyError: 'index'"),
        ([[(1, "cat")], []], "ValueError"),
        ([[(3, "cat", 0.5)], []], r"the index 3 is not one of 0..2"),
        ([[(-1, "cat", 0.5)], []], r"the index -1 is not one of 0..2"),
    ],
)
def test_own_function_that_returns_something_else(returned, what):
    with pytest.raises(ModelError, match=what) as caught:
        decoded(returned)
    assert '{"index": 3, "label": "cat", "score": 0.9}' in caught.value.message


def test_own_function_with_too_few_lists():
    with pytest.raises(ModelError, match="mine:decode returned 1 lists for 2 images"):
        decoded([[(1, "cat", 0.5)]])


def test_own_function_that_fails_is_named_with_its_line():
    def decode(scores):
        return {}[7]

    line = decode.__code__.co_firstlineno + 1
    with pytest.raises(ModelError, match=f"mine:decode failed at .*test_decoding.py, line {line}: KeyError: 7"):
        own_decode(decode, "mine:decode", SCORES, 1)
