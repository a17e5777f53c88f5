"""What pages use, and who is asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from flask import current_app, g, request, session

from picasso.access import Access
from picasso.config import Config
from picasso.errors import NotFound
from picasso.runs.interface import Engine
from picasso.runs.overview import DiskUse
from picasso.runs.requests import how_is
from picasso.runs.roster import Status
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
    access: Access
    read_again: Callable[[], Config]
    disk: DiskUse
    started: float = field(default_factory=time.time)  # seconds since 1970
    draining: threading.Event = field(default_factory=threading.Event)  # no new visitors: it will end soon

    def drain(self) -> None:
        """Tells whoever asks that the server will end soon, and begins no more runs."""
        self.draining.set()
        self.engine.drain()


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
        session["id"] = found
        session.permanent = True
        g.session_id = found
    return found


def forget_session() -> None:
    """The browser's cookie leads to no session from now on; the chosen model stays chosen."""
    session.pop("id", None)
    g.session_id = None


def chosen_model() -> str:
    """The reference of the model that this visitor chose; the default unless they did, or if it is gone."""
    roster, known = services().engine.roster, session.get("model")
    return known if isinstance(known, str) and known and roster.knows(known) else roster.default


def choose_model(reference: str) -> None:
    """From now on this visitor's pages are of that model."""
    session["model"] = reference
    session.permanent = True


def page_model() -> str:
    """The reference of the model that this page is about: the one its address or form names, else the chosen one.

    Raises:
        NotFound: the model that is named is not there.
    """
    asked, chosen = request.values.get("model", ""), chosen_model()
    if asked and asked != chosen and not services().engine.roster.offers(asked):
        raise NotFound(f"There is no model {asked[:80]!r} (any more). Choose another one at the top of the page.")
    return asked or chosen


def model_field() -> dict[str, str]:
    """What a form sends along so that it is about the same model as its page; nothing where there is only one."""
    return {"model": page_model()} if len(services().engine.roster.choices()) > 1 else {}


def model_status(reference: str) -> Status:
    """How a model is; has it opened if nothing is known of it yet."""
    return how_is(services().engine, reference)
