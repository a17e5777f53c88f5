"""Runs: starting them, how they are, ending them, and what they gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from apiflask import FileSchema
from flask import Response, send_file, url_for

from picasso.api.about import reference_of, visualization_of
from picasso.api.blueprint import blueprint, concerning
from picasso.api.once import once
from picasso.api.results import artifact_bytes, bundled, found_by, shown
from picasso.api.schemas import (
    CostShown,
    Drawing,
    Page,
    Problem,
    Result,
    RunAsked,
    Runs,
    RunShort,
    RunShown,
    RunStarted,
)
from picasso.api.visitors import NEEDS_A_SESSION, own_session, token
from picasso.errors import Conflict, InvalidSetting, PicassoError
from picasso.models.info import ModelInfo
from picasso.runs.requests import ask, check, file_of, how_is
from picasso.runs.run import Run, State
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.classes import BETWEEN, NAMED, NUMBER, named_classes, split
from picasso.web.services import services
from picasso.web.views import failures

OF_A_RUN = {
    name: {"operationId": operation, "parameters": {"run": "$response.body#/id"}}
    for name, operation in {"Read": "run", "Bundle": "bundle", "Delete": "delete_run"}.items()
}
OF_A_RESULT = {
    "Artifact": {
        "operationId": "artifact",
        "parameters": {
            "run": "$response.body#/id",
            "number": "$response.body#/results/0/number",
            "name": "$response.body#/results/0/artifacts/0/name",
        },
    }
}


@blueprint.post("/runs")
@once
@blueprint.input(RunAsked, location="json")
@blueprint.output(RunStarted, 202, links=OF_A_RUN)
@blueprint.doc(operation_id="start_run", security=NEEDS_A_SESSION)
def start_run(json_data: RunAsked) -> tuple[RunStarted, int, dict[str, str]]:
    """Starts a run, or gives the one of this session that has the same answer."""
    session = own_session()
    visualization = visualization_of(json_data.visualization)
    for number, image in enumerate(json_data.images):
        with concerning(f"images.{number}"):
            services().store.image(session, image)
    images = list(dict.fromkeys(json_data.images))
    model = reference_of(json_data.model)
    values = with_classes(visualization, json_data.settings, json_data.classes, how_is(services().engine, model).info)
    seed = json_data.seed if "seed" in json_data.model_fields_set else None
    return started(visualization, values, images, model, session, seed, strict=True)


def with_classes(
    visualization: type[BaseVisualization],
    settings: Mapping[str, Any],
    classes: int | Sequence[str | int],
    info: ModelInfo | None,
) -> dict[str, Any]:
    """Settings with what a request says of the classes beside them: how many, 0 for nothing, or which.

    Raises:
        InvalidSetting: the model has no such class, or several; the visualization is not asked about classes by name.
    """
    if not classes:
        return dict(settings)
    name = "classes" if isinstance(classes, int) else NAMED
    value = classes if isinstance(classes, int) else _as_named(visualization, classes, info)
    if settings.get(name, value) != value:
        raise InvalidSetting(f"'{name}' stands in the settings too, with another value.", field="classes")
    return {**settings, name: value}


def _as_named(visualization: type[BaseVisualization], classes: Sequence[str | int], info: ModelInfo | None) -> str:
    """The value of the setting that names classes."""
    if NAMED not in visualization.settings_model.model_fields:
        raise InvalidSetting(f"{visualization.title} cannot be asked about a class by its name.", field="classes")
    texts = [one if isinstance(one, str) else f"{NUMBER}{one}" for one in classes]
    value = f"{BETWEEN} ".join(texts)
    if not all(map(split, texts)):
        raise InvalidSetting(f"Each of 'classes' should be a name or number, got {value[:80]!r}.", field="classes")
    if info is not None:
        with concerning("classes"):
            named_classes(value, info.labels)
    return value


def started(
    visualization: type[BaseVisualization],
    values: dict[str, Any],
    images: list[str],
    model: str,
    session: str,
    seed: int | None = None,
    *,
    strict: bool,
) -> tuple[RunStarted, int, dict[str, str]]:
    """The answer to a request for a run. `strict`: text is not taken for a number."""
    settings = check(visualization, values, how_is(services().engine, model).info, strict=strict, seed=seed)
    run = ask(services().store, services().engine, session, visualization, settings, images, model, seed)
    run = services().store.run(session, run.id)  # it may have begun
    body = RunStarted(**_whole(run), session=token(session))
    return body, 202, {"Location": url_for("api.run", run=run.id)}


@blueprint.get("/runs")
@blueprint.input(Page, location="query")
@blueprint.output(Runs)
@blueprint.doc(operation_id="runs", security=NEEDS_A_SESSION)
def runs(query_data: Page) -> Runs:
    """The session's runs, newest first."""
    found = services().store.runs_page(own_session(), query_data.limit + 1, query_data.before)
    page, more = found[: query_data.limit], found[query_data.limit :]
    following = url_for("api.runs", limit=query_data.limit, before=repr(page[-1].created)) if more else None
    return Runs(runs=[RunShort(**_facts(run)) for run in page], next=following)


