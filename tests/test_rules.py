"""What is said of a wrong value: one sentence, whatever kind of rule was broken."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from picasso.rules import sentence


def odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("it should be odd")
    if value == 9:
        raise AssertionError  # as `assert` without a message
    return value


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 1.5, "should be a valid integer, got '1.5'."),
        (int, "x", "should be a valid integer, got 'x'."),
        (
            int,
            "9" * 5000,
            f"cannot be '{'9' * 80}': Unable to parse input string as an integer, exceeded maximum size.",
        ),
        (bool, "maybe", "should be a valid boolean, got 'maybe'."),
        (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "should have at most 2 items, got 3."),
        (Annotated[str, Field(max_length=2)], "abc", "should have at most 2 characters, got 'abc'."),
        (Annotated[str, Field(pattern="^a$")], "b", "should be an a, got 'b'."),
        (Annotated[int, AfterValidator(odd)], 2, "cannot be '2': it should be odd."),
        (Annotated[int, AfterValidator(odd)], 9, "cannot be '9'."),
    ],
)
def test_a_sentence(kind: Any, value: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    found = sentence("x", caught.value.errors()[0], meanings={"^a$": "be an a"})
    assert found == f"'x' {expected}"
