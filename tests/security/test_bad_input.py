"""What nobody should send: refused with a sentence, never with 500."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from browsing import MakeVisitor, Page, Visitor, picture
from werkzeug.test import TestResponse

from picasso import sessions
from picasso.config import MEBIBYTE
from picasso.images.decoder import Decoder
from picasso.serving import REFUSED_UNREAD, make_server

DEEP = 100_000
DIGITS = "9" * 5000
JSON = "application/json"


def is_refused(response: TestResponse, *statuses: int) -> str:
    """The sentence of an answer that refuses, in the body that its kind of address has."""
    assert response.status_code in (statuses or range(400, 500)), response.get_data(as_text=True)
    if response.request.path.startswith("/api/"):
        error = response.get_json()["error"]
        assert error.keys() == {"code", "message", "field"}
        text = str(error["message"])
    elif response.is_json:
        text = str(response.get_json()["error"]["message"])
    else:
        text = " ".join(Page(response.get_data(as_text=True)).text.split())
    assert re.search(r"\w+ .*\.", text), text
    return text


# JSON

BODIES = {
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"settings": ' * DEEP + b"1" + b"}" * DEEP,
    "deep inside": b'{"settings": {"window": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
    **{
        f"{depth} levels": b'{"settings": {"window": ' + b"[" * depth + b"]" * depth + b"}}"
        for depth in (240, 600, 950)
    },
    "never closed": b"[" * DEEP,
    "NaN": b'{"visualization": "occlusion", "images": [], "seed": NaN}',
    "Infinity": b'{"settings": {"window": -Infinity}}',
    "1e999": b'{"settings": {"window": 1e999}}',
    "lone surrogate": b'{"visualization": "\\ud800"}',
    "lone surrogate as a name": b'{"\\udfff": 1}',
    "integer of 5,000 digits": f'{{"seed": {DIGITS}}}'.encode(),
    "integer of 4,000 digits": f'{{"seed": {DIGITS[:4000]}}}'.encode(),
    "negative one": f'{{"settings": {{"window": -{DIGITS[:4000]}}}}}'.encode(),
    "number with many digits": f'{{"seed": 0.{DIGITS}e{DIGITS}}}'.encode(),
    "a name twice": b'{"visualization": "occlusion", "visualization": "occlusion", "images": []}',
    "a name twice inside": b'{"settings": {"window": 1, "window": 2}}',
    "not UTF-8": b'{"visualization": "\xff\xfe"}',
    "UTF-16": '{"seed": 1}'.encode("utf-16"),
    "nothing": b"",
    "no object": b"3",
    "two values": b"{} {}",
    "null": b"null",
    "NUL": b'{"visualization": "\\u0000", "images": ["\\u0000"]}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_json_that_is_none(visitor: Visitor, body: bytes) -> None:
    image = visitor.add()
    for path in ("/api/v1/runs", f"/ask/{image}/answer"):
        is_refused(visitor.post(path, body, content_type=JSON), 400, 413, 422)


def test_long_json_is_refused_unread(visitor: Visitor) -> None:
    image = visitor.add()
    body = b'{"settings": [' + b"[]," * (3 * MEBIBYTE) + b"1]}"
    for path in ("/api/v1/runs", f"/ask/{image}/answer"):
        assert "1 MiB" in is_refused(visitor.post(path, body, content_type=JSON), 413)


# Forms


def multipart(parts: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n1\r\n'
    return part * parts + b"--x--\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "kind", "statuses"),
    [
        (multipart(1001), "multipart/form-data; boundary=x", (413,)),
        (multipart(1)[:40], "multipart/form-data; boundary=x", (400, 404, 415, 422)),
        (multipart(1), "multipart/form-data", (400, 404, 415, 422)),
        (multipart(1), f"multipart/form-data; boundary={'y' * 5000}", (400, 404, 415, 422)),
        (b"a=" + b"x" * 600_000, "application/x-www-form-urlencoded", (404, 415, 422)),
        (b"a=" + b"x" * MEBIBYTE, "application/x-www-form-urlencoded", (413,)),
        (b"&".join([b"image=1"] * 50_000), "application/x-www-form-urlencoded", (400, 404, 413, 415, 422)),
        (b"visualization=%00%ff&image=%ed%a0%80", "application/x-www-form-urlencoded", (404, 415)),
        (b"visualization=occlusion&window=" + b"9" * 5000, "application/x-www-form-urlencoded", (415, 422)),
        (b"visualization=occlusion&window=nan&stride=1e999", "application/x-www-form-urlencoded", (415, 422)),
    ],
)  # fmt: skip
def test_forms_that_nobody_filled_in(visitor: Visitor, body: bytes, kind: str, statuses: tuple[int, ...]) -> None:
    visitor.add()
    for path in ("/runs", "/api/v1/explain", "/api/v1/images"):
        found = is_refused(visitor.post(path, body, content_type=kind), *statuses)
        if body == multipart(1001):
            assert "1,000 parts" in found
    for path in ("/compare", "/images", "/images/samples", "/model"):
        is_refused(visitor.post(path, body, content_type=kind))


# Addresses


@pytest.mark.slow
def test_addresses_with_absurd_parts(visitor: Visitor) -> None:
    """Every argument of every route, and every parameter that a page reads as a number."""
    image = visitor.add()
    run = visitor.start("occlusion", image, window="14", stride="14").id
    known = {"run": run, "image": image, "name": "map.npy"}
    absurd = [DIGITS, "-1", "1e999", "%00", "%ed%a0%80", "..", "%2e%2e%2f%2e%2e", "٣" * 5000, "x" * 60_000]
    tried = 0
    for rule in visitor.app.url_map.iter_rules():
        for argument in sorted(rule.arguments):
            for value in absurd:
                parts = dict.fromkeys(rule.arguments, "1") | known | {argument: value}
                path = re.sub(r"<(?:[^>:]+:)?([^>]+)>", r"{\1}", rule.rule).format(**parts)
                for method in (rule.methods or set()) & {"GET", "POST", "DELETE"}:
                    response = visitor.client.open(path, method=method)
                    assert response.status_code < 500, (method, path[:200])
                    if response.status_code >= 400:
                        is_refused(response)
                    tried += 1
    assert tried > 300


@pytest.mark.slow
def test_parameters_with_absurd_values(visitor: Visitor) -> None:
    image = visitor.add()
    run = visitor.start("occlusion", image, window="14", stride="14").id
    for value in (DIGITS, "-1", "nan", "inf", "1e999", "%00", "%ed%a0%80", "", "٣"):
        for address in (
            f"/compare?run={run}&rank={value}", f"/compare?run={run}&class={value}", f"/compare?run={value}",
            f"/ask/{image}/pieces?count={value}", f"/ask/{image}?region={value}", f"/ask?image={value}",
            f"/runs/{run}/files/0.maps.0.map.npy.png?low={value}&high={value}&colours={value}",
            f"/runs/{run}/maps/0/{value}/map.npy", f"/?range={value}", f"/status?model={value}",
            f"/visualizations/occlusion/cost?window={value}", f"/visualizations/occlusion?{value}={value}",
            f"/api/v1/runs?limit={value}", f"/api/v1/runs?before={value}", f"/api/v1/models?{value}=1",
            f"/api/v1/runs/{run}/results/0/maps.0.map.png?low={value}&opacity={value}",
        ):  # fmt: skip
            response = visitor.get(address)
            assert response.status_code < 500, address[:200]
            if response.status_code >= 400:
                is_refused(response)


# Pictures


def test_pictures_that_nobody_has_time_for(make_visitor: MakeVisitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be tried again is said so, to people and to programs, and leaves nothing."""
    visitor = make_visitor(MAX_IMAGE_SECONDS=0.01)
    monkeypatch.setattr(sessions, "shared", lambda: Decoder(0))  # none of whose processes ever becomes free
    for path in ("/images", "/api/v1/images"):
        response = visitor.post(path, {"file": [(BytesIO(picture()), "cat.png")]})
        assert "too many others" in is_refused(response, 503)
        assert response.headers["Retry-After"]
        assert visitor.services.store.images(visitor.session) == []


