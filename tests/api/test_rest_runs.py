"""Runs by REST: what is asked for, how they are, what they gave."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from browsing import InProcessEngine, TinyModel, picture
from PIL import Image
from programs import API, CAPABILITIES, MakeProgram, Program

from picasso.errors import PluginError
from picasso.images import colours
from picasso.models.base import Model
from picasso.runs.artifacts import pack
from picasso.runs.run import State

NOBODY = "0" * 32


def model_of(engine: InProcessEngine) -> Model:
    """The model that runs are made with."""
    assert engine.host is not None
    with engine.host.shelf.lend("", lambda: None) as model:
        return model


def array(program: Program, address: str) -> Any:
    """An array, never unpickled."""
    return np.load(io.BytesIO(program.ask("GET", address).data), allow_pickle=False)


def test_a_run_gives_the_models_own_scores(program: Program, engine: InProcessEngine) -> None:
    image = program.add(seed=3)
    response = program.ask(
        "POST", "runs", 202, json={"visualization": "class-probabilities", "images": [image], "classes": 3}
    )
    run = response.get_json()
    assert response.headers["Location"] == run["url"] == f"{API}/runs/{run['id']}"
    assert run["session"]["token"] == program.token
    run = program.get(run["url"])
    assert (run["state"], run["progress"], run["error"], run["seed"]) == ("done", 1, None, 0)
    model = model_of(engine)
    prepared = model.preprocess([Image.open(io.BytesIO(picture(3)))])
    expected = model.decode(model.predict(prepared.x), 3)[0]
    (result,) = run["results"]
    assert result["predictions"] == [
        {"index": one.index, "label": one.label, "score": pytest.approx(one.score, abs=1e-6)} for one in expected
    ]
    (scores,) = [one for one in result["artifacts"] if one["name"] == "answer.npy"]
    assert scores["shape"] == [10]
    values = array(program, scores["url"])
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, model.predict(prepared.x)[0], atol=1e-6)


def test_the_same_run_again_is_the_same_run(program: Program) -> None:
    image = program.add()
    first = program.start("occlusion", image, settings={"window": 9, "stride": 9})
    assert program.start("occlusion", image, image, settings={"window": 9, "stride": 9})["id"] == first["id"]
    assert program.start("occlusion", image, settings={"window": 10, "stride": 9})["id"] != first["id"]
    assert program.start("occlusion", image, settings={"window": 9, "stride": 9}, seed=1)["id"] != first["id"]
    assert program.start("occlusion", image, settings={"window": 9.0, "stride": 9}, seed=0.0)["id"] == first["id"]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"visualization": "nothing"}, 404, "visualization"),
        ({"visualization": 3}, 422, "visualization"),
        ({"images": []}, 422, "images"),
        ({"images": [NOBODY]}, 404, "images.0"),
        ({"images": ["x"]}, 422, "images.0"),
        ({"settings": {"window": 0}}, 422, "window"),
        ({"settings": {"window": 29}}, 422, "window"),
        ({"settings": {"window": "6"}}, 422, "window"),
        ({"settings": {"nothing": 1}}, 422, "nothing"),
        ({"settings": []}, 422, "settings"),
        ({"model": "nothing"}, 404, "model"),
        ({"classes": 0}, 422, "classes"),
        ({"classes": 2, "settings": {"classes": 3}}, 422, "classes"),
        ({"classes": []}, 422, "classes"),
        ({"classes": True}, 422, "classes"),
        ({"classes": ["7", 7.5]}, 422, "classes"),
        ({"classes": "7"}, 422, "classes"),
        ({"classes": ["elk"]}, 422, "classes"),
        ({"classes": ["7", " ; "]}, 422, "classes"),
        ({"classes": [";".join(f"#{number:x}" for number in range(12))]}, 422, "classes"),
        ({"classes": [10]}, 422, "classes"),
        ({"classes": ["7"], "settings": {"named": "8"}}, 422, "classes"),
        ({"classes": ["7"], "visualization": "class-probabilities"}, 422, "classes"),
        ({"seed": -1}, 422, "seed"),
        ({"seed": True}, 422, "seed"),
        ({"seed": 1.5}, 422, "seed"),
        ({"seed": None}, 422, "seed"),
        ({"seed": 3, "visualization": "random-masks", "settings": {"seed": 4}}, 422, "seed"),
        ({"seed": 10**6, "visualization": "random-masks"}, 422, "seed"),
        ({"unknown": 1}, 422, "unknown"),
    ],
)
def test_what_is_wrong_is_named(program: Program, change: dict[str, Any], status: int, field: str | None) -> None:
    body = {"visualization": "occlusion", "images": [program.add()]} | change
    assert program.error("POST", "runs", status, json=body)["field"] == field
    assert program.get("runs")["runs"] == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": ["x"]}, "'images.0' should be an id, of 32 of the characters 0-9 and a-f, got 'x'."),
        ({"images": []}, "'images' should have at least 1 item, got 0."),
        ({"visualization": ""}, "'visualization' should have at least 1 character, got ''."),
        ({"seed": -1}, "'seed' should be greater than or equal to 0, got '-1'."),
        ({"settings": {"window": 1.5}}, "'window' should be a valid integer, got '1.5'."),
    ],
)
def test_what_is_wrong_is_a_sentence(program: Program, change: dict[str, Any], sentence: str) -> None:
    body = {"visualization": "occlusion", "images": [program.add()]} | change
    assert program.error("POST", "runs", 422, json=body)["message"] == sentence


def test_the_seed_of_a_run_is_that_of_its_setting(program: Program) -> None:
    def seeds(**asked: Any) -> tuple[int, int]:
        few = {"masks": 2, **asked.pop("settings", {})}
        run = program.start("random-masks", image, settings=few, **asked)
        return run["seed"], run["settings"]["seed"]

    image = program.add()
    assert seeds() == (0, 0)
    assert seeds(seed=3) == seeds(settings={"seed": 3}) == seeds(seed=3, settings={"seed": 3}) == (3, 3)
    assert program.start("class-probabilities", image, seed=3)["seed"] == 3


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"seed": NaN}', b'{"seed": 1e999}', b'{"a": "\\ud800"}', b"[" * 100_000, b"\xff"]
)
def test_a_body_that_is_no_json_object(program: Program, body: bytes) -> None:
    program.add()
    response = program.client.post(
        f"{API}/runs", data=body, content_type="application/json", headers={"Authorization": f"Bearer {program.token}"}
    )
    assert response.status_code in (400, 422)
    assert response.get_json()["error"]["message"].startswith("The body ")


def test_runs_are_listed_page_by_page(program: Program) -> None:
    image = program.add()
    made = [program.start("class-probabilities", image, classes=count)["id"] for count in (1, 2, 3, 4, 5)]
    first = program.get("runs?limit=2")
    second = program.get(first["next"])
    third = program.get(second["next"])
    assert [run["id"] for page in (first, second, third) for run in page["runs"]] == made[::-1]
    assert third["next"] is None
    assert program.error("GET", "runs?limit=0", 422)["field"] == "limit"
    assert program.error("GET", "runs?page=2", 422)["field"] == "page"
    assert program.error("GET", "runs?limit=2&limit=3", 422)["field"] == "limit"


def test_a_run_under_way_shows_what_is_there_and_is_cancelled_then_deleted(
    program: Program, engine: InProcessEngine
) -> None:
    engine.waiting = True
    run = program.start("occlusion")
    assert (run["state"], run["ahead"], run["bundle"]) == ("queued", 0, None)
    assert run["cost"]["seconds"] > 0
    engine.store.change_run(run["id"], (State.QUEUED,), state=State.RUNNING, progress=0.5, message="Looking")
    values = np.arange(28 * 28, dtype=np.float32).reshape(28, 28)
    engine.partials[run["id"]] = [pack({"map": values, "score": float("nan")}, "0")]
    found = program.get(run["url"])
    assert (found["state"], found["progress"], found["message"]) == ("running", 0.5, "Looking")
    (result,) = found["results"]
    assert result["content"] == {"map": {"artifact": "map.npy"}, "score": None}
    np.testing.assert_array_equal(array(program, result["artifacts"][0]["url"]), values)
    assert program.error("GET", f"{run['url']}/bundle.zip", 409)["code"] == "conflict"
    cancelled = program.ask("DELETE", run["url"]).get_json()
    assert (cancelled["state"], cancelled["results"]) == ("cancelled", [])
    program.ask("DELETE", run["url"], 204)
    program.error("GET", run["url"], 404)


def test_a_failed_run_says_why(program: Program, engine: InProcessEngine) -> None:
    run = program.start("occlusion")
    engine.end(program.services.store.run(_session(program), run["id"]), State.FAILED, PluginError("It failed."))
    found = program.get(run["url"])
    assert found["state"] == "failed"
    assert found["error"] == {"code": "plugin", "message": "It failed.", "field": None}


def test_a_map_is_had_raw_and_drawn(program: Program) -> None:
    run = program.start("occlusion", settings={"window": 8, "stride": 4})
    artifacts = {one["name"]: one for one in run["results"][0]["artifacts"]}
    one = artifacts["maps.0.map.npy"]
    values = array(program, one["url"])
    assert (values.dtype, list(values.shape)) == (np.float32, one["shape"])
    assert artifacts["scores.npy"]["drawn"] is None  # an array, but no map

    view = Image.open(io.BytesIO(program.ask("GET", artifacts["view.png"]["url"]).data))
    query = {"colours": "vik", "opacity": "0.5", "low": "-0.01", "high": "0.02"}
    drawn = Image.open(io.BytesIO(program.ask("GET", one["drawn"], query_string=query).data))
    expected = colours.over(view, colours.draw(values, -0.01, 0.02, "vik"), 0.5)
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected))
    bare = Image.open(io.BytesIO(program.ask("GET", one["drawn"], query_string={"opacity": 0}).data))
    np.testing.assert_array_equal(np.asarray(bare), np.asarray(view.convert("RGB")))
    usual = Image.open(io.BytesIO(program.ask("GET", one["drawn"]).data))
    limit = float(np.abs(values).max())
    expected = colours.over(view, colours.draw(values, -limit, limit, "coolwarm"), 1)
    np.testing.assert_array_equal(np.asarray(usual), np.asarray(expected))


@pytest.mark.parametrize(
    ("query", "field"),
    [("colours=red", "colours"), ("opacity=2", "opacity"), ("low=nan", "low"), ("low=2&high=1", "low"), ("x=1", "x")],
)
def test_how_a_map_is_drawn_is_checked(program: Program, query: str, field: str) -> None:
    run = program.start("occlusion", settings={"window": 28, "stride": 28})
    assert program.error("GET", f"{run['url']}/results/0/maps.0.map.png?{query}", 422)["field"] == field


@pytest.mark.parametrize(
    "path", ["9/maps.0.map.npy", "00/maps.0.map.npy", "x/maps.0.map.npy", "0/manifest.json", "0/.."]
)
def test_files_that_there_are_not(program: Program, path: str) -> None:
    run = program.start("class-probabilities")
    program.error("GET", f"{run['url']}/results/{path}", 404)


def test_the_bundle_has_everything(program: Program) -> None:
    image = program.add("../../cat.png")
    run = program.start("hidden-halves", image)
    response = program.ask("GET", f"{run['url']}/bundle.zip")
    assert response.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["run"] == run["id"]
        assert set(archive.namelist()) == {"manifest.json", "inputs/0.png", *manifest["files"]}
        for name, facts in manifest["files"].items():
            assert sha256(archive.read(name)).hexdigest() == facts["sha256"]
        assert sha256(archive.read("inputs/0.png")).hexdigest() == manifest["images"][0]["digest"]


def test_another_model_is_named_by_its_reference(make_program: MakeProgram) -> None:
    other = TinyModel(tuple("abcdefghij"), CAPABILITIES)
    program = make_program(
        others={"second": other}, MODELS={"first": {"MODEL_PATH": "a.keras"}, "second": {"MODEL_PATH": "b.keras"}}
    )
    assert [one["reference"] for one in program.get("models")["models"]] == ["first", "second"]
    run = program.start("class-probabilities", model="second", classes=1)
    assert run["model"] == "second"
    assert run["results"][0]["predictions"][0]["label"] in "abcdefghij"


def test_classes_by_name_and_number(make_program: MakeProgram) -> None:
    birds = TinyModel(
        ("crane", "crane", "owl", "barn owl", "wren", "kite", "gull", "rook", "crow", "tern"), CAPABILITIES
    )
    program = make_program(
        others={"birds": birds}, MODELS={"first": {"MODEL_PATH": "a.keras"}, "birds": {"MODEL_PATH": "b.keras"}}
    )
    image = program.add()
    run = program.start("occlusion", image, model="birds", classes=["Barn", 1], settings={"window": 14, "stride": 14})
    (result,) = run["results"]
    assert [(one["index"], one["label"]) for one in result["predictions"][:2]] == [(3, "barn owl"), (1, "crane")]
    assert run["settings"]["named"] == "Barn; #1"
    body = {"visualization": "occlusion", "images": [image], "model": "birds", "classes": ["crane"]}
    error = program.error("POST", "runs", 422, json=body)
    assert (error["code"], error["field"]) == ("invalid_setting", "classes")
    assert "crane (0), crane (1)" in error["message"]


def test_pages_and_programs_see_the_same_runs(program: Program) -> None:
    browser = program.app.test_client()
    run = program.start("occlusion")
    with browser.session_transaction() as cookie:
        cookie["id"] = _session(program)
    assert browser.get(f"/runs/{run['id']}/").status_code == 200
    assert browser.get(run["url"]).get_json()["id"] == run["id"]


def _session(program: Program) -> str:
    (session,) = (program.services.store.folder / "sessions").iterdir()
    return session.name


def test_too_many_runs_at_once_are_refused_for_now(make_program: MakeProgram, own_engine: InProcessEngine) -> None:
    program = make_program(SESSION_MAX_UNFINISHED_RUNS=1)
    own_engine.waiting = True
    body = {"visualization": "occlusion", "images": [program.add()]}
    program.ask("POST", "runs", 202, json=body)
    other = body | {"settings": {"window": 9}}
    answer = program.ask("POST", "runs", 429, json=other, headers={"Idempotency-Key": "once"})
    assert answer.headers["Retry-After"] == "10"
    assert answer.get_json()["error"]["code"] == "too_many"
    own_engine.waiting = False
    own_engine.wake()
    program.ask("POST", "runs", 202, json=other, headers={"Idempotency-Key": "once"})  # a refusal is not kept
