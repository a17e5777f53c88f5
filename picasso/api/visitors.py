"""Who is asking: by the token that the first answer carried, or by the cookie of the pages."""

from __future__ import annotations

from typing import Any

from flask import current_app, g, request
from itsdangerous import BadSignature, URLSafeSerializer

from picasso.api.schemas import SessionShown
from picasso.errors import NoSession
from picasso.web.services import require_session, services, session_id

NEEDS_A_SESSION: list[str | dict[str, list[Any]]] = ["token", "cookie"]  # as the OpenAPI document says it
MAY_HAVE_A_SESSION: list[str | dict[str, list[Any]]] = [{}, {"token": []}, {"cookie": []}]
SALT = "session of a program"


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=SALT)


def token(session: str) -> SessionShown:
    """What leads to a session; to be put into answers only, never into an address or a log."""
    return SessionShown(token=str(_serializer().dumps(session)))


def visitor() -> str | None:
    """The session that the request names; None where it names none.

    Raises:
        NoSession: its token leads nowhere.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return session_id()
    try:
        session = _serializer().loads(given.strip())
    except BadSignature:
        session = None
    if not isinstance(session, str) or not services().store.touch_session(session):
        raise NoSession("This token's session has expired, or never was. Upload images to begin another.")
    g.session_id = session  # also for what asks `session_id`
    return session


def own_session() -> str:
    """The session that the request names.

    Raises:
        NoSession: it names none.
    """
    found = visitor()
    if found is None:
        raise NoSession(
            "This belongs to a session. Send its token, which the upload of images gave, as the header "
            "'Authorization: Bearer TOKEN'."
        )
    return found


def own_or_new_session() -> str:
    """The session that the request names, made now if it names none."""
    return visitor() or require_session()
