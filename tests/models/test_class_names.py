"""Which class a person means."""

from __future__ import annotations

import pytest

from picasso.errors import InvalidSetting
from picasso.models import imagenet_labels
from picasso.models.class_names import classes_called, classes_with, find_class

LABELS = ("tabby", "tiger cat", "Egyptian cat", "crane", "catamaran", "crane", "7", "Über")


@pytest.mark.parametrize(
    ("named", "index"),
    [
        ("tabby", 0),
        ("TABBY", 0),
        ("tab", 0),
        ("cat egypt", 2),
        (" tiger ", 1),
        ("3", 3),
        (5, 5),
        ("7", 6),  # the name counts before the number
        ("über", 7),
    ],
)
def test_the_one_that_is_meant(named, index):
    assert find_class(named, LABELS) == index


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("cat", r"'cat' may be any of 3 classes: catamaran \(4\), tiger cat \(1\), Egyptian cat \(2\)\. Name one by"),
        ("crane", r"any of 2 classes: crane \(3\), crane \(5\)\."),
        ("tabbi", r"The model has no class 'tabbi'\. The nearest is tabby\."),
        ("", r"has no class ''\. They are numbered 0 to 7\."),
        (-1, r"has no class '-1'\. They are numbered 0 to 7\."),
        (8, r"has no class '8'\. They are numbered 0 to 7\."),
        ("77", r"has no class '77'\. They are numbered 0 to 7\."),
    ],
)
def test_what_is_not_one_class_is_refused(named, sentence):
    with pytest.raises(InvalidSetting, match=sentence) as caught:
        find_class(named, LABELS)
    assert caught.value.field == "class"


def test_candidates_are_not_listed_without_end():
    with pytest.raises(InvalidSetting, match=r"any of 30 classes: .*\(9\) and 20 more\."):
        find_class("class", [f"class {index}" for index in range(30)])


def test_the_field_of_pages_begins_with_what_begins_so():
    assert classes_with("cat", LABELS) == [4, 1, 2]
    assert classes_called("cat", LABELS) == []


def test_names_of_imagenet():
    labels = imagenet_labels.labels()
    assert labels[find_class("espresso", labels)] == "espresso"
    with pytest.raises(
        InvalidSetting, match=r"'crane' may be any of 2 classes: crane bird \(134\), construction crane \(517\)\."
    ):
        find_class("crane", labels)
    with pytest.raises(InvalidSetting, match="Egyptian cat"):
        find_class("cat", labels)
