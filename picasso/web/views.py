"""What templates are given: plain objects with addresses in them, made from rows and manifests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from typing import Any

from flask import url_for

from picasso import __version__
from picasso.errors import InvalidSetting, NotFound, PicassoError
from picasso.images.colours import DIVERGING, SEQUENTIAL
from picasso.models.info import ModelInfo
from picasso.runs.artifacts import unpack
from picasso.runs.requests import file_of, so_far
from picasso.runs.run import Run, State, StoredImage, distinct_names
from picasso.visualizations.base import BaseVisualization, Settings
from picasso.visualizations.forms import form_fields
from picasso.web.plugins import author_sentence
from picasso.web.remaining import seconds_left
from picasso.web.services import chosen_model, model_status, services


@dataclass(frozen=True)
class InputView:
    """One image of a run, for templates: `filename` is text, `url` the original as PNG."""

    filename: str
    url: str
    width: int
    height: int
    notes: list[str]
    number: int

    def __getitem__(self, name: str) -> Any:
        """The plain form's way: `inputs[0]["filename"]`."""
        return getattr(self, name)


@dataclass(frozen=True)
class Card:
    """A visualization on the start page.

    Attributes:
        reason: why this model cannot do it.
        picture: the address of a picture of what it makes; None where it brings none.
        seconds: what it takes for a picture with the default settings, where that is known.
    """

    name: str
    title: str
    description: str
    reason: str | None
    picture: str | None
    seconds: float | None


@dataclass(frozen=True)
class View:
    """How maps are drawn, chosen in the page's address: the range and the colours."""

    range: str = "shared"
    unsigned: str = "inferno"
    signed: str = "coolwarm"

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> View:
        """Takes what is known; anything else counts as not said."""
        return cls(
            "own" if query.get("range") == "own" else "shared",
            query["unsigned"] if query.get("unsigned") in SEQUENTIAL else cls.unsigned,
            query["signed"] if query.get("signed") in DIVERGING else cls.signed,
        )


def app_state() -> dict[str, Any]:
    """The chosen model and the program, for every page: `state` is "loading", "ready" or "failed".

    A model that was closed to save memory counts as ready: it is opened when it is needed."""
    reference = chosen_model()
    status, roster = model_status(reference), services().engine.roster
    config, info = roster.catalogue.config(reference), status.info
    path = config.MODEL_PATH
    modified = info.modified if info else path.stat().st_mtime if path and path.exists() else None
    return {
        "state": "ready" if status.state == "closed" else status.state,
        "error": status.error.message if status.error else None,
        "model": info.name if info else config.model_name,
        "reference": reference,
        "label": roster.label(reference),
        "choices": roster.choices(),
        "file": path.name if path else None,
        "modified": modified,
        "framework": info.framework if info else config.MODEL_FRAMEWORK,
        "info": info,
        "version": __version__,
    }


def cards() -> list[Card]:
    """All visualizations, with the reason where the model cannot do one."""
    info = model_status(chosen_model()).info
    return [_card(cls, info) for cls in services().registry.visualizations.values()]


def _card(cls: type[BaseVisualization], info: ModelInfo | None) -> Card:
    try:
        reason = cls.unsupported_reason(info) if info else None
        seconds = None if reason else expected(cls, {}, info, 1)
    except Exception as error:  # of its author: the other cards are shown
        reason, seconds = author_sentence(error), None
    version = int(cls.picture.stat().st_mtime) if cls.picture and cls.picture.is_file() else None
    picture = url_for("pages.card_picture", name=cls.name, v=version) if version else None
    return Card(cls.name, cls.title, cls.description, reason, picture, seconds)


def expected(
    visualization: type[BaseVisualization], settings: Mapping[str, Any], info: ModelInfo | None, images: int
) -> float | None:
    """Seconds that a run of so many images should take; None where that is not known."""
    try:
        cost = visualization.cost(visualization.parse_settings(settings, info), info) if info else None
    except PicassoError:
        return None
    return cost.seconds * images if cost and cost.seconds else None


def input_views(images: list[StoredImage]) -> list[InputView]:
    """The images of a run."""
    return [
        InputView(
            name,
            url_for("pages.image", image=image.id),
            image.width,
            image.height,
            image.notes,
            number,
        )
        for number, (name, image) in enumerate(zip(distinct_names(images), images, strict=True))
    ]


