"""Nobody sees or changes what belongs to somebody else: every route of the application, those of tomorrow included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from browsing import Visitor
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

NAME = "only mine.png"
MADE_HERE = {"image/png", "image/jpeg", "image/webp"}


@dataclass
class Owner:
    """Somebody with a picture, a finished run and one that waits; `secrets` are texts that only they may see."""

    visitor: Visitor
    image: str
    done: str
    waiting: str

    @property
    def secrets(self) -> list[str]:
        """What tells of their things."""
        return [self.visitor.session, self.image, self.done, self.waiting, NAME]

    def state(self) -> Any:
        """All that is theirs."""
        store, session = self.visitor.services.store, self.visitor.session
        return store.images(session), store.runs(session), store.session_bytes(session)


@pytest.fixture
def owner(visitor: Visitor) -> Iterator[Owner]:
    engine: Any = visitor.services.engine
    image = visitor.add(NAME)
    done = visitor.start("hidden-halves", image)
    engine.waiting = True
    waiting = visitor.start("occlusion", image, window="14", stride="14")
    engine.waiting = False
    assert (done.state, waiting.state) == ("done", "queued")
    yield Owner(visitor, image, done.id, waiting.id)
    visitor.post("/start-over")


def addresses(rule: Rule, owner: Owner, run: str) -> str:
    """The address of a route, with what belongs to the owner in it."""
    store = owner.visitor.services.store
    found = store.run(owner.visitor.session, run)
    files = sorted((store.manifest(found) or {"files": ["0.npy"]})["files"])
    mine = {"image": owner.image, "run": run, "number": "0", "index": "0", "filename": "picasso.css"}
    names = {
        "pages.file_of_run": files[0],
        "pages.run_output": "left.png",
        "pages.run_input": NAME,
        "pages.map_of_class": "map.npy",
        "pages.colour_bar": "inferno",
        "api.artifact": files[0].removeprefix("0."),
        "api.output": "left.png",
    }

    def value(found: re.Match[str]) -> str:
        name = found[1].rpartition(":")[2]
        if name == "name":
            return names.get(rule.endpoint, "occlusion")
        assert name in mine, f"{rule} has an argument that this test does not know: say here what an owner's would be."
        return mine[name]

    return re.sub(r"<([^>]+)>", value, rule.rule)


def belongs(rule: Rule) -> bool:
    """Whether a route is about a picture or run that its address names."""
    return bool({"image", "run"} & rule.arguments)


def ask(client: FlaskClient, method: str, address: str, owner: Owner, run: str, **headers: str) -> TestResponse:
    """A request that names the owner's things wherever it can: in the query, and in a form or JSON."""
    api = address.startswith("/api/")
    query = "" if api else f"?run={run}&image={owner.image}&visualization=occlusion"
    form = {"run": run, "image": owner.image, "visualization": "occlusion", "sample": "0", "model": "model"}
    content: dict[str, Any] = (
        {"json": {"visualization": "occlusion", "images": [owner.image]}} if api else {"data": form}
    )
    response: TestResponse = client.open(
        address + query, method=method, headers=headers, **content if method != "GET" else {}
    )
    return response


def test_no_route_shows_or_changes_what_is_somebody_elses(owner: Owner) -> None:
    app, before = owner.visitor.app, owner.state()
    stranger = Visitor(app)
    program = app.test_client(use_cookies=False)
    session, token, tried = "", "", 0
    for rule in app.url_map.iter_rules():
        for run in (owner.done, owner.waiting) if "run" in rule.arguments else (owner.done,):
            address = addresses(rule, owner, run)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                if not stranger.services.store.touch_session(session):  # at first, and after "start over"
                    stranger.add("theirs.png")
                    session, token = stranger.session, program_token(app, stranger)
                for response in (
                    ask(stranger.client, method, address, owner, run),
                    ask(program, method, address, owner, run, Authorization=f"Bearer {token}"),
                    *([ask(program, method, address, owner, run)] if belongs(rule) else []),
                ):
                    text = response.data.decode(errors="replace") + str(response.headers)
                    shown = [secret for secret in owner.secrets if secret in text and secret not in address]
                    if belongs(rule):
                        assert response.status_code in (401, 404), (method, address, response.status_code)
                    elif response.status_code < 400:
                        # A form may be shown again with the ids that it was sent; nothing else of them may.
                        shown = [secret for secret in shown if secret in (owner.visitor.session, NAME)]
                    assert shown == [], (method, address)
                tried += 1
            assert owner.state() == before, address
    assert tried > 60


def program_token(app: Any, visitor: Visitor) -> str:
    """The bearer token of a visitor's session."""
    from picasso.api.visitors import token

    with app.app_context():
        return token(visitor.session).token


def test_the_owner_sees_all_of_it_and_nobody_keeps_it_on_the_way(owner: Owner) -> None:
    """So that the test above does not pass because the addresses are wrong."""
    asked = seen = 0
    for rule in owner.visitor.app.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or not belongs(rule):
            continue
        asked += 1
        response = owner.visitor.get(addresses(rule, owner, owner.done))
        assert response.headers["Cache-Control"] == "private, no-store", rule
        if response.mimetype.startswith("image/"):
            assert response.mimetype in MADE_HERE
        seen += response.status_code == 200
    assert asked > 12
    assert seen >= asked - 6  # maps of any class, pieces and outputs are not there in every run


def test_ids_are_128_random_bits(owner: Owner) -> None:
    found = {owner.visitor.session, owner.image, owner.done, owner.waiting}
    assert len(found) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in found)


def test_what_nobody_owns_may_be_kept(visitor: Visitor) -> None:
    visitor.add()
    for path in ("/colours/vik.png", "/colours.json", "/samples/0.webp"):
        response = visitor.get(path)
        assert "public" in response.headers["Cache-Control"]
        assert "Set-Cookie" not in response.headers
