"""The factory: config -> services -> blueprints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from apiflask import APIFlask
from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.middleware.proxy_fix import ProxyFix

from picasso import __version__, logs
from picasso.access import Access, refuse_debugging
from picasso.api import routes
from picasso.config import Config, load_config
from picasso.runs.engine import DaskEngine
from picasso.runs.interface import Engine
from picasso.runs.overview import DiskUse
from picasso.runs.store import opened
from picasso.sessions import Sessions, admin_token, secret_key
from picasso.visualizations.discovery import discover
from picasso.web import access_log, pages
from picasso.web.plugins import PluginWatch
from picasso.web.security import cookie_name
from picasso.web.services import Services
from picasso.web.templates import prepare_templates
from picasso.web.transfers import compress, static_url_path


def create_app(
    config: Config | None = None, engine: Engine | None = None, read_again: Callable[[], Config] | None = None
) -> Flask:
    """Makes the web application, and starts the worker process in the background.

    Args:
        config: all settings; `load_config()` unless given.
        engine: what computes; the Dask engine unless given.
        read_again: gives the config as it is when models are reloaded; the same one unless given, or `load_config()`
            where `config` is not given either.

    Raises:
        ConfigError: a setting is wrong.
    """
    if config is None:
        config, read_again = load_config(), read_again or load_config
    unchanged = config
    logs.set_up(config)
    access = Access.of(config)
    refuse_debugging(access, debug=get_debug_flag(), reload_plugins=config.RELOAD_PLUGINS)
    store = opened(config.DATA_DIR)
    key = secret_key(config.DATA_DIR)
    access = access.with_administrator(lambda: admin_token(config.DATA_DIR))
    registry = discover(config.VISUALIZATION_FOLDERS, frameworks=False)
    engine = engine or DaskEngine(config, store, registry)
    sessions = Sessions(config, store, engine)

    app = APIFlask(
        "picasso",
        "Picasso",
        __version__,
        spec_path=None,
        docs_path=None,
        json_errors=False,
        static_url_path=static_url_path(),
    )
    app.config.update(
        SECRET_KEY=key,
        MAX_CONTENT_LENGTH=config.MAX_UPLOAD_BYTES,
        MAX_FORM_PARTS=1000,
        SESSION_COOKIE_NAME=cookie_name(key),
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=config.SESSION_HOURS),
        TEMPLATES_AUTO_RELOAD=False,
    )
    behind_proxies(app, config.TRUSTED_PROXIES)
    read_again = read_again or (lambda: unchanged)
    disk = DiskUse(config.DATA_DIR)
    app.extensions["picasso"] = Services(config, store, engine, sessions, registry, access, read_again, disk)
    access_log.watch(app)
    prepare_templates(app, registry)
    if config.RELOAD_PLUGINS:
        PluginWatch(app)
    pages.install(app)
    routes.install(app)
    compress(app)
    engine.start()
    sessions.start_sweeping()
    return app


def behind_proxies(app: Flask, count: int) -> None:
    """Has what so many proxies say of the visitor, the scheme, the name and the path believed; of none, nothing."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, count, count, count, count, count)  # type: ignore[method-assign]
