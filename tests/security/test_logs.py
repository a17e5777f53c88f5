"""What is written down: lines with ids that belong together, and nothing of what visitors look at or know."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import MakeVisitor, Visitor
from PIL import Image, PngImagePlugin

from picasso import logs
from picasso.config import Config

CANARY = "CaNaRy7Q"
TOKEN, ADMIN_TOKEN = f"{CANARY}-token-of-the-visitors", f"{CANARY}-token-of-the-administrator"
PLUGIN = """
import logging
from picasso.visualizations.base import BaseVisualization

class Talks(BaseVisualization):
    description = "Writes down what it sees, and fails"

    def make_visualization(self, inputs, output_dir, settings):
        seen = [one.filename for one in inputs]
        logging.getLogger("picasso.mine").warning("Looking at %s", seen)
        raise ValueError(f"Cannot look at {seen}")
"""
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> Iterator[dict[str, io.StringIO]]:
    """All that is written while a test runs, down to what helps in debugging, in both forms."""
    streams = {"json": io.StringIO(), "text": io.StringIO()}
    root, picasso = logging.getLogger(), logging.getLogger("picasso")
    handlers = []
    for kind, stream in streams.items():
        handlers.append(logging.StreamHandler(stream))
        handlers[-1].setFormatter(logs.formatter(kind))  # type: ignore[arg-type]
        root.addHandler(handlers[-1])
    before = picasso.level
    picasso.setLevel(logging.DEBUG)
    yield streams
    picasso.setLevel(before)
    for handler in handlers:
        root.removeHandler(handler)


@pytest.fixture
def lines(written: dict[str, io.StringIO]) -> Lines:
    """The objects that were written."""
    return lambda: [json.loads(line) for line in written["json"].getvalue().splitlines()]


def talking_picture() -> bytes:
    """A PNG that says the canary in its EXIF, in a text, and in its pixels as they are stored."""
    exif = Image.Exif()
    exif[0x010E] = f"{CANARY} in EXIF"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", f"{CANARY} in a text")
    pixels = np.frombuffer((CANARY * 98).encode(), np.uint8).reshape(28, 28)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", exif=exif, pnginfo=text, compress_level=0)
    return stream.getvalue()


def test_a_canary_is_in_no_line(
    tmp_path: Path, make_visitor: MakeVisitor, written: dict[str, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that a visitor brings says it, on pages and by REST, in what works and in what fails."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "talks.py").write_text(PLUGIN)
    (tmp_path / "plugins" / "Talks.html").write_text('{% extends "result.html" %}')
    settings = {"ACCESS_TOKEN": TOKEN, "ADMIN_TOKEN": ADMIN_TOKEN, "VISUALIZATION_FOLDERS": [tmp_path / "plugins"]}
    visitor = make_visitor(labels=(f"{CANARY} label", *"123456789"), **settings)
    name, data = f"{CANARY} (1).png", talking_picture()
    assert visitor.get(f"/?token={TOKEN}").status_code == 303
    assert visitor.upload((name, data), (name, data), (f"{CANARY}.gif", b"GIF89a" + CANARY.encode())).status_code == 303
    first, second = visitor.services.store.images(visitor.session)
    assert first.filename == name
    run = visitor.start("occlusion", first.id, named=f"{CANARY} label", window="14", stride="14")
    assert run.state == "done"
    failed = visitor.start("talks", first.id, second.id)
    assert CANARY in str(failed.error)  # its owner reads which picture it was
    for path in (f"/runs/{run.id}/", f"/runs/{run.id}/inputs/{name}", f"/{CANARY}", f"/runs/{CANARY}/?x={CANARY}"):
        visitor.get(path, headers={"Referer": f"http://localhost/{CANARY}", "X-Request-ID": f"{CANARY} {CANARY}"})
    administrator = Visitor(visitor.app)
    assert administrator.get(f"/admin?token={ADMIN_TOKEN}").status_code == 303
    shown = administrator.page("/admin").text
    assert "Cannot look at" in shown
    assert CANARY not in shown
    with monkeypatch.context() as broken:
        broken.setattr(visitor.services.store, "images", lambda _: 1 / 0)
        assert visitor.get(f"/?name={CANARY}").status_code == 500
    headers = {"Picasso-Token": TOKEN}
    program = visitor.app.test_client(use_cookies=False)
    made = program.post("/api/v1/images", data={"file": (BytesIO(data), name)}, headers=headers).get_json()
    session = headers | {"Authorization": f"Bearer {made['session']['token']}"}
    body = {"visualization": "talks", "images": [made["images"][0]["id"]]}
    assert program.post("/api/v1/runs", json=body, headers=session).status_code == 202
    body = {"file": (BytesIO(data), name), "visualization": "talks"}
    assert program.post("/api/v1/explain", data=body, headers=headers).status_code == 500
    cookie = visitor.client.get_cookie(visitor.app.config["SESSION_COOKIE_NAME"])
    assert cookie is not None
    for kind, stream in written.items():
        text = stream.getvalue()
        assert "Run ended" in text
        assert "Cannot look at" in text
        assert "ZeroDivisionError" in text
        assert CANARY not in text, (kind, [line for line in text.splitlines() if CANARY in line])
        for secret in (made["session"]["token"], cookie.value):
            assert secret not in text


def test_lines_of_one_request_and_of_one_run_belong_together(visitor: Visitor, lines: Lines) -> None:
    image = visitor.add()
    answer = visitor.post(
        "/runs",
        {"visualization": "occlusion", "image": image, "window": "14", "stride": "14"},
        headers={"X-Request-ID": "from_a_proxy-1"},
    )
    assert answer.headers["X-Request-ID"] == "from_a_proxy-1"
    run = visitor.run(answer.location.split("/")[2])
    mine = [line for line in lines() if line.get("request") == "from_a_proxy-1"]
    assert [line["event"] for line in mine] == ["Run queued", "Run begins", "Run ended", "Request"]
    assert [line.get("run") for line in mine] == [run.id] * 3 + [None]
    assert (mine[2]["state"], mine[2]["visualization"], mine[2]["error_code"]) == ("done", "occlusion", None)
    assert mine[2]["seconds"] >= 0
    access = mine[3]
    assert (access["method"], access["route"], access["status"]) == ("POST", "/runs", 303)
    assert access["ms"] > 0
    assert access["bytes"] == len(answer.data)
    visitor.get(f"/runs/{run.id}/", headers={"X-Request-ID": "no id\tat all"})
    assert lines()[-1]["route"] == "/runs/<run>/"
    assert re.fullmatch("[0-9a-f]{16}", lines()[-1]["request"])


def test_every_answer_has_one_line(visitor: Visitor, lines: Lines) -> None:
    asked = ["/", "/nothing", "/health/live", "/api/v1/nothing", "/colours.json", "/static/x", "/model/reload"]
    ids = [visitor.get(path).headers["X-Request-ID"] for path in asked]
    found = [line for line in lines() if line["event"] == "Request"]
    assert [line["request"] for line in found] == ids
    assert [line["status"] for line in found] == [200, 404, 200, 404, 200, 404, 200]
    assert found[1]["route"] == "none"
    visitor.client.open("/", method="FORGED")
    assert lines()[-1]["method"] == "other"


def test_an_error_nobody_foresaw_is_written_once_and_named_in_the_answer(
    visitor: Visitor, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.add()
    monkeypatch.setattr(visitor.services.store, "images", lambda _: 1 / 0)
    page = visitor.page("/", 500)
    (error,) = [line for line in lines() if "exception" in line]
    assert (error["level"], error["route"]) == ("error", "/")
    assert error["exception"].count("Traceback (most recent call last)") == 1
    assert error["request"] in page.text
    answer = visitor.get("/api/v1/images")
    assert answer.status_code == 500
    assert answer.get_json()["request_id"] == lines()[-1]["request"]


def test_whoever_set_up_logging_is_left_alone_else_the_config_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    root, picasso = logging.getLogger(), logging.getLogger("picasso")
    for one in (root, picasso):
        monkeypatch.setattr(one, "level", one.level)  # put back afterwards
    before = list(root.handlers)
    logs.set_up(Config(LOG_FORMAT="json"))
    assert root.handlers == before

    for terminal, settings, shown in [
        (False, {}, "info"),
        (True, {}, ""),
        (True, {"LOG_LEVEL": "info"}, "info"),
        (False, {"LOG_LEVEL": "error"}, ""),
    ]:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(root, "handlers", [])
        logs.set_up(Config(**settings))
        logging.getLogger("picasso.test").info("Said\nin two lines")
        logging.getLogger("PIL.TiffImagePlugin").info("What is in EXIF")
        text = stream.getvalue()
        assert text.count("\n") == bool(shown), text
        assert text.startswith("{") == (bool(shown) and not terminal)
        assert shown in text
    picasso.setLevel(logging.NOTSET)


def test_names_are_taken_out_as_whole_words() -> None:
    assert logs.without("cat (2).png and cat.png, concat.png", ["cat.png", "cat (2).png", ""]) == "… and …, concat.png"
    assert logs.without("as it was", []) == "as it was"
