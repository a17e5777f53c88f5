"""The factory: config -> services -> blueprint."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from picasso.config import Config, load_config
from picasso.runs.engine import DaskEngine, Engine
from picasso.runs.store import Store
from picasso.sessions import Sessions, secret_key
from picasso.visualizations.discovery import discover
from picasso.web import pages
from picasso.web.services import Services
from picasso.web.templates import prepare_templates


def create_app(config: Config | None = None, engine: Engine | None = None) -> Flask:
    """Makes the web application, and starts the worker process in the background.

    Args:
        config: all settings; `load_config()` unless given.
        engine: what computes; the Dask engine unless given.

    Raises:
        ConfigError: a setting is wrong.
    """
    config = config or load_config()
    store = Store(config.DATA_DIR, config.model_digest())
    registry = discover(config.VISUALIZATION_FOLDERS, frameworks=False)
    engine = engine or DaskEngine(config, store, registry)
    sessions = Sessions(config, store, engine)

    app = Flask("picasso")
    app.config.update(
        SECRET_KEY=secret_key(config.DATA_DIR),
        MAX_CONTENT_LENGTH=config.MAX_UPLOAD_BYTES,
        MAX_FORM_PARTS=1000,
        SESSION_COOKIE_NAME="picasso",
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=config.SESSION_HOURS),
        TEMPLATES_AUTO_RELOAD=False,
    )
    app.extensions["picasso"] = Services(config, store, engine, sessions, registry)
    prepare_templates(app, registry)
    pages.install(app)
    engine.start()
    sessions.start_sweeping()
    return app
