"""An explanation in one call: image in, explanation out, nothing kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, request
from werkzeug.http import parse_options_header

from picasso.api.about import reference_of, visualization_of
from picasso.api.blueprint import blueprint, concerning
from picasso.api.once import once
from picasso.api.results import bundled, found_by, inline, inline_outputs
from picasso.api.runs import started, with_classes
from picasso.api.schemas import Explanation, PreferHeaders, ToExplain
from picasso.api.visitors import MAY_HAVE_A_SESSION, own_or_new_session, visitor
from picasso.errors import Busy, Cancelled, InvalidRequest, TookTooLong, kind_of
from picasso.models.info import ModelInfo
from picasso.runs.requests import ask, check, how_is
from picasso.runs.run import Run, State
from picasso.visualizations.base import BaseVisualization
from picasso.web.choosing import settings_values, several_settings
from picasso.web.services import forget_session, services

BESIDE: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It became a run",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RunStarted"}}},
    },
    503: {"description": "Too many such calls at once"},
    504: {"description": "It took too long"},
}
AT_ONCE = 4  # calls that are waited for: each holds one of the server's threads
LOOK_SECONDS = 0.05
_places = threading.BoundedSemaphore(AT_ONCE)


@blueprint.post("/explain")
@once
@blueprint.input(PreferHeaders, location="headers")
@blueprint.input(ToExplain, location="files")
@blueprint.output(Explanation)
@blueprint.doc(
    operation_id="explain",
    responses=BESIDE,
    security=MAY_HAVE_A_SESSION,
)
def explain(files_data: ToExplain, headers_data: PreferHeaders) -> Any:
    """Explains an image and keeps nothing; with `Accept: application/zip`, the answer is an archive as of a run.

    With `Prefer: respond-async` it becomes a run of a session, which is made if the request names none.
    """
    visualization = visualization_of(files_data.visualization)
    model = reference_of(files_data.model)
    _refuse_repeated({"classes", *several_settings(visualization)})
    values = _settings(visualization, how_is(services().engine, model).info)
    check(visualization, values, how_is(services().engine, model).info)  # before the image is read
    if "respond-async" in _preferences(headers_data.prefer):
        return _as_run(visualization, values, model, files_data)
    with _waited_for(visualization, values, model, files_data) as run:
        if request.accept_mimetypes.best_match(["application/json", "application/zip"]) == "application/zip":
            return Response(b"".join(bundled(run)), mimetype="application/zip")
        return Explanation(
            visualization=run.visualization,
            model=model,
            settings=run.settings,
            seconds=(run.finished or 0) - (run.started or 0),
            results=[inline(run, found) for found in found_by(run)],
            outputs=inline_outputs(run),
        )


def _refuse_repeated(several: Container[str]) -> None:
    """All fields but these stand there once: which of two values is meant, nobody knows."""
    for given in (request.form, request.files):
        for name in given:
            if name not in several and len(given.getlist(name)) > 1:
                raise InvalidRequest(f"'{name[:80]}' should be there once.", field=name[:80])


def _settings(visualization: type[BaseVisualization], info: ModelInfo | None) -> dict[str, Any]:
    """The form's settings; what is not a number of classes names some."""
    values: dict[str, Any] = settings_values(visualization, request.form)
    classes = request.form.getlist("classes")
    if len(classes) == 1 and classes[0].strip().isdecimal():
        return values
    values.pop("classes", None)
    return with_classes(visualization, values, classes, info)


def _preferences(header: str) -> set[str]:
    return {parse_options_header(part)[0].strip().lower() for part in header.split(",")}


def _as_run(
    visualization: type[BaseVisualization], values: dict[str, Any], model: str, asked: ToExplain
) -> tuple[Any, ...]:
    new = visitor() is None
    session = own_or_new_session()
    accepted, refused = services().sessions.add_files(session, [asked.file])
    if refused:
        if new:
            services().sessions.delete(session)
            forget_session()
        with concerning("file"):
            raise refused[0].error
    body, status, headers = started(visualization, values, [accepted[0].id], model, session, strict=False)
    return body, status, headers | {"Preference-Applied": "respond-async"}


@contextmanager
def _waited_for(
    visualization: type[BaseVisualization], values: dict[str, Any], model: str, asked: ToExplain
) -> Iterator[Run]:
    """A finished run in a session of its own, which is gone afterwards."""
    if services().draining.is_set():  # no run begins any more
        raise Busy("The server is about to end. Ask again in a moment.")
    if not _places.acquire(blocking=False):
        raise Busy(f"{AT_ONCE} such calls are under way already. Send 'Prefer: respond-async', or ask again.")
    session = services().store.new_session()
    try:
        accepted, refused = services().sessions.add_files(session, [asked.file])
        with concerning("file"):
            if refused:
                raise refused[0].error
        settings = check(visualization, values, how_is(services().engine, model).info)
        store, engine = services().store, services().engine
        run = ask(store, engine, session, visualization, settings, [accepted[0].id], model)
        yield _finished(run)
    finally:
        services().sessions.delete(session)
        _places.release()


def _finished(run: Run) -> Run:
    """Waits for a run.

    Raises:
        TookTooLong: it is not done within EXPLAIN_TIMEOUT_SECONDS.
        Busy: it has not even begun by then.
        PicassoError: why it failed.
    """
    limit = services().config.EXPLAIN_TIMEOUT_SECONDS
    deadline = time.monotonic() + limit
    while True:
        run = services().store.run(run.session, run.id)
        if run.state is State.DONE:
            return run
        if run.state.finished:
            raise kind_of(run.error_code or Cancelled.code)(run.error or f"The run was {run.state}.")
        if time.monotonic() > deadline:
            if run.state is State.QUEUED:
                raise Busy(
                    f"Others' runs are under way, and this one did not begin within {limit:g} seconds. Ask later, or "
                    "send 'Prefer: respond-async' to have it as a run."
                )
            raise TookTooLong(
                f"This took longer than {limit:g} seconds and was ended. Send 'Prefer: respond-async' to have it as a "
                "run, choose settings that cost less, or raise EXPLAIN_TIMEOUT_SECONDS in the config."
            )
        time.sleep(LOOK_SECONDS)
