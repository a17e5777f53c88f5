"""An engine without processes of its own, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Flask

from picasso.config import Config
from picasso.errors import Busy, NotFound, PicassoError
from picasso.models.base import Model
from picasso.runs.artifacts import Packed
from picasso.runs.crew import Crew
from picasso.runs.jobs import make_job
from picasso.runs.looking import Outcome
from picasso.runs.manifest import make_manifest
from picasso.runs.questions import Question
from picasso.runs.roster import Roster, Status
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.runs.worker import Host
from picasso.web.services import Services


class InProcessEngine:
    """Implements `picasso.runs.interface.Engine`: executes each run at once, through the code that workers execute.

    Attributes:
        waiting: runs stay queued.
        partials: what unfinished runs have already.
        wanted, stopped, sent: what it was asked for: models, runs to be ended with what they have, pictures.
    """

    host: Host | None
    roster: Roster
    store: Store

    def begin(self, app: Flask) -> None:
        """Works for that application, like a new one: no model is open yet, and of earlier runs it knows nothing."""
        services: Services = app.extensions["picasso"]
        self.host, self.roster, self.store = None, Roster(services.config), services.store
        self.registry = services.registry
        self.error: PicassoError | None = None
        self.wanted: list[str] = []
        self.stopped: list[str] = []
        self.sent: list[str] = []
        self.waiting = False
        self.partials: dict[str, list[Packed]] = {}

    def open(self, model: Model, **others: Model) -> None:
        """Opens a model, and others by reference."""
        self.host = Host(self.roster.config)
        self.host.registry = self.registry
        for reference, one in {"": model, **others}.items():
            self.host.shelf.put(one, reference)

    def start(self) -> None:
        """Nothing to start."""

    def drain(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to end."""

    def wake(self) -> None:
        """Executes what is queued."""
        for run in [] if self.waiting else self.store.unfinished_runs():
            if self.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING, started=time.time()):
                try:
                    outcome = self.execute(run)
                except NotFound as error:
                    outcome = Outcome(error=error)
                self.finish(run, outcome)

    def execute(self, run: Run) -> Outcome:
        """What a worker gives."""
        job = make_job(self.store, run)
        assert self.host is not None
        return self.host.execute(job)

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Writes what a run came to."""
        if outcome.error is not None:
            self.end(run, State.FAILED, outcome.error)
            return
        images = [self.store.image(run.session, image) for image in run.images]
        files = {name: data for packed in outcome.results for name, data in packed.files.items()}
        files |= {f"output.{name}": data for name, data in outcome.outputs.items()}
        visualization = self.registry.get(run.visualization)
        self.store.write_results(run, files, make_manifest(run, run.key, visualization, images, outcome))
        self.store.change_run(run.id, (State.RUNNING,), state=State.DONE, progress=1.0, finished=time.time())

    def end(self, run: Run, state: State, error: PicassoError | None = None) -> None:
        """Puts a run into a state without a result."""
        changes: dict[str, Any] = {"error_code": error.code, "error": error.message} if error else {}
        self.store.change_run(run.id, tuple(State), state=state, finished=time.time(), **changes)

    def cancel(self, run: Run) -> bool:
        """Ends a run that has not finished."""
        return self.store.change_run(run.id, (State.QUEUED, State.RUNNING), state=State.CANCELLED, finished=time.time())

    def stop(self, run: Run) -> None:
        """Notes it: runs are executed at once here, or wait."""
        self.stopped.append(run.id)

    def status(self, reference: str | None = None) -> Status:
        """Loading until a model is opened."""
        if self.error is not None:
            return Status("failed", error=self.error)
        if self.host is not None:
            self.roster.hear([self.host.snapshot({})])
        return self.roster.status(reference)

    @property
    def crew(self) -> Crew:
        """This process is the worker."""
        crew = Crew()
        if self.host is not None:
            crew.hear({"here"}, {"here": self.host.snapshot({})}, {})
        return crew

    def want(self, reference: str) -> None:
        """Notes it: a test opens models itself."""
        self.wanted.append(reference)
        self.roster.want(reference)

    def reload(self, config: Config) -> None:
        """Has the host go over to a config, to the end."""
        assert self.host is not None
        self.roster.begin_reload(config)
        self.host.shelf.reload(self.roster.config, self.roster.reload.token).join()
        self.status()

    def plugins_changed(self) -> None:
        """The host has the registry of the pages."""

    def ask(self, question: Question, png: Callable[[], bytes]) -> Any:
        """Answers at once; notes whether the picture had to be sent."""
        if self.host is None:
            raise Busy("The model is loading.")
        answer = self.host.answers.answer_now(question)
        if answer.unknown:
            self.sent.append(question.picture)
            answer = self.host.answers.answer_now(replace(question, png=png()))
        if answer.error is not None:
            raise answer.error
        return answer.value

    def partial(self, run: str) -> list[Packed]:
        """What a test put there."""
        return self.partials.get(run, [])
