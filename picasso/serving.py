"""The HTTP server: waitress, which says what is wrong in our own words where a request is too large for it."""

from __future__ import annotations

import logging
import socket
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import RequestEntityTooLarge

from picasso.config import Config

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


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = staticmethod(_refusing)
