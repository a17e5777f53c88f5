"""A visualization before its run: the settings page, the pictures page, what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import (
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from PIL import Image

from picasso.errors import InvalidSetting, NotFound, NotSupported, PicassoError
from picasso.models.info import ModelInfo
from picasso.runs.files import read_kept
from picasso.runs.requests import check
from picasso.visualizations.base import BaseVisualization, Settings
from picasso.visualizations.forms import form_fields
from picasso.web.blueprint import Answer, blueprint
from picasso.web.services import chosen_model, model_field, model_status, page_model, services, session_id
from picasso.web.transfers import FOR_GOOD

CARD = 640  # pixels, longer side of the picture on a card
CARD_FORMATS = ["PNG", "JPEG", "WEBP"]


@blueprint.get("/visualizations/<name>")
def choose_settings(name: str) -> Answer:
    """The settings page; a visualization without settings goes on to the pictures."""
    visualization = services().registry.get(name)
    if visualization.settings_page:
        return redirect(own_page_url(visualization, request.args), 303)
    values = settings_values(visualization, request.args)
    if visualization.settings is None:
        visualization.parse_settings(values)  # says which settings there are not
        return redirect(pictures_url(name, {}), 303)
    error = _first_error(visualization, values)
    return settings_page(visualization, values, error), error.status if error else 200


@blueprint.get("/visualizations/<name>/pictures")
def choose_pictures(name: str) -> Answer:
    """Which pictures to run on, once the settings are chosen."""
    visualization = services().registry.get(name)
    if visualization.settings_page:
        return redirect(own_page_url(visualization, request.args), 303)
    values = settings_values(visualization, request.args)
    error = _first_error(visualization, values)
    if error is not None:
        return settings_page(visualization, values, error), error.status
    return pictures_page(visualization, values)


@blueprint.get("/visualizations/<name>/picture")
def card_picture(name: str) -> Answer:
    """The picture on a visualization's card."""
    path = services().registry.get(name).picture
    try:
        data = _card(path, path.stat().st_mtime) if path is not None else None
    except Exception as error:  # Pillow raises whatever its parsers meet
        raise NotFound("The picture of this visualization cannot be read.") from error
    if data is None:
        raise NotFound("This visualization has no picture of its own.")
    response = send_file(BytesIO(data), mimetype="image/webp")
    response.headers["Cache-Control"] = FOR_GOOD  # its address has its date
    return response


@lru_cache(maxsize=100)
def _card(path: Path, _modified: float) -> bytes:
    """The picture on a card, encoded anew as everything that is served, WebP."""
    picture = Image.open(BytesIO(read_kept(path)), formats=CARD_FORMATS)
    picture.thumbnail((CARD, CARD))
    stream = BytesIO()
    picture.convert("RGB").save(stream, "WEBP", quality=85)
    return stream.getvalue()


@blueprint.get("/visualizations/<name>/cost")
def cost(name: str) -> Answer:
    """A sentence on what a run would cost, or on what is wrong with its settings, for the settings page."""
    visualization = services().registry.get(name)
    count = max(1, len(request.args.getlist("image")))
    return render_template("_cost.html", **_cost(visualization, settings_values(visualization, request.args), count))


def settings_page(
    visualization: type[BaseVisualization], values: Mapping[str, str], error: InvalidSetting | None = None
) -> str:
    """The settings page, with an error beside its field if there is one."""
    session, info = session_id(), _info()
    tray = services().store.images(session) if session else []
    chosen = request.values.getlist("image")
    return render_template(
        "settings.html",
        current_vis=visualization,
        fields=form_fields(visualization, values, info),
        error=error,
        tray=tray,
        chosen=chosen,
        **_cost(visualization, values, max(1, len(chosen or tray))),
        **_support(visualization),
    )


def pictures_page(
    visualization: type[BaseVisualization], values: Mapping[str, str], refused: list[PicassoError] | None = None
) -> str:
    """The page that asks for pictures; `values` are the settings chosen before, `refused` what was just uploaded."""
    session = session_id()
    tray = services().store.images(session) if session else []
    chosen = request.values.getlist("image")
    return render_template(
        "pictures.html",
        current_vis=visualization,
        values=values,
        tray=tray,
        chosen=chosen,
        refused=refused or [],
        **_cost(visualization, values, max(1, len(chosen or tray))),
        **_support(visualization),
    )


def _info() -> ModelInfo | None:
    return model_status(page_model()).info


def _support(visualization: type[BaseVisualization]) -> dict[str, Any]:
    info, reference = _info(), page_model()
    return {
        "reason": visualization.unsupported_reason(info) if info else None,
        "model_field": model_field(),
        "other_model": services().engine.roster.label(reference) if reference != chosen_model() else None,
    }


def _cost(visualization: type[BaseVisualization], values: Mapping[str, str], images: int) -> dict[str, Any]:
    """What a run costs for each image, where it is known, how many there are, and what is wrong with the values."""
    info = _info()
    try:
        settings = visualization.parse_settings(values, info)
        found, at_most = visualization.cost(settings, info) if info else None, visualization.stops_early(settings)
    except PicassoError as error:
        return {"cost": None, "at_most": False, "images": images, "problem": error.message}
    return {"cost": found, "at_most": at_most, "images": images, "problem": ""}


def settings_values(visualization: type[BaseVisualization], form: Any) -> dict[str, str]:
    """Settings in a form: the last value of each name (a switch sends a hidden "false" before its "true").

    Where several may be chosen, all of them, with commas between (none sends one that is empty).
    """
    several = several_settings(visualization)
    return {
        name: ",".join(form.getlist(name)) if name in several else form.getlist(name)[-1]
        for name in form
        if name not in ("image", "visualization", "model")
    }


def several_settings(visualization: type[BaseVisualization]) -> set[str]:
    """The names of those settings that may have several choices."""
    return {field.name for field in form_fields(visualization, {}) if field.kind == "several"}


def checked(visualization: type[BaseVisualization], values: Mapping[str, Any]) -> Settings:
    """Settings checked against the declaration and, once it is known, the model of the page."""
    return checked_for(_info(), visualization, values)


def checked_for(info: ModelInfo | None, visualization: type[BaseVisualization], values: Mapping[str, Any]) -> Settings:
    """Settings checked against the declaration and, where it is known, a model.

    Raises:
        NotSupported: the model cannot do this visualization.
        InvalidSetting: names the setting, the rule, the value.
    """
    return check(visualization, values, info)


def _first_error(visualization: type[BaseVisualization], values: Mapping[str, Any]) -> InvalidSetting | None:
    try:
        checked(visualization, values)
    except InvalidSetting as error:
        return error
    except NotSupported:
        return None  # the page greys itself out and says why
    return None


def own_page_url(visualization: type[BaseVisualization], form: Any, without: str | None = None) -> str:
    """The address of a visualization's own settings page, with the settings, pictures and model of a form in it.

    Args:
        without: a setting that is left out.
    """
    known = {"image", "model", *visualization.settings_model.model_fields} - {without}
    query = [(name, value) for name, values in form.lists() if name in known for value in values]
    return f"{request.script_root}{visualization.settings_page}?{urlencode(query)}".removesuffix("?")


def pictures_url(visualization: str, values: Mapping[str, Any]) -> str:
    """The address of the page that asks for pictures, with the settings in it, and the model if this page names one."""
    model = {"model": page_model()} if "model" in request.values else {}
    return url_for("pages.choose_pictures", name=visualization, **{**values, **model})
