"""The pages of a visualization, made by the real application."""

from __future__ import annotations

import atexit
import tempfile
import time
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from flask import Flask

from picasso.app import create_app
from picasso.config import Config
from picasso.errors import NotFound, PicassoError
from picasso.images.reading import encode_png
from picasso.runs.run import State
from picasso.testing.case import Case, ContractBroken, pictures, require
from picasso.testing.engine import InProcessEngine
from picasso.visualizations.discovery import Registry
from picasso.web.plugins import author_error
from picasso.web.templates import broken_templates, forget_templates


def every_page_is_made(case: Case) -> None:
    """The settings page, and that of a run: while it waits, with its first result only, and when it is done."""
    visit = Visit(case)
    try:
        visit.go()
    finally:
        visit.leave()


@cache
def application() -> Flask:
    """One for all, which takes half a second to make; errors leave it rather than become pages."""
    folder = tempfile.TemporaryDirectory(prefix="picasso-testing-")
    app = create_app(Config(DATA_DIR=Path(folder.name), RELOAD_PLUGINS=True), InProcessEngine())  # shows the source
    atexit.register(folder.cleanup)
    atexit.register(app.extensions["picasso"].store.close)
    app.testing = True
    app.error_handler_spec.clear()
    return app


class Visit:
    """Somebody who looks at two pictures."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.name = case.visualization.name
        self.app = application()
        services = self.app.extensions["picasso"]
        registry, self.store, self.engine = services.registry, services.store, services.engine
        self.engine.begin(self.app)
        self.engine.open(case.model)
        self.engine.waiting = True
        registry.become(Registry({self.name: case.visualization}))
        forget_templates(self.app.jinja_env)
        for broken in broken_templates(self.app.jinja_env, registry):
            raise ContractBroken(f"{broken.error}\n{broken.excerpt}")
        self.client = self.app.test_client()

    def go(self) -> None:
        """Asks for one page after the other."""
        self.page(f"/visualizations/{self.name}")
        files = [(BytesIO(encode_png(item.data)), item.filename) for item in pictures(2)]
        self.client.post("/images", data={"file": files})
        session = self.session()
        images = self.store.images(session)
        settings = {name: [*one] if isinstance(one, tuple) else one for name, one in self.case.costs()}
        asked = {"visualization": self.name, "image": [image.id for image in images], **settings}
        address = self.client.post("/runs", data=asked).location
        self.page(address)

        run = self.store.run(session, address.split("/")[2])
        self.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING, started=time.time())
        outcome = self.engine.execute(run)
        require(outcome.error is None, str(outcome.error))
        self.engine.partials[run.id] = outcome.results[:1]
        self.page(address)
        self.engine.finish(run, outcome)
        for link in self.page(address).shown:
            found = urljoin(address, link)
            if urlsplit(found).path.startswith(urlsplit(address).path):
                sentence = f"The page shows {link}, which is not there: was it written into output_dir, as PNG or JPEG?"
                require(self.is_there(found), sentence)

    def is_there(self, address: str) -> bool:
        """Whether something can be fetched."""
        try:
            return self.client.get(address).status_code == 200
        except NotFound:
            return False

    def session(self) -> str:
        """Made by the first upload; "" before that."""
        with self.client.session_transaction() as cookie:
            return str(cookie.get("id", ""))

    def leave(self) -> None:
        """Leaves nothing behind."""
        self.app.extensions["picasso"].sessions.delete(self.session())

    def page(self, address: str) -> Parsed:
        """A page, which must be made and must not need what the policy forbids."""
        try:
            response = self.client.get(address, follow_redirects=True)
        except Exception as error:
            with self.app.app_context():
                said = error if isinstance(error, PicassoError) else author_error(error)
            raise ContractBroken(f"{said or f'{type(error).__name__}: {error}'}") from error
        require(response.status_code == 200, f"The page {address} has the status {response.status}.")
        parsed = Parsed(response.get_data(as_text=True))
        sentence = "which the policy of pages forbids: use classes, and attributes of SVG for sizes"
        require(not parsed.inline, f"The page has {', '.join(parsed.inline)}, {sentence}.")
        return parsed


class Parsed(HTMLParser):
    """A page: the addresses of what it shows, and its inline styles and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        names = dict(attrs)
        if names.get("src"):
            self.shown.append(names["src"] or "")
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(f"<{tag}>")
        self.inline += [f"<{tag} {name}=...>" for name in names if name == "style" or name.startswith("on")]