def result_context(run: Run, view: View) -> dict[str, Any]:
    """Everything that a visualization's template gets.

    Raises:
        NotFound: the visualization is not there any more.
    """
    store, roster = services().store, services().engine.roster
    visualization = services().registry.get(run.visualization)
    images = [store.image(run.session, image) for image in run.images]
    manifest = store.manifest(run) if run.state is State.DONE else None
    if run.state is State.DONE and manifest is None:
        raise NotFound("The files of this run are gone. Run it again.")
    failed = failures(manifest)
    there = [image.id not in failed for image in images]
    return {
        "run": run,
        "inputs": list(compress(input_views(images), there)),
        "results": list(compress(results_of(run, manifest), there)),
        "failed": list(failed.values()),
        "settings": settings_of(visualization, run.settings),
        "fields": form_fields(visualization, run.settings, info_of(run)),
        "current_vis": visualization,
        "reference_link": visualization.reference_link,
        "duration": manifest["seconds"] if manifest else None,
        "manifest": manifest,
        "goes_on": _goes_on(run, visualization, manifest["settings"]) if manifest else [],
        "run_model": run_model(run, manifest),
        "model_field": {"model": run.model} if len(roster.choices()) > 1 and roster.offers(run.model) else {},
        "view": view,
        "ahead": store.runs_ahead(run) if run.state is State.QUEUED else 0,
        "left": _left(run, visualization),
    }


def failures(manifest: Mapping[str, Any] | None) -> Mapping[str, str]:
    """For which images a run has no result, and why, by their ids."""
    return manifest.get("failed") or {} if manifest else {}


def results_of(run: Run, manifest: Mapping[str, Any] | None) -> list[Any]:
    """A run's results with an `Artifact` for each file; without a manifest, what is there already.

    None stands for that of an image that is among the run's `failures`."""
    contents = manifest["results"] if manifest else [packed.content for packed in so_far(services().engine, run)]
    return [unpack(content, _url(run), _reader(run)) for content in contents]


def _left(run: Run, visualization: type[BaseVisualization]) -> float | None:
    """Seconds that a run still takes, about; None where that is not known."""
    if run.state is not State.RUNNING or run.started is None:
        return None
    estimate = expected(visualization, run.settings, info_of(run), len(run.images))
    return seconds_left(run.progress, max(0.0, time.time() - run.started), estimate)


def info_of(run: Run) -> ModelInfo | None:
    """What is known of a run's model now."""
    roster = services().engine.roster
    reference = run.model or roster.default
    return services().engine.status(reference).info if roster.knows(reference) else None


def _goes_on(
    run: Run, visualization: type[BaseVisualization], settings: Mapping[str, Any]
) -> list[tuple[type[BaseVisualization], dict[str, Any]]]:
    """Visualizations that go on from this result, each with its settings."""
    info = info_of(run)
    found = []
    for other in services().registry.visualizations.values():
        try:
            values = other.goes_on_from(visualization, settings, info)
        except Exception as error:
            author_sentence(error)
            continue
        if values is not None:
            found.append((other, values))
    return found


@dataclass(frozen=True)
class RunModel:
    """The model of a run: `notice` says how it differs from the chosen one; `error` why it cannot be used."""

    label: str
    notice: str = ""
    error: str = ""


def run_model(run: Run, manifest: Mapping[str, Any] | None) -> RunModel:
    """How a run's model stands to the one in the header."""
    roster = services().engine.roster
    reference = run.model or roster.default
    label, chosen = roster.label(reference), chosen_model()
    status = services().engine.status(reference) if roster.knows(reference) else None
    error = status.error.message if status and status.error and status.state == "failed" else ""
    made_by = manifest["model"] if manifest else None
    name = made_by["name"] if made_by else label
    if reference != chosen:
        return RunModel(label, f"This run is of another model than the one above: {label}.", error)
    info = status.info if status else None
    if made_by and info and (made_by["fingerprint"], made_by["functions"]) != (info.fingerprint, info.functions):
        notice = f"This result is of another model than the one above: {name} ({made_by['file']})."
        return RunModel(label, notice, error)
    return RunModel(label, "", error)


def run_labels(run: Run) -> list[str]:
    """The labels of all classes, of the model that made a run or is about to.

    Raises:
        NotFound: they are not known.
    """
    manifest = services().store.manifest(run)
    if manifest and "labels" in manifest:
        return list(manifest["labels"])
    roster = services().engine.roster
    reference = run.model or roster.default
    info = services().engine.status(reference).info if roster.knows(reference) else None
    if info is None or (manifest and manifest["model"]["fingerprint"] != info.fingerprint):
        raise NotFound("The labels of the model that made this run are not known any more. Run it again.")
    return list(info.labels)


def settings_of(
    visualization: type[BaseVisualization], values: Mapping[str, Any]
) -> Settings | Mapping[str, Any] | None:
    """The settings of a run as its visualization declares them; as they were, if its declaration changed since."""
    if visualization.settings is None:
        return None
    try:
        return visualization.parse_settings(values)
    except InvalidSetting:
        return values


def _url(run: Run) -> Any:
    # A partial result changes under the same name; its address says how far the run was.
    version: dict[str, Any] = {} if run.state.finished else {"v": int(run.progress * 1_000_000)}
    return lambda name: url_for("pages.file_of_run", run=run.id, name=name, **version)


def _reader(run: Run) -> Any:
    return lambda name: run_file(run, name)


def run_file(run: Run, name: str) -> bytes:
    """A file of a run's results, or of its partial results while it is under way.

    Raises:
        NotFound: there is no such file.
    """
    return file_of(services().store, services().engine, run, name)
