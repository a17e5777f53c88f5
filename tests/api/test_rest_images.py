"""Images by REST: what is taken, what is refused, whose they are."""

from __future__ import annotations

from io import BytesIO

from browsing import picture
from programs import API, MakeProgram, Program

NOBODY = "0" * 32


def test_upload_says_what_was_taken_and_what_was_not(program: Program) -> None:
    found = program.upload(("cat.png", picture(size=(20, 30))), ("notes.txt", b"hello"))
    (image,) = found["images"]
    assert (image["filename"], image["width"], image["height"]) == ("cat.png", 30, 20)
    (refused,) = found["refused"]
    assert (refused["filename"], refused["code"]) == ("notes.txt", "unsupported_image")
    assert "notes.txt" in refused["message"]
    assert program.get("images") == {"images": [image]}
    assert program.get(image["url"]) == image


def test_where_nothing_was_taken_the_answer_is_an_error_and_no_session_is_left(program: Program) -> None:
    body = {"file": (BytesIO(b"hello"), "notes.txt")}
    assert program.error("POST", "images", 415, data=body)["code"] == "unsupported_image"
    damaged = {"file": (BytesIO(picture()[:60]), "cut.png")}
    assert program.error("POST", "images", 422, data=damaged)["code"] == "damaged_image"
    assert not list((program.services.store.folder / "sessions").iterdir())


def test_upload_without_a_file_or_of_another_type_is_refused(program: Program) -> None:
    for body in ({}, {"file": "text"}):
        error = program.error("POST", "images", 422, data=body, content_type="multipart/form-data")
        assert error["field"].startswith("file")
    assert program.error("POST", "images", 415, json={})["code"] == "unsupported_media_type"


def test_more_bytes_than_allowed(make_program: MakeProgram) -> None:
    program = make_program(MAX_UPLOAD_BYTES=1000)
    body = {"file": (BytesIO(bytes(2000)), "large.png")}
    assert program.error("POST", "images", 413, data=body)["code"] == "too_large"


def test_the_token_leads_to_the_session_and_nothing_else_does(program: Program) -> None:
    image = program.add()
    token, program.token = program.token, ""
    for path in ("images", "runs", f"images/{image}", f"runs/{NOBODY}", f"runs/{NOBODY}/bundle.zip"):
        response = program.ask("GET", path, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.get_json()["error"]["code"] == "no_session"
    session = program.services.store.folder / "sessions"
    for wrong in (token[:-1], "x", next(session.iterdir()).name):
        program.error("GET", "images", 401, headers={"Authorization": f"Bearer {wrong}"})
        program.error("POST", "images", 401, headers={"Authorization": f"Bearer {wrong}"}, data={"file": _file()})
    other = program.upload(("dog.png", picture(1)))
    assert other["session"]["token"] != token
    assert program.error("GET", f"images/{image}", 404)["code"] == "not_found"
    program.token = token
    assert program.get(f"images/{image}")["filename"] == "cat.png"


def test_a_deleted_session_is_no_session(program: Program) -> None:
    program.add()
    (session,) = (program.services.store.folder / "sessions").iterdir()
    program.services.sessions.delete(session.name)
    assert "expired" in program.error("GET", "images", 401)["message"]


def test_a_browsers_cookie_counts_and_other_sites_may_not_use_it(program: Program) -> None:
    browser = program.app.test_client()
    browser.post("/images", data={"file": _file()})
    (image,) = browser.get(f"{API}/images").get_json()["images"]
    response = browser.delete(f"{API}/images/{image['id']}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, response.get_json()["error"]["code"]) == (403, "forbidden")
    assert browser.delete(f"{API}/images/{image['id']}").status_code == 204


def test_a_deleted_image_is_gone_but_runs_keep_it(program: Program) -> None:
    image, free = program.add(), program.add("dog.png", 1)
    run = program.start("class-probabilities", image)
    for one in (image, free):
        program.ask("DELETE", f"images/{one}", 204)
        program.error("GET", f"images/{one}", 404)
        program.error("DELETE", f"images/{one}", 404)
    assert program.get("images") == {"images": []}
    assert program.get(f"runs/{run['id']}")["results"][0]["filename"] == "cat.png"
    program.ask("DELETE", f"runs/{run['id']}", 204)
    (session,) = (program.services.store.folder / "sessions").iterdir()
    assert not [path for path in session.rglob("*") if path.is_file()]


def _file() -> tuple[BytesIO, str]:
    return BytesIO(picture()), "cat.png"
