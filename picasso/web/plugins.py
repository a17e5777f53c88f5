"""Visualizations of one's own in the web process: read again while they are written, and blamed for their errors."""

from __future__ import annotations

import logging
import threading

from flask import Flask, request

from picasso.errors import PluginError, place_in
from picasso.runs.watching import Looks, look
from picasso.visualizations.changes import files_in, read_again
from picasso.visualizations.discovery import BUILT_IN
from picasso.web.services import services
from picasso.web.templates import broken_templates, forget_templates

log = logging.getLogger(__name__)


class PluginWatch:
    """Looks before each request whether a file in VISUALIZATION_FOLDERS has changed."""

    def __init__(self, app: Flask) -> None:
        self._env = app.jinja_env
        self._seen: Looks = {}
        self._lock = threading.Lock()
        app.before_request(self.look)

    def look(self) -> None:
        """Reads what has changed, and tells whatever computes."""
        if request.endpoint == "static":
            return
        folders, registry = services().config.VISUALIZATION_FOLDERS, services().registry
        with self._lock:
            now = look(files_in(folders))
            if now == self._seen:
                return
            registry.become(read_again(folders, registry, frameworks=False))
            forget_templates(self._env)
            registry.become(registry.without(broken_templates(self._env, registry)))
            self._seen = look(files_in(folders)) | now  # also what has been imported just now
            services().engine.plugins_changed()


def author_error(error: BaseException) -> PluginError | None:
    """What is said of an error in a visualization's own code or template; None where no such thing is to blame."""
    owners = {
        str(path): cls
        for cls in services().registry.visualizations.values()
        for path in (cls.file, cls.template)
        if path is not None and path.parent != BUILT_IN
    }
    place = place_in(error, owners)
    if place is None or place.file not in owners:
        return None
    return PluginError.of(owners[place.file].name, error, place, source=services().config.RELOAD_PLUGINS)


def author_sentence(error: Exception) -> str:
    """What is said on a page that is about more than the visualization to blame; any other error is raised again."""
    blamed = author_error(error)
    if blamed is None:
        raise error
    log.error("A visualization failed", exc_info=error)
    return blamed.message.partition("\n")[0]