@blueprint.get("/runs/<run>")
@blueprint.output(RunShown, links=OF_A_RESULT)
@blueprint.doc(operation_id="run", security=NEEDS_A_SESSION)
def run(run: str) -> RunShown:
    """How a run is, and what it gave."""
    return RunShown(**_whole(_own(run)))


@blueprint.delete("/runs/<run>")
@blueprint.output(RunShown, description="It was under way, and is cancelled. Delete it once more to forget it.")
@blueprint.doc(
    operation_id="delete_run", security=NEEDS_A_SESSION, responses={204: "It was finished, and is gone with its files."}
)
def delete_run(run: str) -> RunShown | Response:
    """Cancels a run that is under way, and deletes one that is finished."""
    found = _own(run)
    if services().engine.cancel(found):
        return RunShown(**_whole(_own(run)))
    services().store.delete_run(found)
    return Response(status=204)


@blueprint.get("/runs/<run>/results/<number>/<name>")
@blueprint.input(Drawing, location="query")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="application/octet-stream")
@blueprint.doc(operation_id="artifact", security=NEEDS_A_SESSION)
def artifact(run: str, number: str, name: str, query_data: Drawing) -> Response:
    """A file of a result, by its name: an array as .npy, never pickled, or a picture.

    With .png in the place of .npy, a map (height, width) is drawn over what the model saw.
    """
    return _file(name, artifact_bytes(_own(run), number, name, query_data))


@blueprint.get("/runs/<run>/outputs/<name>")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/png")
@blueprint.doc(operation_id="output", security=NEEDS_A_SESSION)
def output(run: str, name: str) -> Response:
    """A picture that the visualization wrote to its output folder."""
    return _file("output.png", file_of(services().store, services().engine, _own(run), f"output.{name}"))


@blueprint.get("/runs/<run>/bundle.zip")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="application/zip")
@blueprint.doc(operation_id="bundle", security=NEEDS_A_SESSION, responses=[409])
def bundle(run: str) -> Response:
    """A finished run as one archive: the manifest, its images, all its files."""
    found = _own(run)
    if found.state is not State.DONE:
        raise Conflict(f"This run is {found.state}. Only one that is done has results to keep.")
    headers = {"Content-Disposition": f'attachment; filename="{found.visualization}-{found.id[:8]}.zip"'}
    return Response(bundled(found), mimetype="application/zip", headers=headers)


def _own(run: str) -> Run:
    return services().store.run(own_session(), run)


def _file(name: str, data: bytes) -> Response:
    kind = "image/png" if name.endswith(".png") else "application/octet-stream"
    return send_file(BytesIO(data), mimetype=kind, as_attachment=kind != "image/png", download_name=name)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "url": url_for("api.run", run=run.id),
        "visualization": run.visualization,
        "model": run.model or services().engine.roster.default,
        "settings": run.settings,
        "images": run.images,
        "seed": run.seed,
        "state": run.state,
        "progress": run.progress,
        "message": run.message,
        "error": Problem(code=run.error_code or run.state, message=run.error, field=None) if run.error else None,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
    }


def _whole(run: Run) -> dict[str, Any]:
    manifest = (services().store.manifest(run) if run.state is State.DONE else None) or {}
    return _facts(run) | {
        "ahead": services().store.runs_ahead(run) if run.state is State.QUEUED else 0,
        "cost": _cost(run),
        "seconds": manifest.get("seconds"),
        "stopped": manifest.get("stopped"),
        "results": _results(run, manifest) if manifest or not run.state.finished else [],
        "outputs": {name: url_for("api.output", run=run.id, name=name) for name in manifest.get("outputs", [])},
        "bundle": url_for("api.bundle", run=run.id) if manifest else None,
    }


def _results(run: Run, manifest: Mapping[str, Any]) -> list[Result]:
    failed = failures(manifest)
    return [shown(run, found, failed) for found in found_by(run)]


def _cost(run: Run) -> CostShown | None:
    """What the run was estimated to take; None where that is not known."""
    visualization = services().registry.visualizations.get(run.visualization)
    roster = services().engine.roster
    info = services().engine.status(run.model).info if roster.knows(run.model) else None
    if visualization is None or info is None:
        return None
    try:
        cost = visualization.cost(visualization.parse_settings(run.settings, info), info)
    except PicassoError:  # made with another version of the visualization, or of the model
        return None
    return CostShown(what=f"{cost.what} for each image", seconds=cost.seconds * len(run.images)) if cost else None
