"""The HTTP server: waitress, which says what is wrong in our own words where a request is too large for it."""

from __future__ import annotations

import io
import logging
import select
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import RequestEntityTooLarge

from picasso.config import Config
from picasso.disk import no_space
from picasso.errors import NoSpace
from picasso.lanes import Full, Lanes
from picasso.web.security import FULL, is_stranger

REFUSED_UNREAD = 8  # times the limit: larger bodies are not received to their end, so that they do not fill the disk
CONNECTIONS = 2000  # a browser keeps six open; where all are taken, nobody else is heard, health neither
RECEIVED_AT_ONCE = 64 * 1024  # bytes; each time, all connections are looked at
FILES_EACH = 6  # of a connection at most: itself, a large body, and an answer's for each request that may wait
FILES_BESIDE = 500  # that this process may have open besides: databases, pictures, workers
WAITING_EACH = 4  # requests that one connection may send ahead; browsers send none
STALLED = 30  # seconds without any progress, after which whoever sends headers or takes an answer is given up
LOOK_EVERY = 5  # seconds, at that
ROOM = 100  # idle connections that are closed where all are taken


def make_server(app: Flask, listener: socket.socket, config: Config) -> BaseWSGIServer:
    """A server for the application; its `run` serves until the process is told to end.

    Args:
        listener: a socket that listens.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait is usual; `lanes` has the bound
    server = create_server(
        app,
        sockets=[listener],
        _dispatcher=Lanes(),
        connection_limit=_connections(),
        recv_bytes=RECEIVED_AT_ONCE,
        asyncore_use_poll=hasattr(select, "poll"),  # `select` takes no file numbers above 1023
        max_request_body_size=REFUSED_UNREAD * config.MAX_UPLOAD_BYTES,
        cleanup_interval=LOOK_EVERY,
        clear_untrusted_proxy_headers=False,  # the application believes as much as is configured
    )
    server.channel_class, server.app = _Channel, app
    server.maintenance, server.readable = partial(_give_up, server), partial(_make_room, server)
    return server


def _give_up(server: BaseWSGIServer, now: float) -> None:
    """Closes connections that nothing comes of: a thread may wait for one to take its answer."""
    type(server).maintenance(server, now)
    for channel in list(server.active_channels.values()):
        began = channel.began if channel.request is not None and not channel.request.headers_finished else now
        if began < now - STALLED or (channel.total_outbufs_len and channel.last_activity < now - STALLED):
            channel.handle_close()


def _make_room(server: BaseWSGIServer) -> bool:
    """Whether connections are taken; where there are too many, those that are idle for longest are closed."""
    if len(server._map) >= server.adj.connection_limit:
        idle = [one for one in server.active_channels.values() if not one.requests and not one.total_outbufs_len]
        for channel in sorted(idle, key=lambda one: one.last_activity)[:ROOM]:
            channel.handle_close()
    return bool(type(server).readable(server))


def _connections() -> int:
    """How many connections this process may have, each of which may need `FILES_EACH`."""
    files = 1024  # where it cannot be asked
    with suppress(ImportError, OSError, ValueError):
        import resource

        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES_EACH * CONNECTIONS + FILES_BESIDE
        if files < wanted:
            files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(50, min(CONNECTIONS, (files - FILES_BESIDE) // FILES_EACH))


def _refusing(channel: Any, request: Any) -> Task:
    """What answers a request that cannot be read, or cannot wait. Where it can, the application says so itself."""
    if isinstance(request.error, Full):
        return _FullTask(channel, request)
    if not isinstance(request.error, RequestEntityTooLarge):
        return ErrorTask(channel, request)
    request.headers.setdefault("CONTENT_LENGTH", str(channel.adj.max_request_body_size))  # of a body sent in chunks
    task = WSGITask(channel, request)
    task.set_close_on_finish()  # the rest of the body is not read
    return task


class _FullTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    def get_environment(self) -> dict[str, Any]:
        return {**super().get_environment(), FULL: True}


class _NotReceived(io.RawIOBase):
    """The body of a request for which there was no space. Whatever reads it says so."""

    def __init__(self, error: NoSpace) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        raise self._error

    def getfile(self) -> _NotReceived:
        """As waitress asks for a body."""
        return self

    def getbuf(self) -> _NotReceived:
        """The same, to close it."""
        return self


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = staticmethod(_refusing)
    request: Any  # that is being received
    began = 0.0  # when it was begun
    let_in = False  # whether its body is to be received

    def received(self, data: bytes) -> bool:
        """Takes what arrives. A large body is kept in a temporary file, of those who may come in.

        Without space for it, the application says so; to a stranger, what is missing.
        """
        if self.request is None:
            self.began, self.let_in = time.time(), False
        try:
            taken = bool(super().received(data))
        except OSError as error:
            full = no_space(error)
            if full is None or self.request is None:
                raise
            self._answer_now(_NotReceived(full))
            return True
        if len(self.requests) > WAITING_EACH:
            self.will_close = True
        elif self.request is not None and self.request.headers_finished and not self.let_in:
            self.let_in = not self._is_stranger()
            if not self.let_in:
                self._answer_now(None)
        return taken

    def _is_stranger(self) -> bool:
        environ = WSGITask(self, self.request).get_environment()
        with self.server.app.request_context(environ):
            return is_stranger()

    def _answer_now(self, body: Any) -> None:
        """Hands over the request that is being received, with this as its body; the rest of it is not received."""
        with self.requests_lock:
            request, self.request = self.request, None
            request.close()  # what was received of its body
            request.body_rcv = body
            request.headers.setdefault("CONTENT_LENGTH", "1")  # of a body sent in chunks, so that it is looked at
            request.headers["CONNECTION"] = "close"
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)
