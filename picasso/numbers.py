"""How numbers are written in sentences, wherever those are made."""

from __future__ import annotations

import math

NO_BREAK = "\N{NO-BREAK SPACE}"  # a number and its sign stay in one line


def percent(value: float | None) -> str:
    """A share 0..1 as a whole percentage: "12 %"; "–" where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{round(value * 100)}{NO_BREAK}%"


def counted(count: int, one: str, many: str = "") -> str:
    """How many there are of something: "1 position", "1,024 positions"; `many` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
