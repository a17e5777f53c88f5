"""`Idempotency-Key`: a request that is sent again is answered as it was, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, request

from picasso.api.blueprint import blueprint
from picasso.api.schemas import OnceHeaders
from picasso.api.visitors import visitor
from picasso.errors import Conflict, InvalidRequest
from picasso.runs.store import Answer
from picasso.web.services import services

View = Callable[..., Any]
_under_way: set[tuple[str, str]] = set()
_lock = threading.Lock()


def once(view: View) -> View:
    """A route that makes something, whose answer is kept under the key that the request names."""

    @blueprint.input(OnceHeaders, location="headers", arg_name="once")
    @wraps(view)
    def wrapper(*args: Any, once: OnceHeaders, **kwargs: Any) -> Any:
        key = once.idempotency_key
        if not key:
            return view(*args, **kwargs)
        session, digest = visitor(), _digest()
        if session is None:
            response = current_app.make_response(view(*args, **kwargs))
            _keep(visitor(), key, digest, response)
            return response
        return _kept(session, key, digest) or _first(session, key, digest, lambda: view(*args, **kwargs))

    return wrapper


def _kept(session: str, key: str, digest: str) -> Response | None:
    known = services().store.answer(session, key)
    if known is None:
        return None
    if known.request != digest:
        raise InvalidRequest(
            "This Idempotency-Key was used for another request. Use a new key for it.", field="Idempotency-Key"
        )
    response = Response(known.body, known.status, mimetype="application/json")
    if known.location:
        response.headers["Location"] = known.location
    return response


def _first(session: str, key: str, digest: str, act: Callable[[], Any]) -> Response:
    with _lock:
        if (session, key) in _under_way:
            raise Conflict("A request with this Idempotency-Key is under way. Ask again in a moment.")
        _under_way.add((session, key))
    try:
        known = _kept(session, key, digest)  # it may have ended since
        if known is not None:
            return known
        response = current_app.make_response(act())
        _keep(session, key, digest, response)
        return response
    finally:
        with _lock:
            _under_way.discard((session, key))


def _keep(session: str | None, key: str, digest: str, response: Response) -> None:
    """Keeps what was made; where nothing was made, nothing is kept."""
    if session is not None and response.status_code in (201, 202):
        answer = Answer(digest, response.status_code, response.headers.get("Location", ""), response.get_data())
        services().store.keep_answer(session, key, answer)


def _digest() -> str:
    """What is asked: the boundaries of a multipart body are other ones each time, and do not count."""
    parts: list[Any] = [request.method, request.path, request.headers.get("Prefer", "")]
    if request.mimetype == "application/json":
        parts.append(request.get_json())
    else:
        parts.append(sorted(request.form.items(multi=True)))
        for field, file in request.files.items(multi=True):
            parts.append([field, file.filename, hashlib.sha256(file.stream.read()).hexdigest()])
            file.stream.seek(0)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
