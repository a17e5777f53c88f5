"""Every request gets an id, is counted and timed, and is written down in one line when its answer is ready.

The id is in the answer's header `X-Request-ID`, in errors, and in all lines that are logged meanwhile. The line names
the route as it is declared: addresses hold names of files, and links hold tokens.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from http import HTTPMethod
from typing import cast

import structlog
from flask import Flask, Response, g, request

from picasso import metrics

HEADER = "X-Request-ID"
OWN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of a program or proxy that has one already
NO_ROUTE = "none"
log = logging.getLogger(__name__)


def watch(app: Flask) -> None:
    """Installed before everything else: it then sees each request first, and each answer as it is sent."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def request_id() -> str:
    """The id of the request that is being answered."""
    if "request_id" not in g:
        given = request.headers.get(HEADER, "")
        g.request_id = given if OWN_ID.fullmatch(given) else secrets.token_hex(8)
    return cast(str, g.request_id)


def route() -> str:
    """The route of the request as it is declared, "/runs/<run>/"; "none" for an address that there is not."""
    return request.url_rule.rule if request.url_rule else NO_ROUTE


def _begin() -> None:
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()  # threads answer one request after the other
    structlog.contextvars.bind_contextvars(request=request_id())


def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    seconds = time.perf_counter() - g.began
    method = request.method if request.method in HTTPMethod.__members__ else "other"
    metrics.REQUESTS.labels(method, route(), response.status_code).inc()
    metrics.REQUEST_SECONDS.labels(route()).observe(seconds)
    log.info(
        "Request",
        extra={
            "method": method,
            "route": route(),
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "bytes": response.content_length or response.calculate_content_length(),  # null: written while it is sent
        },
    )
    return response


def _forget(_: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
