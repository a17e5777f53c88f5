"""The routes of the pages: start, settings, pictures, runs. Everything they do is in `picasso.runs` and `sessions`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from PIL import Image
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from picasso.errors import ImageRefused, InvalidSetting, NotFound, NotSupported, PicassoError
from picasso.images import colours
from picasso.images.reading import ACCEPT, FORMATS, encode_png
from picasso.runs.artifacts import load_array
from picasso.runs.keys import run_key
from picasso.runs.run import Run, StoredImage
from picasso.sessions import image_bytes
from picasso.visualizations.base import BaseVisualization, Settings
from picasso.visualizations.forms import FormField, form_fields
from picasso.web import security
from picasso.web.services import forget_session, require_session, services, session_id
from picasso.web.templates import template_name
from picasso.web.views import View, app_state, cards, result_context, run_file

log = logging.getLogger(__name__)
blueprint = Blueprint("pages", __name__)

THUMBNAIL = 320  # pixels, longer side
SEED = 0
Answer = str | BaseResponse | tuple[str, int]


def install(app: Flask) -> None:
    """Checks, headers, error pages and what every template knows."""
    app.before_request(security.refuse_other_origins)
    app.after_request(security.add_headers)
    app.register_error_handler(PicassoError, _picasso_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected_error)
    app.context_processor(_known_to_all)


def _known_to_all() -> dict[str, Any]:
    config = services().config
    return {
        "app_state": app_state(),
        "accept": ACCEPT,
        "format_names": list(FORMATS),
        "max_image_mib": config.MAX_IMAGE_BYTES // 2**20,
        "max_images": config.MAX_IMAGES,
        "samples": [path.rpartition("/")[2] for path in config.SAMPLE_IMAGES],
    }


# Start, pictures, samples


@blueprint.get("/")
def start() -> Answer:
    """The start page: the tray of pictures, the visualizations."""
    return _start_page()


def _start_page(refused: list[ImageRefused] | None = None) -> str:
    session = session_id()
    return render_template(
        "start.html",
        tray=services().store.images(session) if session else [],
        runs=_titled(services().store.runs(session)[:4]) if session else [],
        cards=cards(),
        broken=services().registry.broken,
        refused=refused or [],
    )


@blueprint.post("/images")
def upload() -> Answer:
    """Takes pictures into the tray; what is refused is named while the others go on."""
    files = [file for file in request.files.getlist("file") if file.filename or file.content_length]
    if not files:
        raise ImageRefused("No file arrived. Choose, drop or paste at least one picture.")
    session = require_session()
    accepted, refused = [], []
    for file in files:
        data = file.stream.read(services().config.MAX_IMAGE_BYTES + 1)
        try:
            accepted.append(services().sessions.add_image(session, data, file.filename))
        except ImageRefused as error:
            refused.append(error)
    if not accepted:
        return _refused_page(refused), max(refusal.status for refusal in refused)
    for refusal in refused:
        flash(refusal.message, "error")
    return redirect(_back(), 303)


def _refused_page(refused: list[ImageRefused]) -> str:
    visualization = services().registry.visualizations.get(request.form.get("visualization", ""))
    if visualization is None:
        return _start_page(refused)
    return _pictures_page(visualization, _settings_of_upload(visualization), refused)


def _back() -> str:
    """Where an upload came from: the pictures step of a visualization, or the start page."""
    visualization = services().registry.visualizations.get(request.form.get("visualization", ""))
    if visualization is not None:
        return _pictures_url(visualization.name, _settings_of_upload(visualization))
    return url_for("pages.start")


def _pictures_url(visualization: str, values: Mapping[str, Any]) -> str:
    return url_for("pages.choose_pictures", name=visualization, **values)


def _settings_of_upload(visualization: type[BaseVisualization]) -> dict[str, str]:
    """The settings that travel with an upload; other names could mean something to `url_for`."""
    return {name: value for name, value in request.form.items() if name in visualization.settings_model.model_fields}


@blueprint.post("/images/samples")
def add_samples() -> Answer:
    """Puts sample pictures into the tray."""
    numbers = request.form.getlist("sample", type=int)
    if not numbers:
        raise NotFound("Choose at least one sample picture.")
    session = require_session()
    for number in numbers:
        services().sessions.add_sample(session, number)
    return redirect(_back(), 303)


@blueprint.post("/images/<image>/remove")
def remove_image(image: str) -> Answer:
    """Takes a picture out of the tray."""
    services().store.remove_image(_session(), image)
    return redirect(_back(), 303)


@blueprint.get("/images/<image>.png")
def image(image: str) -> Answer:
    """A picture as it was understood: upright, in PNG."""
    return _png(image_bytes(services().store, _own_image(image)))


@blueprint.get("/images/<image>/thumbnail.png")
def thumbnail(image: str) -> Answer:
    """A small version of a picture."""
    return _thumbnail(image_bytes(services().store, _own_image(image)))


@blueprint.get("/samples/<int:number>.png")
def sample(number: int) -> Answer:
    """A small version of a sample picture."""
    response = make_response(_thumbnail(services().sessions.sample(number).read_bytes()))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _own_image(image: str) -> StoredImage:
    return services().store.image(_session(), image)


def _session() -> str:
    """The visitor's session; everything that belongs to nobody is not found."""
    found = session_id()
    if found is None:
        raise NotFound("This belongs to a session that has expired or is not yours. Start again from the first page.")
    return found


