"""An explanation in one call, and requests that are sent twice."""

from __future__ import annotations

import base64
import io
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import InProcessEngine, picture
from PIL import Image
from programs import API, MakeProgram, Program

from picasso.api import explain
from picasso.runs.run import State


def body(seed: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "file": (BytesIO(picture(seed)), "cat.png"),
        "visualization": "occlusion",
        "window": "8",
        "stride": "8",
        **fields,
    }


def kept(program: Program) -> list[Any]:
    return list((program.services.store.folder / "sessions").iterdir())


def test_one_call_gives_what_a_run_gives_and_keeps_nothing(program: Program) -> None:
    response = program.ask("POST", "explain", data=body())
    assert not kept(program)
    found = response.get_json()
    assert found["settings"]["window"] == 8
    run = program.start("occlusion", program.add(), settings={"window": 8, "stride": 8})
    (result,), (expected,) = found["results"], run["results"]
    assert result["predictions"] == expected["predictions"]
    assert result["content"] == expected["content"]
    (one,) = [one for one in result["artifacts"] if one["name"] == "maps.0.map.npy"]
    (other,) = [one for one in expected["artifacts"] if one["name"] == "maps.0.map.npy"]
    assert base64.b64decode(one["data"]) == program.ask("GET", other["url"]).data


def test_what_was_written_to_the_output_folder_is_in_the_answer(make_program: MakeProgram, tmp_path: Path) -> None:
    (tmp_path / "Halves.html").write_text('{% extends "result.html" %}')
    (tmp_path / "halves.py").write_text(
        "from picasso.visualizations.base import BaseVisualization\n"
        "class Halves(BaseVisualization):\n"
        "    description = 'Halves'\n"
        "    reference_link = ''\n"
        "    def make_visualization(self, inputs, output_dir, settings=None):\n"
        "        inputs[0]['data'].crop((0, 0, 9, 4)).save(output_dir / 'upper.png')\n"
        "        return [{'output': 'upper.png'}]\n"
    )
    program = make_program(VISUALIZATION_FOLDERS=[tmp_path])
    sent = {"file": (BytesIO(picture(3)), "cat.png"), "visualization": "halves"}
    found = program.ask("POST", "explain", data=sent).get_json()
    assert found["results"][0]["content"] == {"output": "upper.png"}
    half = Image.open(BytesIO(base64.b64decode(found["outputs"]["upper.png"])))
    np.testing.assert_array_equal(half, Image.open(BytesIO(picture(3))).convert("RGB").crop((0, 0, 9, 4)))


def test_classes_of_one_call_are_a_number_or_names(program: Program) -> None:
    def labels(*classes: str) -> list[str]:
        found = program.ask("POST", "explain", data=body(classes=list(classes))).get_json()
        return [one["label"] for one in found["results"][0]["content"]["maps"]]

    assert len(labels("2")) == 2
    assert labels("#2") == ["2"]
    assert labels("4", "#7") == labels("4;7") == ["4", "7"]
    error = program.error("POST", "explain", 422, data=body(classes=["elk"]))
    assert error["field"] == "classes"


def test_one_call_gives_an_archive_if_that_is_what_is_accepted(program: Program) -> None:
    response = program.ask("POST", "explain", data=body(), headers={"Accept": "application/zip"})
    assert not kept(program)
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        values = np.load(io.BytesIO(archive.read("0.maps.0.map.npy")))
    assert values.shape == (28, 28)


def test_it_becomes_a_run_where_that_is_preferred(program: Program) -> None:
    response = program.ask("POST", "explain", 202, data=body(), headers={"Prefer": "wait=5, respond-async"})
    assert response.headers["Preference-Applied"] == "respond-async"
    program.token = response.get_json()["session"]["token"]
    assert program.get(response.headers["Location"])["settings"]["window"] == 8


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"visualization": "nothing"}, 404, "visualization"),
        ({"window": "0"}, 422, "window"),
        ({"nothing": "1"}, 422, "nothing"),
        ({"file": b"hello"}, 415, "file"),
        ({"file": "text"}, 422, "file"),
        ({"model": "nothing"}, 404, "model"),
        ({"window": ["4", "5"]}, 422, "window"),
        ({"visualization": ["occlusion", "saliency"]}, 422, "visualization"),
    ],
)
@pytest.mark.parametrize("preferred", ["", "respond-async"])
def test_what_is_wrong_is_named(
    program: Program, change: dict[str, Any], status: int, field: str | None, preferred: str
) -> None:
    sent = body() | change
    if isinstance(sent["file"], bytes):
        sent["file"] = (BytesIO(sent["file"]), "notes.txt")
    headers = {"Prefer": preferred} if preferred else {}
    kind = "multipart/form-data"
    error = program.error("POST", "explain", status, data=sent, headers=headers, content_type=kind)
    assert error["field"] == field
    assert not kept(program)


