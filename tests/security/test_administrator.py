"""Who the administrator is, and what nobody else may see or do."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from browsing import MakeVisitor, Visitor

from picasso.access import Access
from picasso.config import Config, load_config
from picasso.errors import ConfigError
from picasso.sessions import admin_token

TOKEN = "Zm9yIHRlc3RzIG9ubHkgMTI4Yg"
ADMIN = "dGhlIGFkbWluaXN0cmF0b3IncyE"
ROUTES = {"/admin": "GET", "/metrics": "GET", "/model/reload": "POST"}
KEPT = "a2VwdCBpbiBhIGZpbGUgaGVyZQ"
LOCAL: list[dict[str, Any]] = [{}, {"PORT": 9000}]
OPEN: list[dict[str, Any]] = [
    {"ACCESS_TOKEN": TOKEN}, {"HOST": "0.0.0.0"}, {"ALLOW_ANONYMOUS": True}, {"ADMIN_TOKEN": ADMIN},
    {"ALLOWED_HOSTS": ["picasso.example.org"]},
]  # fmt: skip


def statuses(visitor: Visitor, **headers: str) -> set[int]:
    """How what is the administrator's answers to a visitor who was let in."""
    return {visitor.client.open(path, method=method, headers=headers).status_code for path, method in ROUTES.items()}


def test_which_servers_have_an_administrator() -> None:
    for settings in LOCAL:
        assert Access.of(Config(**settings)).with_administrator(lambda: KEPT).admin_token is None
    for settings in OPEN:
        found = Access.of(Config(**settings)).with_administrator(lambda: KEPT)
        assert found.admin_token == settings.get("ADMIN_TOKEN", KEPT)
        assert str(found.admin_token) not in repr(found)


def test_on_its_own_machine_whoever_is_let_in_is_the_administrator(visitor: Visitor) -> None:
    assert statuses(visitor) == {200, 303}
    assert visitor.page("/model").all("a", href="/admin")
    assert "Reload model" in visitor.page("/model").text
    assert not (visitor.services.store.folder / "admin_token").exists()


def test_where_others_may_come_in_it_takes_a_token(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(ALLOW_ANONYMOUS=True)
    own = str(visitor.services.access.admin_token)
    assert statuses(visitor) == {403}
    page = visitor.page("/model")
    assert page.all("a", href="/admin") == []
    assert "Reload model" not in page.text
    answer = visitor.get("/metrics")
    assert (answer.get_json()["error"]["code"], own in answer.text) == ("administrator_only", False)
    assert statuses(visitor, **{"Picasso-Token": own}) == {200, 303}
    assert statuses(visitor, Authorization=f"Bearer {own}") == {200, 303}
    for wrong in (f"Bearer {own}x", f"Bearer {TOKEN}", f"Basic {own}", "Bearer", own):
        assert statuses(visitor, Authorization=wrong) == {403}, wrong
    assert visitor.get(f"/metrics?token={own}").status_code == 403  # addresses are in logs of proxies
    led = visitor.get(f"/admin?token={own}&x=1")
    assert (led.status_code, led.location) == (303, "http://localhost/admin?x=1")
    assert statuses(visitor) == {200, 303}
    cookie = visitor.client.get_cookie(visitor.app.config["SESSION_COOKIE_NAME"])
    assert cookie is not None
    assert own not in cookie.value
    for settings, expected in (({}, {200, 303}), ({"ADMIN_TOKEN": ADMIN}, {403})):  # the server, started again
        visitor.services.store.close()
        visitor = make_visitor(ALLOW_ANONYMOUS=True, **settings)
        visitor.client.set_cookie(cookie.key, cookie.value)
        assert (visitor.services.access.admin_token == own) == (not settings)
        assert statuses(visitor) == expected


def test_the_administrators_link_lets_in(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(ACCESS_TOKEN=TOKEN, ADMIN_TOKEN=ADMIN)
    assert statuses(visitor) == {401}
    assert statuses(visitor, Authorization=f"Bearer {TOKEN}") == {401}
    assert statuses(visitor, Authorization=f"Bearer {ADMIN}") == {200, 303}
    visitor.get(f"/?token={ADMIN}")
    assert visitor.get("/").status_code == 200
    assert statuses(visitor) == {200, 303}


def test_the_token_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    made = admin_token(tmp_path)
    assert len(made) == 22  # 128 random bits
    assert admin_token(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "admin_token").stat().st_mode) == 0o600
    (tmp_path / "admin_token").write_text(f"{ADMIN}\n")
    assert admin_token(tmp_path) == ADMIN
    for wrong in ("", "guessable"):
        (tmp_path / "admin_token").write_text(wrong)
        with pytest.raises(ConfigError, match="delete it"):
            admin_token(tmp_path)


def test_a_token_for_two_things_is_refused_and_not_repeated() -> None:
    for settings, rule in [
        ({"ADMIN_TOKEN": "guessable"}, "ADMIN_TOKEN: write 22 to 200 characters"),
        ({"ADMIN_TOKEN": TOKEN, "ACCESS_TOKEN": TOKEN}, "make two"),
    ]:
        with pytest.raises(ConfigError, match=rule) as error:
            load_config(overrides=settings, environ={})
        assert settings["ADMIN_TOKEN"] not in error.value.message
    assert ADMIN not in repr(Config(ADMIN_TOKEN=ADMIN))
