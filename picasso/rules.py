"""What pydantic says of a wrong value, as a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SHOWN = 80  # characters of what was given
OWN_CHECKS = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}  # how their messages begin
ASIDE = re.compile(r"(, got | after validation|, unable to ).*", re.S)  # what was given is said by us


def sentence(name: str, error: Any, rule: str = "", meanings: Mapping[str, str] | None = None) -> str:
    """Names the field, the rule and what was given.

    Args:
        error: one of `ValidationError.errors()`.
        rule: what follows "should", where that is not for pydantic to say.
        meanings: what follows "should", by pattern.
    """
    details = error.get("ctx", {})
    given = str(details["actual_length"]) if "actual_length" in details else repr(str(error["input"])[:SHOWN])
    rule = rule or (meanings or {}).get(details.get("pattern"), "")
    if not rule and error["type"] not in OWN_CHECKS:
        rule = ASIDE.sub("", error["msg"].partition(" should ")[2])
    if rule:
        return f"'{name}' should {rule}, got {given}."
    reason = error["msg"].removeprefix(OWN_CHECKS.get(error["type"], "")).rstrip(".")
    return f"'{name}' cannot be {given}{f': {reason}' if reason else ''}."
