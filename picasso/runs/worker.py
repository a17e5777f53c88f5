"""What happens in a worker process: it keeps models open and warm, and executes runs.

The web process talks to it through seven functions: `setup` (by a Dask worker plugin), `execute` (a Dask task), and
`snapshot`, `want`, `cancel`, `stop` and `answer`, which run beside the task and must return at once; but for `answer`,
which is awaited.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from PIL import Image

from picasso import logs
from picasso.config import Config
from picasso.errors import Busy, Cancelled, ModelError, NotFinite, NotFound, PicassoError, PluginError
from picasso.models.base import Model
from picasso.runs import memory
from picasso.runs.artifacts import Packed, pack
from picasso.runs.budget import check_budget
from picasso.runs.looking import Outcome, failure, look, look_at_each
from picasso.runs.questions import Answer, Answers, Question
from picasso.runs.shelf import ModelState, News, Shelf
from picasso.visualizations import changes
from picasso.visualizations.base import Input
from picasso.visualizations.discovery import Registry, discover

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A run on its way to a worker: everything it needs, no paths. `images` are (file name, PNG bytes).

    `model` is a reference; "" is the default."""

    run: str
    visualization: str
    settings: dict[str, Any]
    images: tuple[tuple[str, bytes], ...] = field(repr=False)  # Dask writes into its log what it cannot compute
    seed: int
    model: str = ""


@dataclass
class Progress:
    """A run under way. `results` are what is there already; `packed` remembers those already sent."""

    fraction: float = 0.0
    message: str = ""
    results: Sequence[Any] = ()
    packed: dict[int, tuple[Any, int]] = field(default_factory=dict)  # index -> (the result, its version)

    def report(self, fraction: float, message: str, partial: Sequence[Any] | None) -> None:
        """Takes over what a visualization says."""
        self.fraction = min(1.0, max(0.0, fraction))
        self.message = message
        if partial is not None:
            self.results = list(partial)

    def changed(self, seen: dict[int, int]) -> dict[int, tuple[int, Packed]]:
        """Results newer than the versions in `seen`, by index, each with its version."""
        new = {}
        for index, result in enumerate(self.results):
            known, version = self.packed.get(index, (None, 0))
            if known is not result:
                version += 1
                self.packed[index] = (result, version)
            if seen.get(index) != version:
                with suppress(PluginError):  # the run itself will say so when it ends
                    new[index] = (version, pack(result, str(index)))
        return new


@dataclass(frozen=True)
class Snapshot:
    """How a worker is doing: its models by reference, what came of the last reading again, its runs, its bytes."""

    pid: int
    models: dict[str, ModelState]
    news: News
    runs: dict[str, tuple[float, str, dict[int, tuple[int, Packed]]]]
    memory: int = 0


