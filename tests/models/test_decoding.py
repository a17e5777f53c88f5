"""Names of classes from every source, and what decode functions may return."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from picasso.errors import ConfigError, ModelError
from picasso.models.decoding import Prediction, highest, load_labels, own_decode

NAMES = ["tench", "goldfish", "Weißer Hai"]
SCORES = np.float32([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])


@pytest.fixture
def label_file(tmp_path):
    """Writes a file of labels and gives its path as text."""

    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_text(content, encoding=encoding)
        return str(path)

    return write


def test_no_labels_are_numbered():
    assert load_labels(None, 3) == ["class 0", "class 1", "class 2"]


def test_labels_from_a_list():
    assert load_labels(NAMES, 3) == NAMES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("content", ["\n".join(NAMES), "\r\n".join(NAMES) + "\r\n", "\n\n".join(NAMES) + "  \n\n"])
def test_labels_from_a_text_file(label_file, content, encoding):
    assert load_labels(label_file("labels.txt", content, encoding), 3) == NAMES


@pytest.mark.parametrize("content", [NAMES, {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}])
def test_labels_from_json(label_file, content):
    assert load_labels(label_file("labels.json", json.dumps(content)), 3) == NAMES


def test_json_keys_are_numbers_not_text(label_file):
    """As text, "10" comes before "2"."""
    content = {str(index): f"name {index}" for index in reversed(range(12))}
    assert load_labels(label_file("labels.json", json.dumps(content)), 12)[10] == "name 10"


def test_labels_from_a_function(tmp_path, monkeypatch):
    (tmp_path / "my_label_module.py").write_text("def names():\n    return (str(i) for i in range(3))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_label_module", raising=False)
    assert load_labels("my_label_module:names", 3) == ["0", "1", "2"]


def test_labels_that_are_numbers_become_text():
    assert load_labels([0, 1], 2) == ["0", "1"]


@pytest.mark.parametrize("count", [2, 4])
def test_a_wrong_count_is_refused(count):
    with pytest.raises(ConfigError, match=f"has 3 names, but the model has {count} classes") as caught:
        load_labels(NAMES, count)
    assert caught.value.field == "MODEL_LABELS"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("labels.json", "{", "labels.json cannot be read"),
        ("labels.json", '{"cat": "0"}', "the keys of .*labels.json must be the class numbers from 0 on"),
        ("labels.json", '"cat"', "must hold a list of names"),
        ("labels.json", "3", "must hold a list of names"),
    ],
)
def test_files_that_hold_something_else(label_file, name, content, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_labels(label_file(name, content), 3)


def test_files_that_cannot_be_read(label_file, tmp_path):
    with pytest.raises(ConfigError, match=r"labels.txt cannot be read"):
        load_labels(label_file("labels.txt", "Weißer Hai", "latin-1"), 1)
    with pytest.raises(ConfigError, match=r"none.txt cannot be read"):
        load_labels(str(tmp_path / "none.txt"), 1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("labels.csv", '"module:function"'),
        ("picasso_nowhere:names", "picasso_nowhere cannot be imported"),
        ("json:names", "json has no names"),
        ("json:__name__", "is a str, not a function"),
    ],
)
def test_functions_that_are_not_there(name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_labels(name, 3)


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