def test_what_takes_too_long_is_ended(
    make_program: MakeProgram, own_engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(EXPLAIN_TIMEOUT_SECONDS=0.05)

    def begin() -> None:
        for run in own_engine.store.unfinished_runs():
            own_engine.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING)

    monkeypatch.setattr(own_engine, "wake", begin)
    error = program.error("POST", "explain", 504, data=body())
    assert error["code"] == "took_too_long"
    assert "respond-async" in error["message"]
    assert not kept(program)
    assert not own_engine.store.unfinished_runs()


def test_what_does_not_even_begin_in_time_is_to_be_asked_again(
    make_program: MakeProgram, own_engine: InProcessEngine
) -> None:
    program = make_program(EXPLAIN_TIMEOUT_SECONDS=0.05)
    own_engine.waiting = True
    response = program.ask("POST", "explain", 503, data=body())
    assert response.get_json()["error"]["code"] == "busy"
    assert int(response.headers["Retry-After"]) > 0
    assert not kept(program)
    assert not own_engine.store.unfinished_runs()


def test_what_fails_is_an_error(program: Program, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled() -> None:
        for run in engine.store.unfinished_runs():
            engine.end(run, State.CANCELLED)

    monkeypatch.setattr(engine, "wake", cancelled)
    assert program.error("POST", "explain", 409, data=body())["code"] == "cancelled"
    assert not kept(program)


def test_only_so_many_are_waited_for(program: Program) -> None:
    for _ in range(explain.AT_ONCE):
        assert explain._places.acquire(blocking=False)
    try:
        response = program.ask("POST", "explain", 503, data=body())
    finally:
        for _ in range(explain.AT_ONCE):
            explain._places.release()
    assert response.headers["Retry-After"]
    program.ask("POST", "explain", data=body())


# Idempotency-Key


def test_the_same_key_gives_the_same_answer(program: Program) -> None:
    program.add()
    headers = {"Idempotency-Key": "once"}
    first = program.upload(("cat.png", picture(7)), headers=headers)
    assert program.upload(("cat.png", picture(7)), headers=headers) == first  # with another boundary
    assert len(program.get("images")["images"]) == 2
    error = program.error("POST", "images", 422, data={"file": (BytesIO(picture(8)), "cat.png")}, headers=headers)
    assert error["field"] == "Idempotency-Key"
    error = program.error("POST", "runs", 422, json={"visualization": "occlusion"}, headers=headers)
    assert error["code"] == "invalid_request"


def test_a_run_that_was_deleted_is_not_started_again_by_the_same_key(program: Program) -> None:
    image = program.add()
    sent = {"json": {"visualization": "class-probabilities", "images": [image]}, "headers": {"Idempotency-Key": "a"}}
    first = program.ask("POST", "runs", 202, **sent)
    program.ask("DELETE", first.headers["Location"], 204)
    again = program.ask("POST", "runs", 202, **sent)
    assert (again.data, again.headers["Location"]) == (first.data, first.headers["Location"])
    program.error("GET", again.headers["Location"], 404)


def test_a_key_is_a_sessions_own_and_an_error_is_not_kept(program: Program) -> None:
    headers = {"Idempotency-Key": "same"}
    image = program.add()
    program.error("POST", "runs", 404, json={"visualization": "x", "images": [image]}, headers=headers)
    program.ask("POST", "runs", 202, json={"visualization": "class-probabilities", "images": [image]}, headers=headers)
    program.token = ""
    other = program.add()
    program.ask("POST", "runs", 202, json={"visualization": "class-probabilities", "images": [other]}, headers=headers)


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a b"])
def test_keys_that_are_none(program: Program, key: str) -> None:
    data = {"file": (BytesIO(picture()), "cat.png")}
    error = program.error("POST", "images", 422, data=data, headers={"Idempotency-Key": key})
    assert error["field"] == "Idempotency-Key"
    rule = "'Idempotency-Key' should have 1 to 200 visible ASCII characters and no spaces"
    assert error["message"] == f"{rule}, got {key[:80]!r}."


def test_two_requests_with_one_key_at_once(program: Program) -> None:
    from picasso.api import once

    program.add()
    (session,) = (program.services.store.folder / "sessions").iterdir()
    once._under_way.add((session.name, "k"))
    try:
        data = {"file": (BytesIO(picture()), "cat.png")}
        assert program.error("POST", "images", 409, data=data, headers={"Idempotency-Key": "k"})["code"] == "conflict"
    finally:
        once._under_way.clear()
    assert API in program.upload(("cat.png", picture()), headers={"Idempotency-Key": "k"})["images"][0]["url"]
