"""Runs: starting them, their pages and files."""

from __future__ import annotations

import logging
import math
from base64 import b64encode
from io import BytesIO
from typing import Any

from flask import (
    Response,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from numpy.typing import NDArray

from picasso.errors import InvalidSetting, NotFound, PicassoError, PluginError, place_in
from picasso.images import colours
from picasso.images.reading import encode_png
from picasso.runs.artifacts import load_array
from picasso.runs.requests import ask, ask_again
from picasso.runs.run import Run, distinct_names
from picasso.sessions import image_bytes
from picasso.visualizations.base import BaseVisualization, Settings
from picasso.visualizations.forms import FormField, form_fields
from picasso.web.blueprint import Answer, blueprint, own_session, png
from picasso.web.choosing import checked, own_page_url, pictures_url, settings_page, settings_values
from picasso.web.services import chosen_model, page_model, services, session_id
from picasso.web.templates import template_name
from picasso.web.views import View, info_of, result_context, run_file, run_labels

log = logging.getLogger(__name__)


@blueprint.post("/runs")
def create_run() -> Answer:
    """Starts a run, or shows the one that already has the answer."""
    visualization = services().registry.get(request.form.get("visualization", ""))
    values = settings_values(visualization, request.form)
    ids = list(dict.fromkeys(request.form.getlist("image")))
    try:
        settings = checked(visualization, values)
        run = started_run(visualization, settings, ids, page_model()) if ids else None
    except InvalidSetting as error:
        if visualization.settings_page:
            flash(error.message, "error")
            return redirect(own_page_url(visualization, request.form, without=error.field), 303)
        return settings_page(visualization, values, error), error.status
    if run is None:
        flash("Choose at least one picture to run on.", "error")
        return redirect(pictures_url(visualization.name, values), 303)
    return redirect(url_for("pages.show_run", run=run.id, kept=1 if run.state.finished else None), 303)


def started_run(visualization: type[BaseVisualization], settings: Settings, ids: list[str], model: str) -> Run:
    """A new run of this visitor, or the one that already has the answer, or will have it; see `ask`."""
    return ask(services().store, services().engine, own_session(), visualization, settings, ids, model)


@blueprint.get("/runs")
def list_runs() -> Answer:
    """The session's runs and pictures."""
    session = session_id()
    store = services().store
    runs = store.runs(session) if session else []
    return render_template(
        "runs.html",
        runs=titled(runs),
        unfinished=any(not run.state.finished for run in runs),
        images={image.id: image for image in store.images(session)} if session else {},
    )


@blueprint.get("/runs/<run>/")
def show_run(run: str) -> Answer:
    """A run in its visualization's own template: the result, or progress and what is there already."""
    found = _own_run(run)
    context = result_context(found, View.from_query(request.args))
    name = template_name(context["current_vis"])
    try:
        return render_template(name, kept="kept" in request.args, **context)
    except PicassoError:
        raise
    except Exception as error:
        log.exception("The template of %s failed", found.visualization)
        template, may_see = context["current_vis"].template, services().config.RELOAD_PLUGINS
        place = place_in(error, {str(template)})
        what = "The template" if place else f"The template {template.name}"
        raise PluginError.of(what, error, place, source=may_see) from error


@blueprint.post("/runs/<run>/cancel")
def cancel_run(run: str) -> Answer:
    """Ends a run."""
    services().engine.cancel(_own_run(run))
    return redirect(url_for("pages.show_run", run=run), 303)


@blueprint.post("/runs/<run>/stop")
def stop_run(run: str) -> Answer:
    """Ends a run with what it has."""
    found = _own_run(run)
    if services().registry.get(found.visualization).stoppable:
        services().engine.stop(found)
    return redirect(url_for("pages.show_run", run=run), 303)


@blueprint.post("/runs/<run>/again")
def repeat_run(run: str) -> Answer:
    """The same run once more, after it failed, was stopped, cancelled or interrupted."""
    found = _own_run(run)
    if not found.state.finished:
        return redirect(url_for("pages.show_run", run=run), 303)
    visualization = services().registry.get(found.visualization)
    model = found.model if services().engine.roster.knows(found.model) else chosen_model()
    new = ask_again(services().store, services().engine, found, visualization, model)
    return redirect(url_for("pages.show_run", run=new.id), 303)


@blueprint.get("/runs/<run>/files/<name>")
def file_of_run(run: str, name: str) -> Answer:
    """A file of a run by its name in the manifest; with `.png` behind it, an array drawn as a picture."""
    found = _own_run(run)
    if name.endswith(".npy.png"):
        return _drawn(found, name.removesuffix(".png"))
    data = run_file(found, name)
    if name.endswith(".png"):
        return png(data)
    return send_file(BytesIO(data), mimetype="application/octet-stream", as_attachment=True, download_name=name)


@blueprint.get("/runs/<run>/labels.json")
def labels_of_run(run: str) -> Answer:
    """The labels of all classes of a run's model, in the order of its scores."""
    return jsonify(run_labels(_own_run(run)))


@blueprint.get("/runs/<run>/inputs/<path:name>")
def run_input(run: str, name: str) -> Answer:
    """A run's picture by its own name, for templates with relative links."""
    found = _own_run(run)
    images = [services().store.image(found.session, image) for image in found.images]
    known = dict(zip(distinct_names(images), images, strict=True))
    if name in known:
        return png(image_bytes(services().store, known[name]))
    raise NotFound("This run has no such picture.")


@blueprint.get("/runs/<run>/outputs/<name>")
def run_output(run: str, name: str) -> Answer:
    """A picture that the visualization wrote to its output folder, for templates with relative links."""
    return png(run_file(_own_run(run), f"output.{name}"))


@blueprint.get("/colours/<name>.png")
def colour_bar(name: str) -> Answer:
    """The colours of maps from low to high."""
    if name not in colours.COLOURS:
        raise NotFound("There is no such colour map.")
    response = png(encode_png(colours.bar(name)))
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@blueprint.get("/colours.json")
def colour_tables() -> Answer:
    """The tables that maps are drawn with, for browsers: by sign and name, base64 of the bytes (256, 4) of RGBA."""
    response = jsonify(
        {
            sign: {name: b64encode(colours.table(name).tobytes()).decode() for name in names}
            for sign, names in (("unsigned", colours.SEQUENTIAL), ("signed", colours.DIVERGING))
        }
    )
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def _own_run(run: str) -> Run:
    return services().store.run(own_session(), run)


def _drawn(run: Run, name: str) -> Response:
    return drawn(load_array(run_file(run, name)))


def drawn(values: NDArray[Any]) -> Response:
    """A map as a picture, with the colours and ends that the address asks for."""
    if values.ndim != 2:
        raise NotFound("Only maps (height, width) can be drawn as pictures.")
    name = request.args.get("colours", View.unsigned)
    low, high = request.args.get("low", type=float), request.args.get("high", type=float)
    if name not in colours.COLOURS or low is None or high is None or not -math.inf < low <= high < math.inf:
        raise InvalidSetting("A drawn map needs colours, low and high, with low at most high.", field="colours")
    return png(encode_png(colours.draw(values, low, high, name)))


def titled(runs: list[Run]) -> list[tuple[Run, str, list[FormField], str]]:
    """Runs with their visualization's title, the settings that were changed as people know them, and model.

    Where the visualization is gone, its name and no settings.
    """
    found = []
    for run in runs:
        visualization = services().registry.visualizations.get(run.visualization)
        title = visualization.title if visualization else run.visualization
        fields = _changed(visualization, run) if visualization else []
        found.append((run, title, fields, services().engine.roster.label(run.model)))
    return found


def _changed(visualization: type[BaseVisualization], run: Run) -> list[FormField]:
    usual = {field.name: field.value for field in form_fields(visualization, {}, info_of(run))}
    return [
        field for field in form_fields(visualization, run.settings) if field.used and field.value != usual[field.name]
    ]
