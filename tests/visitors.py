"""Visitors to a server: what browsers and programs send, and what they get."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPException
from http.cookiejar import CookieJar
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from waiting import wait_for
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

if TYPE_CHECKING:
    from serving import Server

FINISHED = ("done", "failed", "cancelled", "interrupted")


class Gone(Exception):
    """The server does not answer: it has ended."""


@dataclass
class Answer:
    """What came."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What a person reads of a page."""
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.body.decode())).split())


@dataclass
class Visitor:
    """A browser, by its cookie; and a program, by the token of its session.

    Attributes:
        server: where it asks.
        token: of its session, which it has from its first upload on.
        images: the ids of what it uploaded as a program.
        headers: that it sends with everything.
    """

    server: Server
    token: str = ""
    images: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: CookieJar = field(default_factory=CookieJar)

    def __post_init__(self) -> None:
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies)).open

    def ask(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> Answer:
        """Sends a request, with `data` of that content type.

        Raises:
            Gone: there is no answer.
        """
        headers = self.headers | ({"Content-Type": kind} if kind else {})
        if self.token and path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.server.address}{path}", data, headers, method=method)
        try:
            with self._open(request, timeout=60) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers)
        except (OSError, HTTPException) as error:
            raise Gone(str(error)) from error

    def get(self, path: str) -> Answer:
        """A page, or what REST answers."""
        return self.ask("GET", path)

    def page(self, path: str) -> str:
        """A page as it was sent; it must be one that could be made."""
        answer = self.get(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def form(self, path: str, **fields: Any) -> Answer:
        """Sends a form; a field may be a list, or a file (content, name)."""
        values = {
            name: FileStorage(BytesIO(value[0]), value[1]) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }
        boundary, data = encode_multipart(values)
        return self.ask("POST", path, data, f"multipart/form-data; boundary={boundary}")

    def json(self, method: str, path: str) -> Any:
        """What REST answers, which must be a success; None where that has no content."""
        answer = self.ask(method, f"/api/v1/{path}")
        assert 200 <= answer.status < 300, (answer.status, answer.body)
        return answer.json if answer.body else None

    def upload(self, name: str = "a.png", seed: int = 0, size: tuple[int, int] = (12, 16)) -> Answer:
        """Adds a picture by REST."""
        answer = self.form("/api/v1/images", file=(picture(seed, size), name))
        if answer.status == 201:
            self.token = answer.json["session"]["token"]
            self.images.append(answer.json["images"][0]["id"])
        return answer

    def start(self, visualization: str, *images: str, **settings: Any) -> Answer:
        """Starts a run by REST: of the first picture, unless others are named."""
        content = {
            "visualization": visualization,
            "images": list(images) or self.images[:1],
            "settings": settings,
        }
        return self.ask("POST", "/api/v1/runs", json.dumps(content).encode(), "application/json")

    def run(self, run: str) -> dict[str, Any]:
        """A run as it is now."""
        found: dict[str, Any] = self.json("GET", f"runs/{run}")
        return found

    def runs(self) -> list[dict[str, Any]]:
        """The runs of its session, the newest first."""
        found: list[dict[str, Any]] = self.json("GET", "runs?limit=100")["runs"]
        return found

    def wait(self, run: str, *states: str) -> dict[str, Any]:
        """Waits until a run is in one of these states; any finished one unless given."""
        wanted = states or FINISHED
        found: dict[str, Any] = wait_for(lambda: now if (now := self.run(run))["state"] in wanted else None)
        return found


def picture(seed: int = 0, size: tuple[int, int] = (12, 16)) -> bytes:
    """A PNG of noise, which cannot be made smaller."""
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()
