"""What was measured: rows in a JSON file, and under which conditions."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("tensorflow", "keras", "numpy", "xplique", "tf-explain", "tf-keras-vis", "saliency")
KEY = ("question", "network", "method", "window", "library", "warm_up")
Row = dict[str, Any]


class Results:
    """Rows, each in the place of an older one that answered the same; the file is written with every row.

    A row has what `KEY` names, `machine` (its processor) and its `load` meanwhile, and `problem` or numbers:
    question "warm": `seconds` and `processor` (medians, for one map or one position), `rounds`;
    question "asking": `seconds` and `late` (median and 95th percentile of the answers over HTTP), `forward` (median of
    one forward pass, in turn with them), `rounds`;
    question "browsing": the same in the browser, from the pointer to the bars, also `beside` and `late_beside` (while
    "Can it be trusted?" runs); `paint`, the slowest first paint; `answers`;
    question "exactness": `share` (of the multiply-adds), `whole_from`, `deviation`, `positions`;
    question "preview": `seconds` (of occlusion in bfloat16), `dense` (in turn with it), `correlation` (of its map with
    the exact one);
    question "cold": `open_seconds`, `warm_up_seconds`, `seconds` (to the first map), `imported_mb`, `loaded_mb`,
    `peak_mb`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        content = json.loads(file.read_text()) if file.exists() else {"conditions": {}, "rows": []}
        self.conditions: dict[str, Any] = content["conditions"]
        self._rows: dict[tuple[Any, ...], Row] = {_key(row): row for row in content["rows"]}

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return list(self._rows.values())

    def add(self, row: Row) -> None:
        """Keeps a row, with the machine that it was measured on."""
        self._rows[_key(row)] = row | {"machine": self.conditions.get("processor")}
        content = {"conditions": self.conditions, "rows": self.rows}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1) + "\n")
        new.replace(self.file)

    def of(self, **facts: Any) -> list[Row]:
        """The rows that have these facts."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in facts.items())]

    def problems(self) -> list[Row]:
        """The rows of what did not run."""
        return [row for row in self.rows if "problem" in row]


def conditions() -> dict[str, Any]:
    """The machine and the libraries."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in KEY)
