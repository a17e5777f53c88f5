"""Headers on every answer, and the check that changes come from our own pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, abort, request

from picasso.web.transfers import FOR_GOOD

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def refuse_other_origins() -> None:
    """Changes come from our own pages only; programs that send neither header are let through."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            abort(403, "This request came from another site. Open Picasso itself and try there.")
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403, "This request came from another site. Open Picasso itself and try there.")


def add_headers(response: Response) -> Response:
    """A strict policy; nothing of a session is stored on the way."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.endpoint == "static" and response.status_code < 400:
        response.headers["Cache-Control"] = FOR_GOOD
    elif "max-age" not in response.headers.get("Cache-Control", ""):
        response.headers["Cache-Control"] = "private, no-store"
    return response
