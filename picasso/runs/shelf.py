"""The models that are open in a worker process: opened when first needed, kept within a memory limit, swapped while
they are in use.

A slot stands for one reference (see `catalogue`). Its model is closed only while nobody has it on loan; another may be
put in its place at any time, and a run keeps the one that it was lent until it ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from picasso.config import Config
from picasso.errors import ConfigError, ModelError, NotFound, PicassoError
from picasso.models.base import Model
from picasso.models.info import ModelInfo
from picasso.runs import memory, own_code
from picasso.runs.catalogue import Catalogue
from picasso.runs.watching import Looks, data_files, look, look_at_code, wait_until_written

log = logging.getLogger(__name__)
OF_ONE_OUTPUT = ("MODEL_LABELS", "MODEL_DECODE")  # settings that may not fit when another output is chosen
ModelStateName = Literal["closed", "loading", "ready", "failed"]
Opener = Callable[[Config, bool], Model]


@dataclass(frozen=True)
class ModelState:
    """How a worker's model is.

    Attributes:
        state: "closed" ones are opened when they are needed.
        info: as of when it was last open.
        error: why it could not be opened; with "ready", why the one in the newer file could not.
    """

    state: ModelStateName
    info: ModelInfo | None = None
    error: PicassoError | None = None


@dataclass(frozen=True)
class News:
    """What came of reading everything again: a sentence for each model, and the first error."""

    token: str = ""
    done: bool = True
    lines: tuple[str, ...] = ()
    error: PicassoError | None = None


@dataclass
class Slot:
    """One model's place. `seen` are its files as they were when it was opened."""

    reference: str
    config: Config
    model: Model | None = None
    info: ModelInfo | None = None
    error: PicassoError | None = None
    opening: bool = False
    users: int = 0
    used: float = 0.0
    seen: Looks = field(default_factory=dict)

    def changed(self) -> bool:
        """Whether its files are not what they were."""
        return look({*self.seen, *data_files(self.config)}) != self.seen

    def state(self) -> ModelState:
        """For pages."""
        if self.model is not None:
            return ModelState("ready", self.model.info, self.error)
        if self.opening:
            return ModelState("loading", self.info)
        return ModelState("failed" if self.error else "closed", self.info, self.error)


