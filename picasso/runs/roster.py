"""The models as pages see them: which there are, how each is, what came of reading them again.

The engine's thread fills it from what the workers say; pages read it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from picasso.config import MODEL_AND_OUTPUT, Config
from picasso.errors import NotFound, PicassoError
from picasso.models.info import ModelInfo
from picasso.runs.catalogue import Catalogue, reference_to
from picasso.runs.shelf import ModelState, ModelStateName
from picasso.runs.worker import Snapshot

MODEL_KEYS = tuple(name for name in Config.model_fields if name.startswith("MODEL"))


@dataclass(frozen=True)
class Status:
    """A model as pages show it.

    Attributes:
        state: "loading", "ready", "failed", or "closed": open neither now nor soon, but when it is needed.
        info: as of when it was last open.
        error: why it failed; with "ready", why the model in the newer file is not the one in use.
        workers: how many worker processes there are.
    """

    state: ModelStateName
    info: ModelInfo | None = None
    error: PicassoError | None = None
    workers: int = 0


@dataclass(frozen=True)
class Choice:
    """A model, or one output of it, as it can be chosen."""

    reference: str
    label: str


@dataclass(frozen=True)
class Reload:
    """How reading config and models again goes: a sentence for each model, once `done`; `error` is the first one."""

    token: str = ""
    done: bool = True
    lines: tuple[str, ...] = ()
    error: PicassoError | None = None
    finished: float = 0.0


class Roster:
    """The models of a config. Safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.catalogue = Catalogue(config)
        self.reload = Reload(secrets.token_hex(8))
        self._statuses: dict[str, Status] = {}
        self._wanted: set[str] = set()
        self._lock = threading.RLock()

    @property
    def default(self) -> str:
        """The reference that is used unless one is chosen."""
        return self.catalogue.default

    def status(self, reference: str | None = None) -> Status:
        """How a model is.

        Raises:
            NotFound: there is no such model.
        """
        reference = reference or self.default
        self.catalogue.split(reference)
        with self._lock:
            found = self._heard(reference)
            awaited = reference in self._wanted and found.state == "closed"
            return replace(found, state="loading") if awaited else found

    def choices(self) -> list[Choice]:
        """All models, each followed by its other outputs as far as they are known."""
        found = []
        for name in self.catalogue.names:
            own = self.status(name).info
            label = own.name if own else self.catalogue.config(name).model_name
            outputs = own.outputs if own and len(own.outputs) > 1 else ()
            found.append(Choice(name, f"{label}: {own.output}" if own and outputs else label))
            found += [
                Choice(reference_to(name, output), f"{label}: {output}")
                for output in outputs
                if own and output != own.output
            ]
        return found

    def label(self, reference: str) -> str:
        """What pages call a model that is here, or was."""
        labels = {choice.reference: choice.label for choice in self.choices()}
        return labels.get(reference or self.default, reference.replace(MODEL_AND_OUTPUT, ": "))

    def offers(self, reference: str) -> bool:
        """Whether a reference can be chosen now."""
        return any(choice.reference == reference for choice in self.choices())

    def knows(self, reference: str) -> bool:
        """Whether a reference that was offered once still means something; outputs not known yet are believed."""
        try:
            name, output = self.catalogue.split(reference)
        except NotFound:
            return False
        own = self.status(name).info
        return not output or own is None or output in own.outputs

    def want(self, reference: str) -> None:
        """Notes that a model is to be opened; one that failed, if its files have changed."""
        if self.status(reference).state in ("closed", "failed"):
            with self._lock:
                self._wanted.add(reference)

    def wanted(self) -> list[str]:
        """What the workers are to open, and have not begun to; one that failed only once."""
        with self._lock:
            asked = sorted(one for one in self._wanted if self.knows(one))
            self._wanted = {one for one in self._wanted if self.knows(one) and self._heard(one).state == "closed"}
            return [one for one in asked if self._heard(one).state in ("closed", "failed")]

    def busy(self) -> bool:
        """Whether something will change soon."""
        with self._lock:
            states = {self._heard(one).state for one in (self.default, *self._statuses)}
        return bool(self._wanted) or not self.reload.done or "loading" in states

    def _heard(self, reference: str) -> Status:
        return self._statuses.get(reference, self._unheard(reference))

    def _unheard(self, reference: str) -> Status:
        """How a model is that no worker speaks of: the default one is opened by itself."""
        return Status("loading" if reference == self.default else "closed")

    def hear(self, snapshots: Sequence[Snapshot]) -> None:
        """Takes over what the workers say."""
        with self._lock:
            known = {self.default, *self._statuses, *(one for snapshot in snapshots for one in snapshot.models)}
            for reference in known:
                before = self._heard(reference)
                states = [snapshot.models[reference] for snapshot in snapshots if reference in snapshot.models]
                if self.catalogue.digest(reference) is None:
                    self._statuses.pop(reference, None)
                elif states:
                    self._statuses[reference] = _joined(states, before, len(snapshots))
                elif snapshots:  # no answer at all: busy for a moment
                    unheard = self._unheard(reference)
                    self._statuses[reference] = replace(unheard, info=before.info, workers=len(snapshots))
            self._hear_news(snapshots)

    def _hear_news(self, snapshots: Sequence[Snapshot]) -> None:
        news = [snapshot.news for snapshot in snapshots if snapshot.news.token == self.reload.token]
        if self.reload.done or not news or len(news) < len(snapshots) or not all(one.done for one in news):
            return
        error = next((one.error for one in news if one.error is not None), None)
        lines = tuple(dict.fromkeys(line for one in news for line in one.lines))
        open_somewhere = {reference for snapshot in snapshots for reference in snapshot.models}
        self._statuses = {one: status for one, status in self._statuses.items() if one in open_somewhere}
        self.end_reload(lines, error)

    def reached(self, error: PicassoError | None = None) -> None:
        """Whether the workers can be reached; `error` says why not."""
        with self._lock:
            self._statuses = {one: Status("failed", error=error) for one in (self.default, *self._statuses) if error}
        if error is not None and not self.reload.done:
            self.end_reload(error=error)

    def begin_reload(self, config: Config) -> None:
        """Goes over to the models of another config; its other settings hold after a restart only."""
        lines = []
        ours, theirs = dict(self.config), dict(config)
        other = [key for key in ours if key not in MODEL_KEYS and ours[key] != theirs[key]]
        if other:
            lines.append(f"Changed as well, and used when the server is started again: {', '.join(other)}.")
        with self._lock:
            self.config = self.config.model_copy(update={key: theirs[key] for key in MODEL_KEYS})
            self.catalogue = Catalogue(self.config)
            self.reload = Reload(secrets.token_hex(8), done=False, lines=tuple(lines))

    def end_reload(self, lines: Sequence[str] = (), error: PicassoError | None = None) -> None:
        """Says what came of it."""
        with self._lock:
            self.reload = replace(
                self.reload, done=True, lines=(*lines, *self.reload.lines), error=error, finished=time.time()
            )


def _joined(states: Sequence[ModelState], before: Status, workers: int) -> Status:
    """Ready as soon as one worker is; failed when all that were asked failed; loading until one answers."""
    found = {one.state: one for one in reversed(states)}
    for state in ("ready", "loading", "failed"):
        if state in found:
            info = found[state].info or (before.info if state != "ready" else None)
            return Status(state, info, found[state].error, workers)
    return Status("closed", found["closed"].info, None, workers)
