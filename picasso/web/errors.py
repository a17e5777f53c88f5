"""Errors as people see them, a page that says what to do, and as programs do, JSON under `/api` and `/health`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import (
    jsonify,
    render_template,
    request,
)
from werkzeug.exceptions import HTTPException

from picasso.config import MEBIBYTE
from picasso.errors import PicassoError
from picasso.web.plugins import author_error
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
FOR_PROGRAMS = ("/api/", "/health/")
CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "error",
}


def _answer(status: int, code: str, title: str, message: str, field: str | None = None) -> tuple[Any, int]:
    if _for_programs():
        return jsonify(error={"code": code, "message": message or title, "field": field}), status
    return render_template("error.html", status=status, title=title, message=message), status


def picasso_error(error: PicassoError) -> tuple[Any, ...]:
    return *_answer(error.status, error.code, error.title, error.message, error.field), _headers(error.status)


def http_error(error: HTTPException) -> Any:
    status = error.code or 500
    if status < 400:
        return error
    title, advice = ADVICE.get(status, (error.name, error.description or ""))
    if status == 413:
        limit = services().config.MAX_UPLOAD_BYTES / MEBIBYTE
        advice = f"One upload may have {limit:.3g} MiB. {advice}"
    if status == 403 or (_for_programs() and status in (400, 405, 415)):
        advice = error.description or ""
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return *_answer(status, CODES.get(status, "error"), title, advice), headers


def unexpected_error(error: Exception) -> tuple[Any, ...]:
    log.error("Request %s %s failed", request.method, request.path, exc_info=error)
    blamed = author_error(error)
    return _answer(500, CODES[500], *ADVICE[500]) if blamed is None else picasso_error(blamed)


def _for_programs() -> bool:
    return f"{request.path}/".startswith(FOR_PROGRAMS)


def _headers(status: int) -> Mapping[str, str]:
    """What the protocol wants beside the body."""
    return {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status, {})
