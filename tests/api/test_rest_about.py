"""What the server says of itself; and that every error has one form."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from browsing import InProcessEngine, Page
from programs import API, MakeProgram, Program

from picasso.errors import ModelError


@pytest.mark.parametrize("prefix", ["health", "/health"])
def test_health(program: Program, engine: InProcessEngine, prefix: str) -> None:
    assert program.get(f"{prefix}/live") == {"status": "live"}
    assert program.get(f"{prefix}/ready") == {"status": "ready"}
    engine.error = ModelError("The file is not there.")
    assert program.error("GET", f"{prefix}/ready", 503)["message"] == "The file is not there."
    engine.error = None
    program.services.draining.set()
    try:
        assert program.error("GET", f"{prefix}/ready", 503)["code"] == "busy"
        assert program.get(f"{prefix}/live") == {"status": "live"}
    finally:
        program.services.draining.clear()


def test_while_the_model_loads(make_program: MakeProgram) -> None:
    program = make_program(model=False)
    assert "loading" in program.error("GET", "health/ready", 503)["message"]
    assert {one["available"] for one in program.get("visualizations")["visualizations"]} == {False}
    assert {one["reason"] for one in program.get("visualizations")["visualizations"]} == {"The model is loading."}
    assert program.get("models")["models"][0]["state"] == "loading"


def test_the_first_answer_leads_to_the_others(program: Program) -> None:
    program.add()
    about = program.get("")
    assert about["name"] == "Picasso"
    for name, link in about["links"].items():
        if name != "explain":
            program.ask("GET", link)


def test_settings_as_json_schema(program: Program) -> None:
    names = [one["name"] for one in program.get("visualizations")["visualizations"]]
    assert {"class-probabilities", "occlusion", "saliency"} <= set(names)
    for name in names:
        found = program.get(f"visualizations/{name}")
        assert found["available"], found["reason"]
        defaults = {field: part["default"] for field, part in found["settings"]["properties"].items()}
        if name == "class-probabilities":  # a quick one
            assert program.start(name, settings=defaults)["settings"] == defaults
    window = program.get("visualizations/occlusion")["settings"]["properties"]["window"]
    assert (window["default"], window["minimum"], window["maximum"]) == (4, 1, 28)


def test_what_the_model_cannot_do_says_why(make_program: MakeProgram) -> None:
    program = make_program(capabilities=frozenset({"predict"}))
    found = program.get("visualizations/saliency")
    assert not found["available"]
    assert "gradients" in found["reason"]
    body = {"visualization": "saliency", "images": [program.add()]}
    assert program.error("POST", "runs", 422, json=body)["code"] == "not_supported"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("GET", "nothing", 404, "not_found"),
        ("GET", "../v2/runs", 404, "not_found"),
        ("PUT", "runs", 405, "method_not_allowed"),
        ("TRACE", "runs", 405, "method_not_allowed"),
        ("DELETE", "models", 405, "method_not_allowed"),
        ("GET", "explain", 405, "method_not_allowed"),
        ("POST", "/health/live", 405, "method_not_allowed"),
        ("GET", "/health/nothing", 404, "not_found"),
        ("GET", "models?x=1", 422, "invalid_request"),
    ],
)
def test_errors_have_one_form(program: Program, method: str, path: str, status: int, code: str) -> None:
    response = program.ask(method, path, status)
    assert response.get_json()["error"]["code"] == code
    assert ("Allow" in response.headers) == (status == 405)


def test_what_nobody_foresaw_is_an_error_too(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program.services.store, "runs_page", lambda *_: 1 / 0)
    program.add()
    error = program.error("GET", "runs", 500)
    assert error["code"] == "error"
    assert "division" not in error["message"]


def test_tokens_are_in_no_log(program: Program, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    run = program.start("occlusion")
    program.get(run["url"])
    program.error("GET", "images", 401, headers={"Authorization": f"Bearer {program.token}x"})
    assert program.token not in caplog.text
    assert program.token not in "".join(one["url"] for one in run["results"][0]["artifacts"])


def test_an_address_that_is_nearly_right_is_answered_in_json(program: Program) -> None:
    assert program.get("/api/v1") == program.get(f"{API}/")
    response = program.ask("GET", "/api//v1/runs?limit=2", 308)
    assert response.get_json()["location"] == response.headers["Location"]
    assert response.headers["Location"].endswith(f"{API}/runs?limit=2")
    for path in ("/api", "/api/", "/api/v2/runs", f"{API}/runs/", f"{API}/nothing"):
        program.error("GET", path, 404)


def test_pages_are_what_they_were(program: Program) -> None:
    response = program.client.get("/nothing")
    assert (response.status_code, response.mimetype) == (404, "text/html")


def test_the_document_names_every_route_once(program: Program) -> None:
    document = program.get("openapi.json")
    assert document["openapi"].startswith("3.1")
    hidden = {f"{API}/openapi.json", f"{API}/docs"}
    rules = {rule.rule.replace("<", "{").replace(">", "}") for rule in program.app.url_map.iter_rules()}
    assert set(document["paths"]) == {rule for rule in rules if rule.startswith(API)} - hidden
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations)


def test_the_documents_page_shows_every_operation(program: Program) -> None:
    response = program.ask("GET", "docs")
    page = Page(response.text)
    assert page.forbidden == []
    for path in program.get("openapi.json")["paths"]:
        assert path in page.text
    identifiers = [found["id"] for _, found in page.elements if "id" in found]
    assert len(identifiers) == len(set(identifiers))
    targets = {str(found["href"])[1:] for found in page.all("a") if str(found["href"]).startswith("#")}
    assert targets <= set(identifiers)


def test_behind_a_prefix_addresses_have_it(program: Program) -> None:
    about = program.client.get(f"{API}/", environ_overrides={"SCRIPT_NAME": "/tools"}).get_json()
    assert about["links"]["runs"] == f"/tools{API}/runs"
    document = program.client.get(f"{API}/openapi.json", environ_overrides={"SCRIPT_NAME": "/tools"}).get_json()
    assert document["servers"] == [{"url": "/tools"}]
