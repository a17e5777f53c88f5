"""The start page, and the pictures of a session."""

from __future__ import annotations

from flask import (
    flash,
    redirect,
    render_template,
    request,
    url_for,
)

from picasso.errors import Busy, ImageRefused, NotFound, PicassoError
from picasso.runs.run import StoredImage
from picasso.sessions import image_bytes, small, thumbnail_bytes
from picasso.visualizations.base import BaseVisualization
from picasso.web.blueprint import Answer, blueprint, own_session, png, webp
from picasso.web.choosing import pictures_page, pictures_url
from picasso.web.running import titled
from picasso.web.services import chosen_model, forget_session, model_status, require_session, services, session_id
from picasso.web.views import cards


@blueprint.get("/")
def start() -> Answer:
    """The start page: the tray of pictures, the visualizations. Where it waits for its model, nothing until then."""
    if "HX-Request" in request.headers and model_status(chosen_model()).state == "loading":
        return "", 204  # the page keeps what it shows
    return _start_page()


def _start_page(refused: list[PicassoError] | None = None) -> str:
    session = session_id()
    return render_template(
        "start.html",
        tray=services().store.images(session) if session else [],
        runs=titled(services().store.runs(session)[:4]) if session else [],
        cards=cards(),
        broken=services().registry.broken,
        show_source=services().config.RELOAD_PLUGINS,
        refused=refused or [],
    )


@blueprint.post("/images")
def upload() -> Answer:
    """Takes pictures into the tray; what is refused is named while the others go on."""
    files = [file for file in request.files.getlist("file") if file.filename or file.content_length]
    if not files:
        raise ImageRefused("No file arrived. Choose, drop or paste at least one picture.")
    session = require_session()
    accepted, refusals = services().sessions.add_files(session, files)
    refused = [refusal.error for refusal in refusals]
    if not accepted and isinstance(refused[0], Busy):
        raise refused[0]
    if not accepted:
        return _refused_page(refused), max(refusal.status for refusal in refused)
    for refusal in refused:
        flash(refusal.message, "error")
    return redirect(_back(), 303)


def _refused_page(refused: list[PicassoError]) -> str:
    visualization = services().registry.visualizations.get(request.form.get("visualization", ""))
    if visualization is None:
        return _start_page(refused)
    return pictures_page(visualization, _settings_of_upload(visualization), refused)


def _back() -> str:
    """Where an upload came from: the pictures step of a visualization, or the start page."""
    visualization = services().registry.visualizations.get(request.form.get("visualization", ""))
    if visualization is not None:
        return pictures_url(visualization.name, _settings_of_upload(visualization))
    return url_for("pages.start")


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
    services().store.remove_image(own_session(), image)
    return redirect(_back(), 303)


@blueprint.get("/images/<image>.png")
def image(image: str) -> Answer:
    """A picture as it was understood: upright, in PNG."""
    return png(image_bytes(services().store, _own_image(image)))


@blueprint.get("/images/<image>/thumbnail.webp")
def thumbnail(image: str) -> Answer:
    """A small version of a picture."""
    return webp(thumbnail_bytes(services().store, _own_image(image)))


@blueprint.get("/samples/<int:number>.webp")
def sample(number: int) -> Answer:
    """A small version of a sample picture."""
    response = webp(small(services().sessions.sample(number).read_bytes()))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def _own_image(image: str) -> StoredImage:
    return services().store.image(own_session(), image)


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
