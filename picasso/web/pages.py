"""Puts the pages into an application: blueprint, checks, headers, error pages, and what every template knows."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app
from werkzeug.exceptions import HTTPException

from picasso.errors import PicassoError
from picasso.images.reading import ACCEPT, READS
from picasso.web import admin, asking, choosing, comparing, errors, models, running, security, start
from picasso.web.blueprint import blueprint
from picasso.web.services import services
from picasso.web.views import app_state

MODULES = (
    start,
    choosing,
    running,
    comparing,
    asking,
    models,
    admin,
)  # importing them adds their routes to the blueprint


def install(app: Flask) -> None:
    """Checks, headers, error pages and what every template knows."""
    app.register_blueprint(blueprint)
    app.session_interface = security.Cookies()
    for check in (
        security.let_in,
        security.refuse_when_full,
        security.refuse_other_origins,
        security.refuse_large_bodies,
    ):
        app.before_request(check)
    app.after_request(security.add_headers)
    app.register_error_handler(PicassoError, errors.picasso_error)
    app.register_error_handler(HTTPException, errors.http_error)
    app.register_error_handler(Exception, errors.unexpected_error)
    app.context_processor(_known_to_all)


def _known_to_all() -> dict[str, Any]:
    config = services().config
    return {
        "app_state": app_state(),
        "administrator": security.is_administrator(),
        "endpoints": current_app.view_functions.keys(),
        "accept": ACCEPT,
        "format_names": READS,
        "max_image_mib": config.MAX_IMAGE_BYTES // 2**20,
        "max_upload_bytes": config.MAX_UPLOAD_BYTES,
        "samples": [path.rpartition("/")[2] for path in config.SAMPLE_IMAGES],
    }
