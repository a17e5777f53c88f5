"""The one blueprint of all pages, and what several of its modules answer with."""

from __future__ import annotations

from io import BytesIO

from flask import Blueprint, Response, send_file
from werkzeug.wrappers import Response as BaseResponse

from picasso.errors import NotFound
from picasso.web.services import session_id

blueprint = Blueprint("pages", "picasso.web")
Answer = str | BaseResponse | tuple[str, int] | tuple[BaseResponse, int]


def own_session() -> str:
    """The visitor's session; everything that belongs to nobody is not found."""
    found = session_id()
    if found is None:
        raise NotFound("This belongs to a session that has expired or is not yours. Start again from the first page.")
    return found


def png(data: bytes) -> Response:
    return send_file(BytesIO(data), mimetype="image/png")


def webp(data: bytes) -> Response:
    return send_file(BytesIO(data), mimetype="image/webp")
