"""Puts the routes into an application."""

from __future__ import annotations

from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Blueprint, Response, jsonify, request
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest

from picasso.api import about, document, explain, images, runs
from picasso.api.blueprint import StrictJSON, StrictRequest, blueprint, wrong_field
from picasso.web import errors

API = "/api"
MODULES = (about, images, runs, explain)  # importing them adds their routes to the blueprint


def install(app: APIFlask) -> None:
    """Routes, how JSON is read and written, and what is said of a request that its model refuses."""
    app.json = StrictJSON(app)
    app.request_class = StrictRequest
    document.set_up(app)
    app.register_blueprint(blueprint)
    app.register_error_handler(HTTPError, _refused)
    app.register_error_handler(BadRequest, _unreadable)
    app.after_request(_in_json)
    app.register_blueprint(_health())


def _health() -> Blueprint:
    """The two routes once more, where programs that watch servers look for them."""
    health = Blueprint("health", __name__, url_prefix="/health")
    for name in ("live", "ready"):
        view: Any = getattr(about, name)
        health.add_url_rule(f"/{name}", name, view)
    return health


def _unreadable(error: BadRequest) -> Any:
    """Flask says why a body is no JSON in debug mode only."""
    cause = error.__cause__
    if isinstance(cause, BadRequest) and cause.description and request.is_json:
        reason = cause.description.rpartition("JSON object: ")[2].partition(";")[0]
        error.description = f"The body cannot be read as JSON: {reason}."
    return errors.http_error(error)


def _in_json(response: Response) -> Response:
    """Flask writes HTML into the redirects that it makes itself, from `/api//v1/runs` and the like."""
    if request.path.startswith(f"{API}/") and response.location and response.mimetype == "text/html":
        response.set_data(jsonify(location=response.location).get_data())
        response.mimetype = "application/json"
    return response


def _refused(error: HTTPError) -> Any:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return errors.picasso_error(wrong_field(cause, header="headers" in error.detail))
    return errors.unexpected_error(error)