def _png(data: bytes) -> Response:
    return send_file(BytesIO(data), mimetype="image/png")


def _thumbnail(data: bytes) -> Response:
    picture = Image.open(BytesIO(data), formats=list(FORMATS))
    picture.draft(None, (THUMBNAIL, THUMBNAIL))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _png(encode_png(picture if picture.mode in ("L", "RGB") else picture.convert("RGB")))


@blueprint.post("/start-over")
def start_over() -> Answer:
    """Deletes everything of the session."""
    session = session_id()
    if session is not None:
        services().sessions.delete(session)
    forget_session()
    flash("Your pictures and runs were deleted.", "done")
    return redirect(url_for("pages.start"), 303)


@blueprint.get("/status")
def status() -> Answer:
    """The header's model, for pages that wait until it is loaded."""
    return render_template("_model.html")


# Settings and pictures of a visualization


@blueprint.get("/visualizations/<name>")
def choose_settings(name: str) -> Answer:
    """The settings page; a visualization without settings goes on to the pictures."""
    visualization = services().registry.get(name)
    values = _settings_values(request.args)
    if visualization.settings is None:
        visualization.parse_settings(values)  # says which settings there are not
        return redirect(url_for("pages.choose_pictures", name=name), 303)
    error = _first_error(visualization, values)
    return _settings_page(visualization, values, error), error.status if error else 200


@blueprint.get("/visualizations/<name>/pictures")
def choose_pictures(name: str) -> Answer:
    """Which pictures to run on, once the settings are chosen."""
    visualization = services().registry.get(name)
    values = _settings_values(request.args)
    error = _first_error(visualization, values)
    if error is not None:
        return _settings_page(visualization, values, error), error.status
    return _pictures_page(visualization, values)


@blueprint.get("/visualizations/<name>/cost")
def cost(name: str) -> Answer:
    """A sentence on what a run would cost, for the settings page."""
    visualization = services().registry.get(name)
    values = {key: value for key, value in _settings_values(request.args).items() if key != "image"}
    count = max(1, len(request.args.getlist("image")))
    return render_template("_cost.html", **_cost(visualization, values, count))


def _settings_page(
    visualization: type[BaseVisualization], values: Mapping[str, str], error: InvalidSetting | None = None
) -> str:
    session, info = session_id(), services().engine.status().info
    tray = services().store.images(session) if session else []
    return render_template(
        "settings.html",
        current_vis=visualization,
        fields=form_fields(visualization, values, info),
        error=error,
        tray=tray,
        **_cost(visualization, values, max(1, len(tray))),
        **_support(visualization),
    )


def _pictures_page(
    visualization: type[BaseVisualization], values: Mapping[str, str], refused: list[ImageRefused] | None = None
) -> str:
    session = session_id()
    tray = services().store.images(session) if session else []
    return render_template(
        "pictures.html",
        current_vis=visualization,
        values=values,
        tray=tray,
        refused=refused or [],
        **_cost(visualization, values, max(1, len(tray))),
        **_support(visualization),
    )


