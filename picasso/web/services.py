"""What pages use, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app, g, session

from picasso.config import Config
from picasso.runs.engine import Engine
from picasso.runs.store import Store
from picasso.sessions import Sessions
from picasso.visualizations.discovery import Registry


@dataclass(frozen=True)
class Services:
    """Made once by the factory."""

    config: Config
    store: Store
    engine: Engine
    sessions: Sessions
    registry: Registry


def services() -> Services:
    """The services of the current application."""
    return cast(Services, current_app.extensions["picasso"])


def session_id() -> str | None:
    """The visitor's session, if there is one and it has not expired."""
    if "session_id" not in g:
        known = session.get("id")
        alive = isinstance(known, str) and services().store.touch_session(known)
        g.session_id = known if alive else None
    return cast("str | None", g.session_id)


def require_session() -> str:
    """The visitor's session, made now if there is none."""
    found = session_id()
    if found is None:
        found = services().store.new_session()
        session.clear()
        session["id"] = found
        session.permanent = True
        g.session_id = found
    return found


def forget_session() -> None:
    """The browser's cookie leads nowhere from now on."""
    session.clear()
    g.session_id = None
