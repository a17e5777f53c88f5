"""The table in docs/reliability.md of what was tried: a row for each corpus, written when all of its files were."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from corpora import CACHE
from filelock import FileLock

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
TABLE = re.compile(r"(?<=<!-- corpora: written by make test-all -->\n\n).*?(?=\n<!-- corpora: end -->)", re.S)
HEAD = "| corpus | files | taken (201) | too large (413) | no image that is read (415) | damaged (422) | memory |\n"


def note(name: str, file: Path, answers: Mapping[int, int], memory: int) -> None:
    """Writes a corpus's row.

    Args:
        file: any of its files.
        answers: how many there were by status.
        memory: the most bytes that a process which read them had.
    """
    folder = next(part for part in reversed(file.parts) if part.startswith(f"{name} "))
    counts = [sum(answers.values()), *(answers[status] for status in (201, 413, 415, 422))]
    cells = [folder, *(f"{count:,}" for count in counts), f"{memory / 2**20:,.0f} MiB"]
    with FileLock(CACHE / "figures.lock"):
        page = PAGE.read_text(encoding="utf-8")
        (table,) = TABLE.findall(page)
        rows = {row.split()[1]: row for row in table.splitlines()[2:]}
        rows[name] = f"| {' | '.join(cells)} |"
        PAGE.write_text(TABLE.sub(lambda _: with_total(rows), page), encoding="utf-8")


def with_total(rows: dict[str, str]) -> str:
    """The table: the rows by name, and their sum."""
    rows.pop("all", None)
    columns = [[int(re.sub(r"\D", "", cell)) for cell in row.split("|")[2:8]] for _, row in sorted(rows.items())]
    sums = [sum(column) for column in list(zip(*columns, strict=True))[:-1]]
    total = f"| all | {' | '.join(f'{count:,}' for count in sums)} | {max(row[-1] for row in columns):,} MiB |"
    return "\n".join([HEAD + "|---|---|---|---|---|---|---|", *(row for _, row in sorted(rows.items())), total])
