"""The application with an engine that works in this process, and a client that examines every page it gets."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from numpy.typing import NDArray
from PIL import Image
from werkzeug.test import TestResponse

from picasso.config import Preprocessing
from picasso.models.base import Model
from picasso.models.info import Layer, ModelInfo
from picasso.models.preprocessing import ReadyMade
from picasso.runs.run import Run
from picasso.runs.store import Store
from picasso.testing.engine import InProcessEngine as InProcessEngine  # for the tests beside this
from picasso.web import security
from picasso.web.services import Services

MNIST = Path(__file__).resolve().parents[2] / "examples" / "mnist-keras"


class TinyModel(Model):
    """A real `Model` in a few lines: softmax of one linear layer over 28 x 28 grey pixels.

    Its layer "half" has every second row and column of them.
    """

    def __init__(self, labels: tuple[str, ...], capabilities: frozenset[str]) -> None:
        super().__init__()
        self.preprocessor = ReadyMade(Preprocessing(scale=(0, 1)), (28, 28, 1))
        self.weights = np.random.default_rng(0).normal(size=(28 * 28, len(labels))).astype(np.float32)
        self.info = ModelInfo(
            name="Tiny",
            framework="keras",
            file="tiny.keras",
            modified=time.time(),
            fingerprint="ab" * 32,
            functions="cd" * 32,
            input_shape=(28, 28, 1),
            labels=labels,
            score_kind="probability",
            capabilities=capabilities,
            parameters=self.weights.size,
            versions=(("numpy", np.__version__),),
            seconds_per_image=0.001,
            layers=(Layer("half", "Strided", (14, 14, 1), True),),
        )

    def _scores(self, x: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
        values = x.reshape(len(x), -1) @ self.weights
        if logits:
            return values
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _gradients(self, x: NDArray[np.float32], classes: NDArray[np.int64], logits: bool) -> NDArray[np.float32]:
        return self.weights.T[classes].reshape(x.shape)

    def _activations(self, x: NDArray[np.float32], layer: str) -> NDArray[np.float32]:
        return x[:, ::2, ::2]

    def _layer_gradients(
        self, x: NDArray[np.float32], classes: NDArray[np.int64], layer: str, logits: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return x[:, ::2, ::2], self._gradients(x, classes, logits)[:, ::2, ::2]


class Page(HTMLParser):
    """A parsed page: its title, text, links, forms; and what the Content-Security-Policy would block."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.forbidden: list[str] = []
        self.title = ""
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element."""
        values = dict(attrs)
        self.elements.append((tag, values))
        self._open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.forbidden.append(f"<{tag} {name}={value}>")
        if tag == "style" or (tag == "script" and not values.get("src")):
            self.forbidden.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        """Closes elements, also those that need no end."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Collects text."""
        data = data.replace("\N{NO-BREAK SPACE}", " ")  # as it is read
        self.text += data
        if self._open and self._open[-1] == "title":
            self.title += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a tag that have these."""
        wanted = attributes.items()
        return [found for name, found in self.elements if name == tag and wanted <= found.items()]

    def field(self, name: str) -> str | None:
        """The value of a form's input, or the chosen option's text is not known: inputs only."""
        return self.all("input", name=name)[-1].get("value")


class ExaminingClient(FlaskClient):
    """Examines every answer, whichever test asked: headers, no inline code, a title, no traceback."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Sends a request and examines what comes."""
        response = super().open(*args, **{"buffered": True, **kwargs})  # closes the files that are sent
        assert response.headers["Content-Security-Policy"] == security.POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.mimetype == "text/html" and not 300 <= response.status_code < 400:
            packed = response.headers.get("Content-Encoding") == "gzip"
            html = (gzip.decompress(response.data) if packed else response.data).decode()
            page = Page(html)
            assert page.forbidden == []
            assert "Traceback (most recent call last)" not in html
            if html.lower().startswith("<!doctype"):
                assert page.title.strip()
                assert len(page.all("h1")) == 1
            identifiers = [found["id"] for _, found in page.elements if "id" in found]
            assert len(identifiers) == len(set(identifiers))
        return response


class Visitor:
    """A browser at the application, with what people do there."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client = app.test_client()

    @property
    def services(self) -> Services:
        """The services of the application."""
        found: Services = self.app.extensions["picasso"]
        return found

    @property
    def session(self) -> str:
        """This visitor's session in the store."""
        with self.client.session_transaction() as cookie:
            found: str = cookie["id"]
            return found

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        """A page."""
        return self.client.get(path, **kwargs)

    def page(self, path: str, status: int = 200, **kwargs: Any) -> Page:
        """A page that must have that status, parsed."""
        response = self.client.get(path, **kwargs)
        assert response.status_code == status, response.get_data(as_text=True)
        return Page(response.get_data(as_text=True))

    def post(self, path: str, data: Any = None, **kwargs: Any) -> TestResponse:
        """A form."""
        return self.client.post(path, data=data, **kwargs)

    def upload(self, *files: tuple[str, bytes], **fields: str) -> TestResponse:
        """Uploads (name, content) pairs."""
        return self.post("/images", {"file": [(BytesIO(data), name) for name, data in files], **fields})

    def add(self, name: str = "cat.png", seed: int = 0) -> str:
        """Uploads a picture; its id."""
        assert self.upload((name, picture(seed))).status_code == 303
        return self.services.store.images(self.session)[-1].id

    def start(self, visualization: str = "occlusion", *images: str, **settings: Any) -> Run:
        """Starts a run; how it is now."""
        response = self.post(
            "/runs", {"visualization": visualization, "image": list(images) or [self.add()], **settings}
        )
        assert response.status_code == 303, response.get_data(as_text=True)
        return self.run(response.location.split("/")[2])

    def run(self, run: str) -> Run:
        """A run as it is now."""
        return self.services.store.run(self.session, run)


class CompiledTemplates(BytecodeCache):
    """Templates that were compiled by an earlier application."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


Flask.jinja_options = {"bytecode_cache": CompiledTemplates()}


def delete_sessions(store: Store) -> None:
    """Leaves nothing of the visitors that a test had."""
    for folder in (store.folder / "sessions").iterdir():
        store.delete_session(folder.name)


def picture(seed: int = 0, size: tuple[int, int] = (28, 28)) -> bytes:
    """A PNG."""
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


MakeVisitor = Callable[..., Visitor]