class Host:
    """One per worker process: the models, the visualizations, and the runs under way."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.registry: Registry | None = None
        self.shelf = Shelf(config)
        self.answers = Answers(self.shelf.lend)
        self.runs: dict[str, Progress] = {}
        self.one_at_a_time = threading.Lock()  # two servers may share a cluster, and a model has one checkpoint
        self.cancelled: set[str] = set()
        self.enough: set[str] = set()  # runs that are to return what they have
        self.plugins = 0  # how often the visualizations in folders had changed when this process was told last
        self._read = 0  # and when it read them last
        self._discovering = threading.Lock()

    def load(self) -> None:
        """Finds the visualizations and opens the default model; an error is kept for those who need the model."""
        self.visualizations()
        thread = self.shelf.want()
        if thread is not None:
            thread.join()

    def visualizations(self) -> Registry:
        """The visualizations, found when first asked for, and again after they have changed."""
        with self._discovering:
            news, folders = self._read != self.plugins, self.config.VISUALIZATION_FOLDERS
            self._read = self.plugins
            if self.registry is None:
                self.registry = discover(folders)
            elif news:
                self.registry = changes.read_again(folders, self.registry)
            return self.registry

    def execute(self, job: Job) -> Outcome:
        """Runs a visualization; an error comes back inside the outcome, so that the worker stays well."""
        with logs.about(run=job.run), logs.hiding(name for name, _ in job.images):
            return self._answered(job)

    def _answered(self, job: Job) -> Outcome:
        log.info("Run begins")
        progress = self.runs[job.run] = Progress()
        try:
            with self.one_at_a_time:
                return self._execute(job, progress)
        except PicassoError as error:
            return Outcome(error=error)
        except (Exception, SystemExit) as error:
            log.exception("Run failed")
            return Outcome(error=self._blamed(job.visualization, error))
        finally:
            del self.runs[job.run]
            self.cancelled.discard(job.run)
            self.enough.discard(job.run)

    def _execute(self, job: Job, progress: Progress) -> Outcome:
        def checkpoint() -> None:
            if job.run in self.cancelled:
                raise Cancelled("The run was cancelled.")

        progress.message = "Waiting for the model"
        with self.shelf.lend(job.model, checkpoint) as model:
            progress.message = "Looking"
            checkpoint()
            return self._look(job, model, checkpoint, progress)

    def _look(self, job: Job, model: Model, checkpoint: Callable[[], None], progress: Progress) -> Outcome:
        found = self.visualizations().get(job.visualization)
        visualization = found(model, progress.report, lambda: job.run in self.enough)
        settings = visualization.parse_settings(job.settings, model.info)
        check_budget(self.shelf.config, found, settings, model.info, len(job.images))
        inputs = [Input(name, _open(png)) for name, png in job.images]
        try:
            outcome = look(visualization, settings, inputs, job.seed, checkpoint)
        except NotFinite:
            if len(inputs) == 1:
                raise
            outcome = look_at_each(visualization, settings, inputs, job.seed, checkpoint)
        return replace(outcome, stopped=progress.fraction) if visualization.stopped else outcome

    def _blamed(self, name: str, error: BaseException) -> PicassoError:
        """What is said of an error in a visualization's own code."""
        found = self.visualizations().visualizations.get(name)
        return failure(name, found.file if found else None, error, __file__, source=self.config.RELOAD_PLUGINS)

    def snapshot(self, seen: dict[str, dict[int, int]]) -> Snapshot:
        """How this worker is doing; `seen` has, by run and result, the versions that the asker already has."""
        runs = {
            run: (progress.fraction, progress.message, progress.changed(seen.get(run, {})))
            for run, progress in list(self.runs.items())
        }
        return Snapshot(os.getpid(), self.shelf.states(), self.shelf.news, runs, memory.used())


def _open(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png), formats=["PNG"])
    image.load()
    return image


_host: Host | None = None


def setup(config: Config, token: str = "", plugins: int = 0) -> None:
    """Makes this process a worker for `config`, or has it go over to that; models are opened in a thread.

    Args:
        config: with paths that hold in this process.
        token: what `News` of going over is known by.
        plugins: how often the visualizations in folders have changed.
    """
    global _host
    if _host is not None:
        _host.plugins = plugins
        if _host.shelf.news.token != token:  # the same is sent again when another worker did not answer
            _host.shelf.reload(config, token)
        return
    _host = Host(config)
    _host.plugins = plugins
    _host.shelf.news = News(token)
    threading.Thread(target=_host.load, name="load-model", daemon=True).start()


def want(reference: str) -> None:
    """Has a model opened; one that there is not will be said by the run that needs it."""
    if _host is not None:
        with suppress(NotFound):
            _host.shelf.want(reference)


def execute(job: Job) -> Outcome:
    """A Dask task: executes one run."""
    if _host is None:
        return Outcome(error=ModelError("This worker was not set up by Picasso."))
    return _host.execute(job)


def snapshot(seen: dict[str, dict[int, int]]) -> Snapshot | None:
    """How this worker is doing; None before `setup`."""
    return None if _host is None else _host.snapshot(seen)


def cancel(run: str) -> None:
    """Asks a run to stop at its next checkpoint."""
    if _host is not None and run in _host.runs:  # it is asked again until the run has ended
        _host.cancelled.add(run)


def stop(run: str) -> None:
    """Asks a run to end with what it has."""
    if _host is not None and run in _host.runs:
        _host.enough.add(run)


async def answer(question: Question) -> Answer:
    """Answers a question that somebody asks by hand."""
    if _host is None:
        return Answer(error=Busy("The worker process is starting. It is asked again."))
    return await _host.answers.answer(question)
