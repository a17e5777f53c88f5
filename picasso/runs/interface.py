"""What an engine is to everything else. `engine.DaskEngine` is one; tests have one without processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from picasso.config import Config
from picasso.runs.artifacts import Packed
from picasso.runs.crew import Crew
from picasso.runs.questions import Question
from picasso.runs.roster import Roster, Status
from picasso.runs.run import Run


class Engine(Protocol):
    """What pages need of whatever computes."""

    def start(self) -> None:
        """Begins to work, in the background."""

    def wake(self) -> None:
        """Says that there is a new run in the store."""

    def cancel(self, run: Run) -> bool:
        """Ends a run that is queued or running; False when it was finished already."""

    def stop(self, run: Run) -> None:
        """Ends a running run with what it has, if its visualization can do that."""

    @property
    def roster(self) -> Roster:
        """The models, and how each is."""

    @property
    def crew(self) -> Crew:
        """The worker processes, and how each is."""

    def status(self, reference: str | None = None) -> Status:
        """How a model is; the default one unless named."""

    def want(self, reference: str) -> None:
        """Has a model opened, because it was chosen."""

    def reload(self, config: Config) -> None:
        """Begins to read the models of another config, or of the same, again; `roster.reload` says how it goes."""

    def plugins_changed(self) -> None:
        """Has visualizations in folders read again by whatever computes, before the next run begins."""

    def ask(self, question: Question, png: Callable[[], bytes]) -> Any:
        """The value of an `Answer`, while somebody waits for it. `png` gives the picture's file.

        Raises:
            Busy: it cannot be answered now, but later.
            PicassoError: it cannot be answered.
        """

    def partial(self, run: str) -> list[Packed]:
        """Results of an unfinished run that are there already."""

    def drain(self) -> None:
        """Begins no more runs; those under way go on."""

    def close(self) -> None:
        """Ends the workers. What they had not done is queued again."""
