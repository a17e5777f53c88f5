"""A program without cookies, which examines every answer it gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

from browsing import picture
from flask import Flask
from werkzeug.test import TestResponse

from picasso.web import security
from picasso.web.services import Services

API = "/api/v1"
CAPABILITIES = frozenset({"predict", "gradients", "logits", "activations"})


class Program:
    """Sends requests with the token of its session, once it has one."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client = app.test_client(use_cookies=False)
        self.token = ""

    @property
    def services(self) -> Services:
        """The services of the application."""
        found: Services = self.app.extensions["picasso"]
        return found

    def ask(self, method: str, path: str, status: int = 200, **kwargs: Any) -> TestResponse:
        """An answer that must have that status."""
        headers = dict(kwargs.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        address = path if path.startswith("/") else f"{API}/{path}"
        response = self.client.open(address, method=method, headers=headers, buffered=True, **kwargs)
        assert response.status_code == status, response.get_data(as_text=True)
        examine(response)
        return response

    def get(self, path: str, status: int = 200, **kwargs: Any) -> Any:
        """The JSON of an answer."""
        return self.ask("GET", path, status, **kwargs).get_json()

    def error(self, method: str, path: str, status: int, **kwargs: Any) -> dict[str, Any]:
        """The error that an answer must be."""
        found: dict[str, Any] = self.ask(method, path, status, **kwargs).get_json()["error"]
        return found

    def upload(self, *files: tuple[str, bytes], status: int = 201, **kwargs: Any) -> Any:
        """Uploads (name, content) pairs; keeps the token of the answer."""
        data = {"file": [(BytesIO(content), name) for name, content in files]}
        found = self.ask("POST", "images", status, data=data, **kwargs).get_json()
        if status == 201:
            self.token = found["session"]["token"]
        return found

    def add(self, name: str = "cat.png", seed: int = 0) -> str:
        """Uploads a picture; its id."""
        found: str = self.upload((name, picture(seed)))["images"][0]["id"]
        return found

    def start(self, visualization: str = "occlusion", *images: str, status: int = 202, **more: Any) -> Any:
        """Starts a run, one that takes little unless it says more; how it is then."""
        more.setdefault("settings", {"window": 14, "stride": 14} if visualization == "occlusion" else {})
        body = {"visualization": visualization, "images": list(images) or [self.add()], **more}
        return self.ask("POST", "runs", status, json=body).get_json()


def examine(response: TestResponse) -> None:
    """What holds for every answer."""
    assert response.headers["Content-Security-Policy"] == security.POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if response.status_code == 204:
        assert response.data == b""
    elif response.status_code >= 400:
        assert response.content_type == "application/json"
        assert response.get_json().keys() == {"error", "request_id"}
        assert response.get_json()["request_id"] == response.headers["X-Request-ID"]
        assert response.get_json()["error"].keys() == {"code", "message", "field"}
        assert response.get_json()["error"]["message"].endswith((".", "…"))
    if response.mimetype == "application/json":
        json.loads(response.data, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


MakeProgram = Callable[..., Program]
