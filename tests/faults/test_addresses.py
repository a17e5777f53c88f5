"""Long and odd values in every part of every address and in every parameter: 4xx, never 500; and whose cookie it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.datastructures import ImmutableMultiDict

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import ExaminingClient, InProcessEngine, Visitor
from long_forms import everything

from picasso.app import create_app
from picasso.config import Config
from picasso.errors import ConfigError
from picasso.testing import TinyModel

ODD = {
    "digits": "9" * 5000,
    "long": "x" * 10_000,
    "long id": "0123456789abcdef" * 625,
    "NUL": "%00",
    "NUL inside": "a%00b",
    "lone surrogate": "%ed%a0%80",
    "encoded twice": "%25ed%25a0%2580",
    "not UTF-8": "%ff%fe",
    "not finite": "nan",
    "Arabic digits": quote("٣" * 500),
    "line feed": "a%0d%0ab",
    "right to left": quote("\u202ea"),
}
TRIED = list(ODD.values()) if everything() else [ODD[name] for name in ("digits", "long id", "NUL", "lone surrogate")]
asked: set[str] = set()


class Noting(ImmutableMultiDict[str, str]):
    """Parameters that note which of them are looked for."""

    def __getitem__(self, key: str) -> str:
        asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        asked.add(str(key))
        return super().__contains__(key)

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        asked.add(key)
        return super().get(key, *args, **kwargs)

    def getlist(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        asked.add(key)
        return super().getlist(key, *args, **kwargs)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Visitor:
    """A visitor with a picture and a run, to an application that notes which parameters it looks for."""
    engine, folder = InProcessEngine(), tmp_path_factory.mktemp("addresses")
    app = create_app(Config(DATA_DIR=folder / "data"), engine)
    app.test_client_class = ExaminingClient
    app.request_class = type("Request", (app.request_class,), {"parameter_storage_class": Noting})
    engine.begin(app)
    engine.open(TinyModel())
    found = Visitor(app)
    found.start("occlusion", found.add(), window="4", stride="4")
    return found


def routes(visitor: Visitor) -> Iterator[tuple[str, str, dict[str, str]]]:
    """For each route and method the address with places for its parts, and what belongs there."""
    store, session = visitor.services.store, visitor.session
    own = {"run": store.runs(session)[0].id, "image": store.images(session)[0].id, "number": "0", "index": "0"}
    for rule in visitor.app.url_map.iter_rules():
        place = re.sub(r"<(?:[^>:]+:)?([^>]+)>", r"{\1}", rule.rule)
        values = {name: own.get(name, "occlusion") for name in rule.arguments}
        for method in sorted((rule.methods or set()) & {"GET", "POST", "DELETE"}):
            if rule.endpoint != "pages.start_over":
                yield method, place, values


def refused(visitor: Visitor, method: str, address: str) -> None:
    response = visitor.client.open(address, method=method)
    assert response.status_code < 500, (method, address[:200])
    if response.status_code >= 400 and address.startswith("/api/"):
        assert response.get_json()["error"]["message"]


@pytest.mark.slow
def test_odd_parts_of_addresses(visitor: Visitor) -> None:
    tried = 0
    for method, place, values in routes(visitor):
        for part in values:
            for odd in TRIED:
                refused(visitor, method, place.format(**values | {part: odd}))
                tried += 1
    assert tried > 40 * len(TRIED)


@pytest.mark.slow
def test_odd_parameters(visitor: Visitor) -> None:
    """Whatever a route looks for is sent to it."""
    tried = 0
    for method, place, values in routes(visitor):
        address = place.format(**values)
        asked.clear()
        refused(visitor, method, address)
        for name in sorted(asked):
            for odd in TRIED:
                refused(visitor, method, f"{address}?{quote(name)}={odd}")
                refused(visitor, method, f"{address}?{odd}={odd}&{quote(name)}={odd}&{quote(name)}=1")
                tried += 1
    assert tried > 40 * len(TRIED)


def test_long_numbers_of_samples(visitor: Visitor) -> None:
    for digits in (5, 400, 4300, 4301, 5000, 100_000):
        assert visitor.get(f"/samples/{'9' * digits}.webp").status_code == 404


# Cookies


def test_servers_on_one_host_have_cookies_of_their_own(tmp_path: Path) -> None:
    def server(data: str) -> Any:
        return create_app(Config(DATA_DIR=tmp_path / data), InProcessEngine())

    names = [server(data).config["SESSION_COOKIE_NAME"] for data in ("one", "other", "one")]
    assert names[0] == names[2]  # they have their sessions in common
    assert names[0] != names[1]
    assert all(re.fullmatch(r"picasso-[0-9a-f]{8}", name) for name in names)


def test_reloading_plugins_is_for_this_machine_alone(tmp_path: Path) -> None:
    for settings in ({"HOST": "0.0.0.0"}, {"HOST": "0.0.0.0", "ALLOW_ANONYMOUS": True}, {"TRUSTED_PROXIES": 1}):
        with pytest.raises(ConfigError, match="RELOAD_PLUGINS is for this machine alone"):
            create_app(Config(DATA_DIR=tmp_path, RELOAD_PLUGINS=True, **settings), InProcessEngine())
