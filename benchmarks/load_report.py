"""The figures of a load, whether they keep what is promised, and the section of the documentation made of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from benchmarks.load_ledger import AGAIN, Ledger

BEGIN, END = "<!-- load: written by make load -->", "<!-- load: end -->"
HEALTH_MS = 200.0
LONG_ENOUGH = 10  # minutes, from which on memory says something
GROWTH = 1.1  # memory in the last third, times that in the second third: more is no plateau
MEASURED_APART = 32  # megabytes by which two measurements may differ besides
Figures = dict[str, Any]


def figures(
    ledger: Ledger,
    rows: Sequence[dict[str, Any]],
    lost: Sequence[str],
    visited: tuple[float, float],
    visitors: int,
    log: str,
    config: str = "the default",
) -> Figures:
    """Everything that was seen, as JSON.

    Args:
        rows: of `load_watch`.
        lost: sentences about runs.
        visited: when the visitors came and went, in seconds since 1970.
        log: what the server said.
        config: of the server, as it was named.
    """
    began, left = visited
    times = [row["ms"] for row in rows]
    bad = [row for row in rows if row["status"] != 200]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "config": config,
        "visitors": visitors,
        "minutes": round((left - began) / 60, 1),
        "requests": [_asked(what, ledger) for what in sorted(ledger.statuses)],
        "faulty": ledger.faulty,
        "faults": ledger.faults,
        "runs": {
            "accepted": ledger.accepted,
            "deleted": ledger.deleted,
            "ended": dict(ledger.ends),
            "lost": len(lost),
            "sentences": list(lost[:50]),
        },
        "health": {
            "asked": len(rows),
            "not well": len(bad),
            "median": round(median(times), 1) if times else None,
            "p95": _p95(times),
            "worst": round(max(times), 1) if times else None,
            "late": sum(ms > HEALTH_MS for ms in times),
            "late at": [round(row["time"] - began) for row in rows if row["ms"] > HEALTH_MS][:100],  # seconds
        },
        "memory": _by_minute(rows, began, left),
        "tracebacks": log.count("Traceback (most recent call last)"),
        "log": log[-2000:],
    }


def _asked(what: str, ledger: Ledger) -> dict[str, Any]:
    times = ledger.times[what]
    statuses = {str(status): count for status, count in sorted(ledger.statuses[what].items())}
    return {"what": what, "count": len(times), "statuses": statuses, "median": round(median(times)), "p95": _p95(times)}


def _p95(times: Sequence[float]) -> float | None:
    return round(quantiles(times, n=20)[-1], 1) if len(times) > 1 else None


def _by_minute(rows: Sequence[dict[str, Any]], began: float, left: float) -> list[dict[str, float]]:
    """Means of each minute in which the visitors were there, in megabytes."""
    minutes: dict[int, list[dict[str, float]]] = {}
    for row in rows:
        if row.get("memory") and began <= row["time"] <= left:
            minutes.setdefault(int((row["time"] - began) // 60), []).append(row["memory"])
    return [
        {"minute": minute + 1, **{name: round(fmean(one[name] for one in seen)) for name in seen[0]}}
        for minute, seen in sorted(minutes.items())
    ]


def broken(figures: Figures) -> list[str]:
    """The promises that were not kept, in sentences."""
    found = []
    if figures["faulty"]:
        found.append(f"{figures['faulty']} answers were none that is expected. {'; '.join(figures['faults'][:3])}")
    runs, health = figures["runs"], figures["health"]
    if not runs["accepted"]:
        found.append("No run was accepted.")
    if runs["lost"]:
        found.append(f"{runs['lost']} accepted runs are lost. {'; '.join(runs['sentences'][:3])}")
    if not health["asked"] or health["not well"]:
        found.append(f"{health['not well']} of {health['asked']} questions for health were not answered with 200.")
    if health["late"]:
        found.append(
            f"Health took longer than {HEALTH_MS:g} ms {health['late']} times, {health['worst']} ms at worst, the "
            f"first ones {health['late at'][:5]} seconds after the visitors came."
        )
    if figures["tracebacks"]:
        found.append(f"The server's log has {figures['tracebacks']} tracebacks. {figures['log'][-500:]}")
    return found + _growing(figures["memory"])


def _growing(memory: Sequence[dict[str, float]]) -> list[str]:
    if len(memory) < LONG_ENOUGH:
        return []
    third = len(memory) // 3
    found = []
    for name in ("web", "worker", "others"):
        before, after = (fmean(row[name] for row in part) for part in (memory[third : 2 * third], memory[-third:]))
        if after > GROWTH * before + MEASURED_APART:
            found.append(f"Memory ({name}) has no plateau: {before:.0f} MB, then {after:.0f} MB.")
    return found


def write(figures: Figures, page: Path) -> None:
    """Puts the section between its markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{markdown(figures)}\n{END}{after}", encoding="utf-8")


def markdown(figures: Figures) -> str:
    """The section without its heading."""
    runs, health = figures["runs"], figures["health"]
    total = sum(row["count"] for row in figures["requests"])
    refused = sum(row["statuses"].get(str(status), 0) for row in figures["requests"] for status in AGAIN)
    ended = ", ".join(f"{count} {state}" for state, count in sorted(runs["ended"].items())) or "none"
    promises = broken(figures)
    sentences = [
        f"{figures['date']}, {figures['machine']}, visitors and server on the same: {figures['visitors']} visitors, "
        f"{figures['minutes']:g} minutes, config: {figures['config']}, {total:,} requests.",
        f"Answers that should not be: {figures['faulty']}. Refused for now (429, 503 with Retry-After): {refused:,}. "
        f"Tracebacks in the server's log: {figures['tracebacks']}.",
        f"Runs accepted: {runs['accepted']:,}; deleted by their visitors: {runs['deleted']:,}; at the end {ended}; "
        f"lost: {runs['lost']}.",
        f"Health, asked {health['asked']:,} times: median {health['median']} ms, 95 % within {health['p95']} ms, worst "
        f"{health['worst']} ms, later than {HEALTH_MS:g} ms: {health['late']}.",
        f"Promises broken: {len(promises)}." + "".join(f"\n  - {sentence}" for sentence in promises),
    ]
    requests = [
        [row["what"], f"{row['count']:,}", _statuses(row["statuses"]), str(row["median"]), str(row["p95"] or "")]
        for row in figures["requests"]
    ]
    memory = [[str(row[name]) for name in ("minute", "web", "worker", "others")] for row in figures["memory"]]
    return (
        "".join(f"- {sentence}\n" for sentence in sentences)
        + _table(["request", "answers", "by status", "median ms", "95 % within ms"], requests)
        + _table(["minute", "web process, MB", "worker", "other processes"], memory)
    )


def _statuses(statuses: dict[str, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in statuses.items())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