def _support(visualization: type[BaseVisualization]) -> dict[str, Any]:
    info = services().engine.status().info
    return {"reason": visualization.unsupported_reason(info) if info else None}


def _cost(visualization: type[BaseVisualization], values: Mapping[str, str], images: int) -> dict[str, Any]:
    """Model calls for one image, and an estimate in seconds for all, where they are known."""
    info = services().engine.status().info
    try:
        settings = visualization.parse_settings(values, info)
        calls = visualization.model_calls(settings, info) if info else None
    except PicassoError:
        calls = None
    return {
        "calls": calls,
        "estimate": calls * images * info.seconds_per_image if calls and info else None,
        "images": images,
    }


def _settings_values(form: Any) -> dict[str, str]:
    """Settings in a form: the last value of each name (a switch sends a hidden "false" before its "true")."""
    return {name: form.getlist(name)[-1] for name in form if name not in ("image", "visualization")}


def _checked(visualization: type[BaseVisualization], values: Mapping[str, Any]) -> Settings:
    info = services().engine.status().info
    reason = visualization.unsupported_reason(info) if info else None
    if reason:
        raise NotSupported(reason)
    return visualization.parse_settings(values, info)


def _first_error(visualization: type[BaseVisualization], values: Mapping[str, Any]) -> InvalidSetting | None:
    try:
        _checked(visualization, values)
    except InvalidSetting as error:
        return error
    except NotSupported:
        return None  # the page greys itself out and says why
    return None


# Runs


@blueprint.post("/runs")
def create_run() -> Answer:
    """Starts a run, or shows the one that already has the answer."""
    visualization = services().registry.get(request.form.get("visualization", ""))
    values = _settings_values(request.form)
    try:
        settings = _checked(visualization, values)
    except InvalidSetting as error:
        return _settings_page(visualization, values, error), error.status
    ids = list(dict.fromkeys(request.form.getlist("image")))
    if not ids:
        flash("Choose at least one picture to run on.", "error")
        return redirect(_pictures_url(visualization.name, values), 303)
    session = _session()
    images = [services().store.image(session, image) for image in ids]
    known_model = services().engine.status().info is not None
    # While the model loads, its defaults are not known: the worker adds them.
    content = settings.model_dump(mode="json", exclude_unset=not known_model)
    key = run_key(services().engine.status().info, visualization, content, images, SEED)
    known = services().store.run_of_key(session, key) if key else None
    if known is not None:
        kept = 1 if known.state.finished else None
        return redirect(url_for("pages.show_run", run=known.id, kept=kept), 303)
    run = services().store.add_run(session, visualization.name, content, ids, key, SEED)
    services().engine.wake()
    return redirect(url_for("pages.show_run", run=run.id), 303)


@blueprint.get("/runs")
def list_runs() -> Answer:
    """The session's runs and pictures."""
    session = session_id()
    store = services().store
    return render_template(
        "runs.html",
        runs=_titled(store.runs(session)) if session else [],
        images={image.id: image for image in store.images(session)} if session else {},
    )


def _titled(runs: list[Run]) -> list[tuple[Run, str, list[FormField]]]:
    """Runs with their visualization's title and settings as people know them; without, where it is gone."""
    found = []
    for run in runs:
        visualization = services().registry.visualizations.get(run.visualization)
        title = visualization.title if visualization else run.visualization
        found.append((run, title, form_fields(visualization, run.settings) if visualization else []))
    return found


@blueprint.get("/runs/<run>/")
def show_run(run: str) -> Answer:
    """A run in its visualization's own template: the result, or progress and what is there already."""
    found = _own_run(run)
    context = result_context(found, View.from_query(request.args))
    name = template_name(context["current_vis"])
    try:
        response = make_response(render_template(name, kept="kept" in request.args, **context))
        if found.state.finished and "HX-Request" in request.headers:
            response.headers["HX-Refresh"] = "true"  # the waiting page becomes the result
        return response
    except PicassoError:
        raise
    except Exception as error:
        log.exception("The template of %s failed", found.visualization)
        raise PicassoError(
            f"The template {context['current_vis'].template} failed: {type(error).__name__}: {error}"
        ) from error


