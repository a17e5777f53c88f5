"""What no page does: show what is not the visitor's own or of the inside, run what was typed, obey other sites."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from page_cases import ALL, DAMAGED, GOOD, NOBODY, SHOWING_CLASSES, XSS

from picasso.errors import PluginError
from picasso.runs.run import State

# Nothing of another session


def test_another_session_sees_nothing(visitor: Visitor) -> None:
    """Every route with an id, also those written after this test."""
    run = visitor.start("hidden-halves", visitor.add("cat.png"))
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    other = Visitor(visitor.app)
    other.add("dog.png", seed=1)
    nobody = Visitor(visitor.app)  # has no session at all
    files = [*manifest["files"]]
    names = [*files, *(name.removeprefix("0.") for name in files), "cat.png", "output.png"]
    values = {"image": run.images, "run": [run.id], "name": names, "number": [0], "index": [0]}
    tried = 0
    adapter = visitor.app.url_map.bind("localhost")
    for rule in visitor.app.url_map.iter_rules():
        if not {"image", "run"} & rule.arguments:
            assert rule.arguments <= {"name", "number", "filename"}, f"Is {rule} about a session? Teach this test."
            continue
        parts: list[dict[str, Any]] = [{}]
        for argument in rule.arguments:
            parts = [part | {argument: value} for part in parts for value in values[argument]]
        for part in parts:
            path = adapter.build(rule.endpoint, part)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                for stranger in (other, nobody):
                    answer = stranger.client.open(path, method=method)
                    missing = 401 if stranger is nobody and path.startswith("/api/") else 404
                    assert answer.status_code == missing, f"{method} {path}"
                    assert b"cat.png" not in answer.data
                    tried += 1
    assert tried > 20
    assert visitor.run(run.id) == run
    assert visitor.get(f"/images/{run.images[0]}.png").status_code == 200
    assert "cat.png" not in other.page("/").text + other.page("/runs").text + nobody.page("/").text
    answer = other.post("/runs", {"visualization": "occlusion", "image": run.images[0]})
    assert answer.status_code == 404


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status", "advice"),
    [
        ("GET", "/nothing", 404, "The address may be mistyped"),
        ("GET", f"/runs/{NOBODY}/", 404, "Start again from the first page"),
        ("POST", "/", 405, "Go back and use the buttons"),
        ("GET", "/start-over", 405, "Go back and use the buttons"),
        ("DELETE", "/runs", 405, "Go back and use the buttons"),
        ("POST", "/images", 415, "Choose, drop or paste"),
        ("GET", "/visualizations/occlusion?window=0", 422, "greater than or equal to 1"),
    ],
)
def test_error_pages_have_a_title_and_advice(
    visitor: Visitor, method: str, path: str, status: int, advice: str
) -> None:
    response = visitor.client.open(path, method=method)
    assert response.status_code == status
    assert advice in response.get_data(as_text=True)


def test_unexpected_errors_show_nothing_of_the_inside(visitor: Visitor) -> None:
    run = visitor.start()
    (visitor.services.store.run_folder(run) / "manifest.json").write_text("damaged")
    page = visitor.page(f"/runs/{run.id}/", 500)
    assert "Something went wrong inside Picasso" in page.title
    assert "The server's log has the details." in page.text
    assert "JSON" not in page.text


def test_addresses_that_are_no_text(visitor: Visitor) -> None:
    for path in (
        "/%ff%fe",
        "/visualizations/%ff",
        "/colours/%00.png",
        "/runs/%0a/",
        "/visualizations/occlusion?window=%ff",
    ):
        assert visitor.get(path).status_code in (400, 404, 422)


# Text is text


def test_file_names_are_text(visitor: Visitor) -> None:
    image = visitor.add(XSS)
    name = visitor.services.store.images(visitor.session)[0].filename
    assert name == XSS
    runs = [visitor.start(visualization, image) for visualization in ALL]
    paths = ["/", "/runs", "/visualizations/occlusion", "/visualizations/occlusion/pictures"]
    for path in [*paths, *(f"/runs/{run.id}/" for run in runs)]:
        page = visitor.page(path)  # the client has seen that there is no onerror
        assert XSS in page.text, path
        assert not page.all("img", src="x")
    response = visitor.upload((XSS, DAMAGED))
    assert XSS.encode() not in response.data
    visitor.upload((XSS, DAMAGED), ("good.png", GOOD))
    assert XSS in visitor.page("/").text


def test_labels_and_names_are_text(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(labels=tuple(f"{XSS}{digit}" for digit in "0123456789"))
    for name in SHOWING_CLASSES:
        page = visitor.page(f"/runs/{visitor.start(name).id}/")
        assert XSS in page.text
        assert not page.all("img", src="x")


def test_what_was_typed_is_text(visitor: Visitor) -> None:
    for path in (
        f"/visualizations/occlusion?window={XSS}",
        f"/visualizations/occlusion?{XSS}=1",
        f"/visualizations/{XSS}",
        f"/{XSS}",
        f"/runs/{XSS}/",
        f"/visualizations/occlusion/pictures?fill={XSS}",
    ):
        response = visitor.get(path)
        assert response.status_code in (404, 422)
        assert XSS.encode() not in response.data


def test_a_failed_runs_sentence_is_text(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = visitor.start()
    engine.end(run, State.FAILED, PluginError(XSS))
    assert XSS in visitor.page(f"/runs/{run.id}/").text


# Headers, and who may change something


@pytest.mark.parametrize("path", ["/", "/static/nothing.css", "/nothing", "/colours/vik.png"])
def test_headers(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers  # policy and nosniff: the client checks them on every answer
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_of_a_session_is_stored_on_the_way(visitor: Visitor) -> None:
    run = visitor.start()
    for path in ("/", "/runs", f"/runs/{run.id}/", f"/images/{run.images[0]}.png", "/nothing"):
        assert visitor.get(path).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost:81"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
    ],
)
def test_changes_come_from_our_own_pages(visitor: Visitor, headers: dict[str, str], allowed: bool) -> None:
    response = visitor.post("/start-over", headers=headers)
    assert (response.status_code != 403) is allowed
    if not allowed:
        assert "came from another site" in response.get_data(as_text=True)
    assert visitor.get("/", headers=headers).status_code == 200


def test_nothing_is_changed_from_elsewhere(visitor: Visitor) -> None:
    """Every route that changes something, also those written after this test."""
    run = visitor.start()
    tried, adapter = 0, visitor.app.url_map.bind("localhost")
    for rule in visitor.app.url_map.iter_rules():
        values = {"run": run.id, "image": run.images[0], "name": "occlusion"}
        path = adapter.build(rule.endpoint, {name: values.get(name, 0) for name in rule.arguments})
        for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
                answer = visitor.client.open(path, method=method, headers=headers)
                assert answer.status_code == 403, f"{method} {path}"
                tried += 1
    assert tried > 20
    assert visitor.run(run.id) == run
