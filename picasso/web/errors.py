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
from picasso.disk import no_space
from picasso.errors import NotLetIn, PicassoError, TokenNeeded
from picasso.web.access_log import request_id, route
from picasso.web.plugins import author_error

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
FOR_PROGRAMS = ("/api/", "/health/", "/metrics/")
RETRY_SECONDS = {429: 10, 503: 5}  # a run of the visitor's own has to end; others may be gone in a moment
CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "error",
}


def _answer(
    status: int, code: str, title: str, message: str, field: str | None = None, template: str = "error.html"
) -> tuple[Any, int]:
    if for_programs():
        error = {"code": code, "message": message or title, "field": field}
        return jsonify(error=error, request_id=request_id()), status
    return render_template(template, status=status, title=title, message=message, request_id=request_id()), status


def picasso_error(error: PicassoError) -> tuple[Any, ...]:
    template = "closed.html" if isinstance(error, NotLetIn) else "error.html"  # which shows nothing of the inside
    answer = _answer(error.status, error.code, error.title, error.message, error.field, template)
    return *answer, headers_of(error)


def http_error(error: HTTPException) -> Any:
    status = error.code or 500
    if status < 400:
        return error
    if full := no_space(error):  # of temporary files, in which a body is kept while it is read
        return picasso_error(full)
    title, advice = ADVICE.get(status, (error.name, error.description or ""))
    if status == 413:
        limit = (request.max_content_length or 0) / MEBIBYTE
        upload = request.mimetype == "multipart/form-data"
        what, more = ("One upload", f"{advice} ") if upload else ("A request that is no upload", "")
        advice = f"{what} may have {limit:.3g} MiB. {more}A form may have {request.max_form_parts:,} parts."
    if status == 403 or (for_programs() and status in (400, 405, 415)):
        advice = error.description or ""
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return *_answer(status, CODES.get(status, "error"), title, advice), headers


def unexpected_error(error: Exception) -> tuple[Any, ...]:
    about = {"method": request.method, "route": route()}
    if full := no_space(error):
        log.warning("No space on the disk", extra=about)
        return picasso_error(full)
    log.error("Request failed", exc_info=error, extra=about)
    blamed = author_error(error)
    return _answer(500, CODES[500], *ADVICE[500]) if blamed is None else picasso_error(blamed)


def for_programs() -> bool:
    """Whether errors are told in JSON: under the addresses of programs, and to whoever asks for it."""
    return in_rest() or request.accept_mimetypes.best == "application/json"


def in_rest() -> bool:
    """Whether the address is one of those for programs."""
    return f"{request.path}/".startswith(FOR_PROGRAMS)


def headers_of(error: PicassoError) -> Mapping[str, str]:
    """What the protocol wants beside the body."""
    if isinstance(error, TokenNeeded):
        return {"WWW-Authenticate": "Picasso-Token"}
    if error.status in RETRY_SECONDS:
        return {"Retry-After": str(RETRY_SECONDS[error.status])}
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