@blueprint.post("/runs/<run>/cancel")
def cancel_run(run: str) -> Answer:
    """Ends a run."""
    services().engine.cancel(_own_run(run))
    return redirect(url_for("pages.show_run", run=run), 303)


@blueprint.post("/runs/<run>/again")
def repeat_run(run: str) -> Answer:
    """The same run once more, after it failed, was cancelled or interrupted."""
    found = _own_run(run)
    new = services().store.add_run(
        found.session, found.visualization, found.settings, found.images, found.key, found.seed
    )
    services().engine.wake()
    return redirect(url_for("pages.show_run", run=new.id), 303)


@blueprint.get("/runs/<run>/files/<name>")
def file_of_run(run: str, name: str) -> Answer:
    """A file of a run by its name in the manifest; with `.png` behind it, an array drawn as a picture."""
    found = _own_run(run)
    if name.endswith(".npy.png"):
        return _drawn(found, name.removesuffix(".png"))
    data = run_file(found, name)
    if name.endswith(".png"):
        return _png(data)
    return send_file(BytesIO(data), mimetype="application/octet-stream", as_attachment=True, download_name=name)


@blueprint.get("/runs/<run>/inputs/<path:name>")
def run_input(run: str, name: str) -> Answer:
    """A run's picture by its own name, for templates with relative links."""
    found = _own_run(run)
    for image in (services().store.image(found.session, image) for image in found.images):
        if image.filename == name:
            return _png(image_bytes(services().store, image))
    raise NotFound("This run has no such picture.")


@blueprint.get("/runs/<run>/outputs/<name>")
def run_output(run: str, name: str) -> Answer:
    """A picture that the visualization wrote to its output folder, for templates with relative links."""
    return _png(run_file(_own_run(run), f"output.{name}"))


@blueprint.get("/colours/<name>.png")
def colour_bar(name: str) -> Answer:
    """The colours of maps from low to high."""
    if name not in colours.COLOURS:
        raise NotFound("There is no such colour map.")
    response = _png(encode_png(colours.bar(name)))
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def _own_run(run: str) -> Run:
    return services().store.run(_session(), run)


def _drawn(run: Run, name: str) -> Response:
    values = load_array(run_file(run, name))
    if values.ndim != 2:
        raise NotFound("Only maps (height, width) can be drawn as pictures.")
    name = request.args.get("colours", View.unsigned)
    low, high = request.args.get("low", type=float), request.args.get("high", type=float)
    if name not in colours.COLOURS or low is None or high is None or not -math.inf < low <= high < math.inf:
        raise InvalidSetting("A drawn map needs colours, low and high, with low at most high.", field="colours")
    return _png(encode_png(colours.draw(values, low, high, name)))


# Errors

ADVICE = {
    400: ("That request was not understood", "Go back and try again."),
    403: ("That is not allowed", ""),
    404: ("There is nothing here", "The address may be mistyped, or what was here has been deleted."),
    405: ("That cannot be done here", "Go back and use the buttons of the page."),
    413: ("That is too much at once", "Upload fewer or smaller pictures."),
    415: ("That file is not an image Picasso reads", ""),
    500: ("Something went wrong inside Picasso", "Try again. The server's log has the details."),
}


def _error_page(status: int, title: str, message: str) -> tuple[str, int]:
    return render_template("error.html", status=status, title=title, message=message), status


def _picasso_error(error: PicassoError) -> tuple[str, int]:
    return _error_page(error.status, error.title, error.message)


def _http_error(error: HTTPException) -> Any:
    status = error.code or 500
    if status < 400:
        return error
    title, advice = ADVICE.get(status, (error.name, error.description or ""))
    if status == 413:
        limit = services().config.MAX_UPLOAD_BYTES // 2**20
        advice = f"One upload may have {limit} MiB. {advice}"
    if status == 403:
        advice = error.description or ""
    return _error_page(status, title, advice)


def _unexpected_error(error: Exception) -> tuple[str, int]:
    log.error("Request %s %s failed", request.method, request.path, exc_info=error)
    return _error_page(500, *ADVICE[500])
