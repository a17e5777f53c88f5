"""Choosing a model, what is known about it, and reading the models again while the server runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import current_app, flash, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from picasso.errors import NotFound, PicassoError
from picasso.runs.own_code import forget
from picasso.visualizations.base import NEEDS
from picasso.web.blueprint import Answer, blueprint
from picasso.web.security import require_administrator
from picasso.web.services import choose_model, chosen_model, model_status, services

CLASSES_SHOWN = 8
JSON = "application/json"


@blueprint.post("/model")
def choose() -> Answer:
    """Chooses a model, or one of its outputs, for this visitor's pages."""
    reference, roster = request.form.get("model", ""), services().engine.roster
    if not roster.offers(reference):
        raise NotFound(f"There is no model {reference[:80]!r} (any more). Choose another one at the top of the page.")
    choose_model(reference)
    services().engine.want(reference)
    return redirect(_where_from(), 303)


def _where_from() -> str:
    """The page that a form was sent from, if it can be shown again and is ours; the start page else."""
    came = urlsplit(request.referrer or "")
    if came.netloc == request.host:
        try:
            endpoint, values = current_app.url_map.bind(request.host).match(
                came.path.removeprefix(request.script_root), "GET"
            )
        except HTTPException:
            return url_for("pages.start")
        settings = [(name, value) for name, value in parse_qsl(came.query) if name != "model"]
        return f"{url_for(endpoint, **values)}?{urlencode(settings)}".removesuffix("?")
    return url_for("pages.start")


@blueprint.get("/model")
def about_model() -> Answer:
    """What is known about the chosen model."""
    roster, info = services().engine.roster, model_status(chosen_model()).info
    can = info.capabilities if info else frozenset()
    response = make_response(
        render_template(
            "model.html",
            info=info,
            several=len(roster.catalogue.names) > 1,
            reload=roster.reload,
            can=[text for need, text in NEEDS.items() if need in can],
            cannot=[text for need, text in NEEDS.items() if need not in can],
            convolutions=[layer for layer in info.layers if layer.convolution] if info else [],
            shown=CLASSES_SHOWN,
        )
    )
    if "HX-Request" in request.headers and roster.reload.done and model_status(chosen_model()).state != "loading":
        response.headers["HX-Refresh"] = "true"  # the waiting page becomes the one with what is known
    return response


@blueprint.post("/model/reload")
def reload_models() -> Answer:
    """Reads the config and the models again, for the administrator; what is in use stays so until the new is open."""
    require_administrator()
    roster = services().engine.roster
    try:
        for model in roster.config.models().values():
            forget(model)
        config = services().read_again()
    except PicassoError as error:
        if request.accept_mimetypes.best == JSON:
            return jsonify(_as_json(error)), error.status
        flash(f"Nothing was changed. {error.message}", "error")
        return redirect(url_for("pages.about_model"), 303)
    services().engine.reload(config)
    if request.accept_mimetypes.best == JSON:
        return reload_state(), 202
    return redirect(url_for("pages.about_model"), 303)


@blueprint.get("/model/reload")
def reload_state() -> Any:
    """How the last reading again goes, for programs."""
    reload = services().engine.roster.reload
    return jsonify({"done": reload.done, "lines": reload.lines, **(_as_json(reload.error) if reload.error else {})})


def _as_json(error: PicassoError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}