class Shelf:
    """The models of a config. Safe to use from several threads."""

    def __init__(self, config: Config, opener: Opener | None = None) -> None:
        """Opens nothing yet.

        Args:
            opener: opens the model of a config, and is told whether its output was chosen in the page.
        """
        self.news = News()
        self._opener = opener or open_with_fitting_labels
        self._config = config
        self._catalogue = Catalogue(config)
        self._slots: dict[str, Slot] = {}
        self._changed = threading.Condition(threading.RLock())  # over all slots
        self._opening = threading.Lock()  # one model at a time: each takes memory and all processors

    @property
    def config(self) -> Config:
        """The one whose models these are; another one after a reload."""
        return self._config

    def put(self, model: Model, reference: str = "") -> None:
        """Takes a model that is open already."""
        slot = self._slot(reference)
        slot.model, slot.info = model, model.info

    def states(self) -> dict[str, ModelState]:
        """How each model is that was ever asked for, by reference."""
        with self._changed:
            return {reference: slot.state() for reference, slot in self._slots.items()}

    def want(self, reference: str = "") -> threading.Thread | None:
        """Has a model opened in a thread, which is returned; None where it is open, or failed and has not changed.

        Raises:
            NotFound: there is no such model.
        """
        with self._changed:
            slot = self._slot(reference)
            if slot.opening or slot.model is not None or (slot.error is not None and not slot.changed()):
                return None
            slot.opening = True
        thread = threading.Thread(target=self._open_wanted, args=(slot,), name="open-model", daemon=True)
        thread.start()
        return thread

    @contextmanager
    def lend(self, reference: str, checkpoint: Callable[[], None]) -> Iterator[Model]:
        """A model while it is used; opened first, if it is not. `checkpoint` is called while that lasts and may raise.

        Raises:
            NotFound: there is no such model.
            PicassoError: it cannot be opened.
        """
        with self._changed:
            slot = self._slot(reference)
            while slot.model is None:  # it may be closed again before it is lent
                if not slot.opening and self.want(reference) is None and slot.error is not None:
                    raise slot.error
                checkpoint()
                self._changed.wait(0.2)
                slot = self._slot(reference)
            model = slot.model
            slot.users += 1
        try:
            yield model
        finally:
            with self._changed:
                slot.users -= 1
                slot.used = time.monotonic()

    def reload(self, config: Config, token: str) -> threading.Thread:
        """Goes over to another config, or to other files, in a thread; `news` says what came of it."""
        self.news = News(token, done=False)
        thread = threading.Thread(target=self._reload, args=(config, token), name="reload-models", daemon=True)
        thread.start()
        return thread

    def _slot(self, reference: str) -> Slot:
        with self._changed:
            reference = reference or self._catalogue.default
            if reference not in self._slots:
                self._slots[reference] = Slot(reference, self._catalogue.config(reference))
            return self._slots[reference]

    # Opening

    def _open_wanted(self, slot: Slot) -> None:
        with self._opening:
            if slot.opening:  # reading everything again may have opened it meanwhile
                self._open(slot)

    def _open(self, slot: Slot) -> None:
        """Opens a slot's model; where that fails, what was there stays in use. `_opening` is held."""
        self._make_room(slot)
        error: PicassoError | None = None
        began, seen = time.time(), look(data_files(slot.config))
        try:
            model = self._opener(slot.config, bool(self._output(slot)))
        except PicassoError as problem:
            error = problem
        except Exception as problem:
            log.exception("The model could not be opened")
            error = ModelError(f"The model could not be opened: {type(problem).__name__}: {problem}")
        with self._changed:
            slot.seen = seen | look_at_code(slot.config, began)
            slot.error, slot.opening = error, False
            if error is None:
                slot.model, slot.info, slot.used = model, model.info, time.monotonic()
            self._changed.notify_all()
        if error is None:  # makes first runs quicker and holds nobody up
            model.warm_up()
            slot.info = model.info

    def _output(self, slot: Slot) -> str:
        with suppress(NotFound):
            return self._catalogue.split(slot.reference)[1]
        return ""

    def _make_room(self, slot: Slot) -> None:
        """Closes what was not used for longest, until the newcomer fits or everything else is in use."""
        need, limit = memory.expected(slot.config), memory.memory_limit(self._config)
        while memory.used() + need > limit:
            memory.give_back()
            if memory.used() + need <= limit or not self._close_one(slot):
                return

    def _close_one(self, newcomer: Slot) -> bool:
        with self._changed:
            # One with an error is not closed: it could not be opened again from the file that there is now.
            idle = [slot for slot in self._slots.values() if slot.model and not slot.users and not slot.error]
            idle = [slot for slot in idle if slot is not newcomer]
            if not idle:
                return False
            oldest = min(idle, key=lambda slot: slot.used)
            oldest.model = None
            log.info("%s is closed: it was not used for longest, and memory is needed", oldest.reference)
            return True

    # Reading everything again

    def _reload(self, config: Config, token: str) -> None:
        lines: list[str] = []
        errors: list[PicassoError] = []
        try:
            with self._opening:
                self._adopt(config, lines, errors)
        except Exception as problem:
            log.exception("Reading the models again failed")
            errors.append(ModelError(f"Reading the models again failed: {type(problem).__name__}: {problem}"))
        if self.news.token == token:
            self.news = News(token, True, tuple(lines), errors[0] if errors else None)

    def _adopt(self, config: Config, lines: list[str], errors: list[PicassoError]) -> None:
        """Takes over a config, and opens anew what is open and has changed. `_opening` is held."""
        for old in (self._config, config):
            for model in old.models().values():
                own_code.forget(model)
        changed, failed = self._take_over(config, lines)
        for slot in (*changed, *failed):
            if slot.model is None and slot.error is None and not slot.opening:
                slot.info = None
                lines.append(f"{slot.config.model_name} has changed; it is opened when it is used next.")
                continue
            wait_until_written(slot.config)
            replaced = slot.model
            self._open(slot)
            lines.append(_what_came(slot, replaced))
            if slot.error is not None:
                slot.error = ModelError(lines[-1]) if replaced else slot.error
            del replaced
            memory.give_back()
        # What could not be opened before either is tried again, and decides only where nothing else has changed.
        errors += [slot.error for slot in changed or failed if slot.error is not None]

    def _take_over(self, config: Config, lines: list[str]) -> tuple[list[Slot], list[Slot]]:
        """Gives every slot its new config; returns those that are not what they were, and others that had failed."""
        after = Catalogue(config)
        changed: list[Slot] = []
        failed: list[Slot] = []
        with self._changed:
            for reference, slot in list(self._slots.items()):
                digest = after.digest(reference)
                if digest is None:
                    del self._slots[reference]  # a run that has its model keeps it
                    lines.append(f"{slot.config.model_name} is not in the config any more.")
                elif slot.config.model_digest() == digest and not slot.changed():
                    if slot.error is None:
                        lines.append(f"{slot.config.model_name} is unchanged.")
                    else:
                        failed.append(slot)
                else:
                    changed.append(slot)
                    slot.config = after.config(reference)
            before, self._config, self._catalogue = self._catalogue, config, after
            if after.default not in self._slots:
                changed.append(self._slot(after.default))
                changed[-1].opening = True
        new = [name for name in after.names[1:] if name not in before.names]
        lines += [f"{name} is new; it is opened when it is chosen." for name in new]
        return changed, failed


def open_with_fitting_labels(config: Config, chosen: bool) -> Model:
    """Opens a model; labels that belong to its other output are left out where the output was chosen in the page."""
    from picasso.models.opening import open_model  # TensorFlow comes with it

    try:
        return open_model(config)
    except ConfigError as error:
        if not chosen or error.field not in OF_ONE_OUTPUT:
            raise
    return open_model(config.model_copy(update=dict.fromkeys(OF_ONE_OUTPUT)))


def _what_came(slot: Slot, replaced: Model | None) -> str:
    if slot.error is None:
        assert slot.model is not None
        return f"{slot.model.info.name} was opened anew: {slot.model.info.file} of {_day(slot.model.info)}."
    if replaced is None:
        return f"{slot.config.model_name} cannot be used: {slot.error.message}"
    file = slot.config.MODEL_PATH.name if slot.config.MODEL_PATH else "model"
    return (
        f"The new {file} could not be opened: {slot.error.message} The {replaced.info.file} of {_day(replaced.info)} "
        "stays in use."
    )


def _day(info: ModelInfo) -> str:
    moment = datetime.fromtimestamp(info.modified).astimezone()
    return f"{moment.day} {moment:%b, %H:%M}"
