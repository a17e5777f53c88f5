"""A server for others: behind a proxy, under a prefix, with a token, and with names that would like to be code."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .conftest import serving
from .helpers import RESULT_MILLISECONDS, ROOT, accessibility_problems, sideways_scrolling

pytestmark = pytest.mark.slow

PREFIX = "/tools/picasso"
XSS = "<img src=x onerror=window.hit=1>"
CODE = [
    XSS,
    "<script>window.hit=1</script>",
    "${window.hit=1}",
    "{{ 7*7 }}",
    "');window.hit=1//",
    '"><svg onload=hit=1>',
]
LABELS = [f"{code} {number}" for number, code in enumerate([*CODE, *CODE[:4]])]
PICTURE = ROOT / "examples" / "mnist-keras" / "samples" / "seven.png"


@contextmanager
def proxy(target: str) -> Iterator[str]:
    """What nginx does with `location /tools/picasso/`: the prefix taken off, and said in a header; its address."""
    host, port = urlsplit(target).hostname, urlsplit(target).port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404, "outside")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            headers |= {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "http"}
            headers |= {
                "X-Forwarded-Host": self.headers["Host"],
                "X-Forwarded-Prefix": PREFIX,
                "Host": f"{host}:{port}",
            }
            connection = HTTPConnection(str(host), port, timeout=60)
            connection.request(self.command, self.path.removeprefix(PREFIX), body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            if answer.status != 304:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = forward

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nothing_happened(page: Page) -> None:
    """No name became code or an element."""
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x], svg[onload]").count() == 0


def test_behind_a_proxy_names_are_text_and_all_addresses_hold(
    new_context: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    settings = {
        "SETTINGS": "examples/mnist-keras/config.py",
        "TRUSTED_PROXIES": "1",
        "MODEL_LABELS": json.dumps(LABELS),
    }
    with serving(tmp_path, **settings) as server, proxy(server.address) as base:
        context = new_context()
        outside = [f"{base}/"]
        context.on("request", lambda request: outside.append(request.url))
        page = context.new_page()
        page.goto(f"{base}/")
        expect(page.get_by_role("heading", name="needs a token")).to_be_visible()
        assert accessibility_problems(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        assert sideways_scrolling(page) == 0
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(f"{base}/?{urlsplit(server.link).query}")
        assert page.url == f"{base}/"
        with page.expect_navigation():
            page.locator("input[type=file]").set_input_files(
                {"name": f"{XSS}.png", "mimeType": "image/png", "buffer": PICTURE.read_bytes()}
            )
        expect(page.get_by_text(XSS).first).to_be_visible()
        nothing_happened(page)
        runs = []
        for name in ("class-probabilities", "occlusion?window=7&stride=7", "saliency"):
            page.goto(f"{base}/visualizations/{name}")
            nothing_happened(page)
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_url("**/runs/**")
            expect(page.get_by_role("heading", name="This run")).to_be_visible(timeout=RESULT_MILLISECONDS)
            page.wait_for_load_state("networkidle")
            nothing_happened(page)
            expect(page.get_by_text(LABELS[7]).first).to_be_attached()
            runs.append(page.url.rstrip("/").rpartition("/")[2])
        picture = page.locator("picasso-map").first
        picture.hover()
        nothing_happened(page)
        image = page.request.get(f"{base}/ask", max_redirects=0).headers["location"]
        addresses = [f"/compare?run={runs[1]}&run={runs[2]}", f"/compare/with/{runs[1]}", "/compare", "/runs", "/model"]
        addresses += ["/api/v1/docs", image.removeprefix(PREFIX), f"/compare?run={runs[1]}&class={XSS}", f"/{XSS}"]
        for address in [*addresses, f"/visualizations/occlusion?window={XSS}", f"/visualizations/{XSS}"]:
            page.goto(f"{base}{address}")
            page.wait_for_load_state("networkidle")
            nothing_happened(page)
        page.goto(f"{base}{image.removeprefix(PREFIX)}")
        expect(page.get_by_text(LABELS[7]).first).to_be_attached()
        assert [url for url in outside if not url.startswith((f"{base}/", "blob:", "data:"))] == []
        (cookie,) = context.cookies(base)
        assert re.fullmatch("picasso-[0-9a-f]{8}", cookie["name"])  # which follows from the server's key
        assert (cookie["path"], cookie["httpOnly"]) == (PREFIX, True)
        context.close()
