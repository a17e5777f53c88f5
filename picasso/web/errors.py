"""Error pages: what happened, and what to do."""

from __future__ import annotations

import logging
from typing import Any

from flask import (
    render_template,
    request,
)
from werkzeug.exceptions import HTTPException

from picasso.config import MEBIBYTE
from picasso.errors import PicassoError
from picasso.web.services import services

log = logging.getLogger(__name__)

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


def picasso_error(error: PicassoError) -> tuple[str, int]:
    return _error_page(error.status, error.title, error.message)


def http_error(error: HTTPException) -> Any:
    status = error.code or 500
    if status < 400:
        return error
    title, advice = ADVICE.get(status, (error.name, error.description or ""))
    if status == 413:
        limit = services().config.MAX_UPLOAD_BYTES / MEBIBYTE
        advice = f"One upload may have {limit:.3g} MiB. {advice}"
    if status == 403:
        advice = error.description or ""
    return _error_page(status, title, advice)


def unexpected_error(error: Exception) -> tuple[str, int]:
    log.error("Request %s %s failed", request.method, request.path, exc_info=error)
    return _error_page(500, *ADVICE[500])
