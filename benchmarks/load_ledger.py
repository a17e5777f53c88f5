"""What a server answered to its visitors, and the runs that it accepted: kept while they come, judged at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

AGAIN = (429, 503)  # with Retry-After
KEPT_FAULTS = 50


@dataclass(frozen=True)
class Accepted:
    """A run that the server took, and the headers by which it is its visitor's."""

    run: str
    what: str
    headers: tuple[tuple[str, str], ...]


@dataclass
class Ledger:
    """All visitors write into one.

    Attributes:
        statuses: of the answers, by what was asked.
        times: milliseconds of each answer, by what was asked.
        faults: answers that break a promise, the first of them in words; `faulty` counts all.
        runs: those that have to be there at the end; `deleted` counts those that their visitors deleted.
        ends: how runs ended whose end was seen, by state.
    """

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    faulty: int = 0
    runs: dict[str, Accepted] = field(default_factory=dict)
    accepted: int = 0
    deleted: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def answered(self, what: str, status: int, milliseconds: float) -> None:
        """Counts an answer."""
        self.statuses[what][status] += 1
        self.times[what].append(milliseconds)

    def fault(self, sentence: str) -> None:
        """Notes an answer that should not have been."""
        self.faulty += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(sentence)

    def accept(self, run: Accepted) -> None:
        """A run is there; the same one may be given twice."""
        if run.run not in self.runs:
            self.accepted += 1
            self.runs[run.run] = run

    def forget(self, *runs: str) -> list[Accepted]:
        """Runs that their visitor is about to delete; they are given back, should the server refuse that."""
        found = [self.runs.pop(run) for run in runs if run in self.runs]
        self.deleted += len(found)
        return found

    def remember(self, runs: list[Accepted]) -> None:
        """They were not deleted."""
        self.deleted -= len(runs)
        self.runs.update({run.run: run for run in runs})
