"""Asking for runs, and for what they gave: the same for pages and for programs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from picasso.errors import Busy, InvalidSetting, NotFound, NotSupported, TooMany
from picasso.models.info import ModelInfo
from picasso.runs.artifacts import Packed
from picasso.runs.budget import check_budget
from picasso.runs.interface import Engine
from picasso.runs.keys import run_key
from picasso.runs.roster import Status
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.visualizations.base import BaseVisualization, Settings

SEED = 0
SEEDS = 2**32  # so many does NumPy take
SEED_SETTING = "seed"
_asking = threading.Lock()  # two equal requests at once are one run


def how_is(engine: Engine, reference: str) -> Status:
    """How a model is; has it opened if nothing is known of it yet."""
    status = engine.status(reference)
    if status.state == "closed" and status.info is None:
        engine.want(reference)
        return engine.status(reference)
    return status


def check(
    visualization: type[BaseVisualization],
    values: Mapping[str, Any],
    info: ModelInfo | None,
    *,
    strict: bool = False,
    seed: int | None = None,
) -> Settings:
    """Settings checked against the declaration and, once it is known, the model.

    Args:
        strict: text is not taken for a number.
        seed: of the run, if one was asked for; it is the setting's where there is one.

    Raises:
        NotSupported: the model cannot do this visualization.
        InvalidSetting: names the setting, the rule, the value.
    """
    reason = visualization.unsupported_reason(info) if info else None
    if reason:
        raise NotSupported(reason)
    if seed is not None and _has_seed(visualization.settings_model):
        values = {SEED_SETTING: seed, **values}
    settings = visualization.parse_settings(values, info, strict=strict)
    if seed not in (None, seed_of(settings, seed)):
        raise InvalidSetting(
            f"The seed is {seed}, but the setting 'seed' is {seed_of(settings)}: give one of them.", field=SEED_SETTING
        )
    return settings


def seed_of(settings: Settings, seed: int | None = None) -> int:
    """What chance begins with: the setting's seed where there is one, else the run's, if one was asked for."""
    if _has_seed(type(settings)):
        return int(getattr(settings, SEED_SETTING)) % SEEDS
    return SEED if seed is None else seed


def _has_seed(settings: type[Settings]) -> bool:
    """Whether a visualization has a setting for the seed; a choice of texts of that name is something else."""
    field = settings.model_fields.get(SEED_SETTING)
    return field is not None and field.annotation is int


def afford(engine: Engine, visualization: type[BaseVisualization], settings: Settings, model: str, images: int) -> None:
    """Refuses a run that would be too much work, as far as it is known; the worker, which knows, asks once more.

    Raises:
        OverBudget: with what it would take.
    """
    info = how_is(engine, model).info
    if info is not None:
        check_budget(engine.roster.config, visualization, settings, info, images)


def check_room(store: Store, engine: Engine, session: str, more: int = 1) -> None:
    """Refuses so many more runs where they would be too many at once.

    Raises:
        TooMany: the session has as many under way as one may.
        Busy: all sessions together have as many as the server takes.
    """
    own, all_of_them = store.count_unfinished(session)
    config = engine.roster.config
    if own + more > config.SESSION_MAX_UNFINISHED_RUNS:
        raise TooMany(
            f"{own} of your runs are waiting or under way, and {config.SESSION_MAX_UNFINISHED_RUNS} is the most that "
            "one visitor may have. Wait until some have ended, or cancel those that are not needed."
        )
    if all_of_them + more > config.MAX_UNFINISHED_RUNS:
        raise Busy(f"{all_of_them} runs are waiting on this server, which takes no more now. Try again in a while.")


def ask(
    store: Store,
    engine: Engine,
    session: str,
    visualization: type[BaseVisualization],
    settings: Settings,
    images: Sequence[str],
    model: str,
    seed: int | None = None,
) -> Run:
    """The run that has that answer, or will have it; a new one where there is none.

    Args:
        settings: checked.
        images: ids of the session's images, each once.
        model: its reference.
        seed: what chance begins with where no setting says it; 0 unless given.

    Raises:
        NotFound: there is no such image in this session.
        OverBudget: it would be too much work.
        TooMany, Busy: too many runs wait already.
    """
    seed = seed_of(settings, seed)
    found = [store.image(session, image) for image in images]
    afford(engine, visualization, settings, model, len(found))
    info = how_is(engine, model).info
    # While the model loads, its defaults are not known: the worker adds them.
    content = settings.model_dump(mode="json", exclude_unset=info is None)
    key = run_key(info, visualization, visualization.digest, content, found, seed)
    with _asking:
        known = store.run_of_key(session, key) if key else None
        if known is not None and (known.state is not State.DONE or store.manifest(known)):
            return known
        check_room(store, engine, session)
        digest = engine.roster.catalogue.digest(model) or ""
        run = store.add_run(session, visualization.name, content, list(images), key, seed, model, digest)
    engine.wake()
    return run


def ask_again(store: Store, engine: Engine, run: Run, visualization: type[BaseVisualization], model: str) -> Run:
    """A new run that is like a finished one.

    Raises:
        NotSupported, InvalidSetting: another model, which cannot do that.
        OverBudget: it would be too much work.
        TooMany, Busy: too many runs wait already.
    """
    settings = check(visualization, run.settings, how_is(engine, model).info)
    afford(engine, visualization, settings, model, len(run.images))
    check_room(store, engine, run.session)
    digest = engine.roster.catalogue.digest(model) or ""
    key = run.key if run.digest == digest else None  # made when it is done
    new = store.add_run(run.session, run.visualization, run.settings, run.images, key, run.seed, model, digest)
    engine.wake()
    return new


def so_far(engine: Engine, run: Run) -> list[Packed]:
    """The partial results of a run that is under way; of one that ended otherwise than done nothing is kept."""
    return [] if run.state.finished else engine.partial(run.id)


def file_of(store: Store, engine: Engine, run: Run, name: str) -> bytes:
    """A file of a run's results, or of its partial results while it is under way.

    Raises:
        NotFound: there is no such file.
    """
    if run.state is State.DONE:
        return store.artifact(run, name)
    for packed in so_far(engine, run):
        if name in packed.files:
            return packed.files[name]
    with suppress(NotFound):
        return store.artifact(run, name)  # it has ended since it was asked about
    raise NotFound("This run has no such file yet.")
