"""Asking the workers questions while a person waits at a page: which of them, and how many at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Any

from picasso.errors import Busy
from picasso.runs import worker
from picasso.runs.pool import WorkerPool
from picasso.runs.questions import Answer, Question
from picasso.runs.roster import Roster

log = logging.getLogger(__name__)
MOST_AT_ONCE = 6  # by all visitors together; each holds a thread of the web server until it is answered


class NotOpen(Busy):
    """No worker has the model open yet."""


class Asking:
    """Asks one worker at a time per question. Safe to use from several threads."""

    def __init__(self, pool: WorkerPool, roster: Roster) -> None:
        self._pool = pool
        self._roster = roster
        self._open: dict[str, set[str]] = {}  # by worker, the models that it has open
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def hear(self, snapshots: Mapping[str, worker.Snapshot]) -> None:
        """Takes over which models are open, from what the workers say, by their addresses."""
        self._open = {
            address: {reference for reference, model in snapshot.models.items() if model.state == "ready"}
            for address, snapshot in snapshots.items()
        }

    def ask(self, question: Question, png: Callable[[], bytes], taken: Set[str]) -> Any:
        """The value of a worker's answer.

        Args:
            png: the picture's file, for a worker that does not have it yet.
            taken: workers that have a run; they are asked only where no other can answer.

        Raises:
            Busy: nobody can answer now.
            PicassoError: what the worker says is wrong.
        """
        if not self._places.acquire(blocking=False):
            raise Busy("Many are asking at once. This is asked again.")
        try:
            address = self._choose(question, taken)
            answer: Answer = self._pool.ask_one(address, worker.answer, question)
            if answer.unknown:
                answer = self._pool.ask_one(address, worker.answer, replace(question, png=png()))
        except ConnectionError as error:
            log.debug("A question was not answered: %s", error)
            raise Busy("The worker process does not answer now. It is asked again.") from error
        finally:
            self._places.release()
        if answer.error is not None:
            raise answer.error
        return answer.value

    def _choose(self, question: Question, taken: Set[str]) -> str:
        """The address of a worker; the same one for the same picture as long as things stay as they are."""
        able = sorted(address for address, models in self._open.items() if question.model in models)
        if not able:
            status = self._roster.status(question.model)
            if status.error is not None and status.state == "failed":
                raise status.error
            raise NotOpen("The model is loading. It is asked again when it is open.")
        free = [address for address in able if address not in taken] or able
        return free[int(question.picture[:8], 16) % len(free)]