# The server itself


@contextmanager
def served(visitor: Visitor) -> Iterator[int]:
    """The application behind the real HTTP server, in this process; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(visitor.app, listener, visitor.services.config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map))
        thread.join(10)


def send(port: int, request: bytes) -> str:
    """What comes back, to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def request(path: str, *headers: str, body: str = "") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


def test_bodies_too_large_or_without_a_length_get_a_sentence(make_visitor: MakeVisitor) -> None:
    limit = 200
    visitor = make_visitor(MAX_UPLOAD_BYTES=limit)
    form, chunked = "Content-Type: multipart/form-data; boundary=x", "Transfer-Encoding: chunked"
    endless = "ff\r\n" + "x" * 255 + "\r\n"
    with served(visitor) as port:
        for path in ("/images", "/start-over", "/api/v1/images"):
            for unread in (
                request(path, form, f"Content-Length: {limit + 1}", body="x" * (limit + 1)),
                request(path, form, f"Content-Length: {10**15}"),  # refused before any of it has come
                request(path, form, f"Content-Length: {'9' * 4000}"),
                request(path, form, chunked, body=endless * (REFUSED_UNREAD * limit // 255 + 2)),
            ):
                answer = send(port, unread)
                head, _, body = answer.partition("\r\n\r\n")
                assert head.startswith("HTTP/1.1 413 "), answer[:300]
                assert "One upload may have" in body, answer[:300]
                assert ("application/json" in head) == path.startswith("/api")
                assert "nosniff" in head
        for bad in (
            request("/api/v1/runs", "Content-Type: application/json"),
            request("/api/v1/images", form),
            request("/images", form),
            request("/images", form, "Content-Length: -1"),
            request("/images", form, "Content-Length: 1", "Content-Length: 2"),
            request("/images", form, chunked, body="zz\r\n\r\n"),
            b"POST /images HTTP/1.0\r\n\r\n",
            b"\x00\xff\r\n\r\n",
        ):
            answer = send(port, bad)
            assert re.match(r"HTTP/1\.[01] 4\d\d ", answer), (bad, answer[:300])
        assert send(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(
            "HTTP/1.1 200"
        )


def test_chunked_uploads_within_the_limit_work(visitor: Visitor) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture() + b"\r\n--x--\r\n"
    )
    head = request("/api/v1/images", "Content-Type: multipart/form-data; boundary=x", "Transfer-Encoding: chunked")
    with served(visitor) as port:
        answer = send(port, head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    assert answer.startswith("HTTP/1.1 201 "), answer[:300]
