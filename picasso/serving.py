"""The HTTP server: waitress, which says what is wrong in our own words where a request is too large for it."""

from __future__ import annotations

import io
import logging
import socket
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import RequestEntityTooLarge

from picasso.config import Config
from picasso.disk import no_space
from picasso.errors import NoSpace

THREADS = 16
REFUSED_UNREAD = 8  # times the limit: larger bodies are not received to their end, so that they do not fill the disk


def make_server(app: Flask, listener: socket.socket, config: Config) -> BaseWSGIServer:
    """A server for the application; its `run` serves until the process is told to end.

    Args:
        listener: a socket that listens.
    """
    logging.getLogger("waitress.queue").addFilter(_is_long)
    server = create_server(
        app,
        sockets=[listener],
        threads=THREADS,
        max_request_body_size=REFUSED_UNREAD * config.MAX_UPLOAD_BYTES,
        clear_untrusted_proxy_headers=not config.TRUSTED_PROXIES,  # else the application needs what proxies say
    )
    server.channel_class = _Channel
    return server


def _is_long(record: logging.LogRecord) -> bool:
    """Whether a warning of the queue's depth tells something: while threads start, a single request is one already."""
    return isinstance(record.args, tuple) and record.args >= (THREADS,)


def _refusing(channel: Any, request: Any) -> Task:
    """What answers a request that cannot be read. The application refuses what is too large, by its length alone."""
    if not isinstance(request.error, RequestEntityTooLarge):
        return ErrorTask(channel, request)
    request.headers.setdefault("CONTENT_LENGTH", str(channel.adj.max_request_body_size))  # of a body sent in chunks
    task = WSGITask(channel, request)
    task.set_close_on_finish()  # the rest of the body is not read
    return task


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

    def received(self, data: bytes) -> bool:
        """Takes what arrives. A large body is kept in a temporary file: without space, the application answers so."""
        try:
            return bool(super().received(data))
        except OSError as error:
            full = no_space(error)
            if full is None or self.request is None:
                raise
        with self.requests_lock:
            request, self.request = self.request, None
            request.body_rcv = _NotReceived(full)
            request.headers.setdefault("CONTENT_LENGTH", "1")  # of a body sent in chunks, so that it is looked at
            request.headers["CONNECTION"] = "close"  # the rest of it is not received
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)
        return True
