"""Who is let in: names, machines, tokens, origins, proxies."""

from __future__ import annotations

import json
import logging
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from browsing import MakeVisitor, Page, Visitor, picture
from werkzeug.test import TestResponse

from picasso.access import Access, is_loopback
from picasso.config import Config, load_config
from picasso.errors import AdministratorOnly, ConfigError, PicassoError
from picasso.remote import reload_models

TOKEN = "Zm9yIHRlc3RzIG9ubHkgMTI4Yg"
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
LOCAL = {"localhost", "127.0.0.1", "::1"}


def access(**settings: Any) -> Access:
    return Access.of(Config(**settings))


def sentence(response: TestResponse) -> str:
    """What an answer that refuses says; nothing of the inside stands beside it."""
    assert response.headers["Cache-Control"] == "private, no-store"
    if response.is_json:
        return str(response.get_json()["error"]["message"])
    page = response.get_data(as_text=True)
    assert "Tiny" not in page
    assert Page(page).all("form") == []
    return " ".join(Page(page).text.split())


# Which servers want a token


def test_loopback_wants_none_and_every_other_address_makes_one() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
        assert (access(HOST=host).token, access(HOST=host).anonymous) == (None, False)
    others: list[dict[str, Any]] = [
        {"HOST": host} for host in ("0.0.0.0", "::", "192.0.2.1", "", "0", "no.such.invalid")
    ]
    for settings in [*others, {"ALLOWED_HOSTS": ["picasso.example.org"]}, {"TRUSTED_PROXIES": 1}]:
        made = access(**settings)
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", made.token or "")  # 128 random bits
        assert made.token != access(**settings).token
        assert made.query == f"?token={made.token}"
        assert str(made.token) not in repr(made)
        assert access(**settings, ACCESS_TOKEN=TOKEN).token == TOKEN
        assert access(**settings, ALLOW_ANONYMOUS=True).token is None


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"ACCESS_TOKEN": "guessable"}, "write 22 to 200 characters"),
        ({"ACCESS_TOKEN": "x" * 21 + "ü"}, "write 22 to 200 characters"),
        ({"ACCESS_TOKEN": TOKEN, "ALLOW_ANONYMOUS": True}, "contradict each other"),
        ({"ALLOWED_HOSTS": ["http://lab:8000"]}, "without scheme and port"),
        ({"ALLOWED_HOSTS": ["*"]}, "without scheme and port"),
        ({"ALLOWED_ORIGINS": ["lab.example.org"]}, "write origins as browsers send them"),
        ({"TRUSTED_PROXIES": -1}, "greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_said_and_secrets_are_not_repeated(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule) as error:
        load_config(overrides=settings, environ={})
    assert str(settings.get("ACCESS_TOKEN", TOKEN)) not in error.value.message
    assert TOKEN not in repr(Config(ACCESS_TOKEN=TOKEN))


def test_debug_mode_is_for_this_machine_alone(make_visitor: MakeVisitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    for settings in ({"HOST": "0.0.0.0"}, {"ACCESS_TOKEN": TOKEN}, {"HOST": "0.0.0.0", "ALLOW_ANONYMOUS": True}):
        with pytest.raises(ConfigError, match="Debug mode"):
            make_visitor(**settings)
    visitor = make_visitor()
    assert visitor.get("/", environ_overrides=ELSEWHERE).status_code == 403


# Names and machines


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "", "localhost:99999999", "[::1", "a b",
     "evil@localhost", "localhost/..", "192.0.2.1", "0.0.0.0"],
)  # fmt: skip
def test_other_names_are_refused_on_every_route(visitor: Visitor, host: str) -> None:
    for path in ("/", "/nothing", "/status", "/health/live", "/api/v1/", "/api/v1/nothing", "/colours.json"):
        response = visitor.get(path, headers={"Host": host})
        assert response.status_code == 403
        assert "ALLOWED_HOSTS" in sentence(response)


def test_other_names_are_refused_on_all_routes_that_there_are(visitor: Visitor) -> None:
    for rule in visitor.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in rule.methods or ():
            assert visitor.client.open(path, method=method, headers={"Host": "evil.example"}).status_code == 403, rule


def test_own_names_are_answered_to(visitor: Visitor, make_visitor: MakeVisitor) -> None:
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:8000", "[::1]"):
        assert visitor.get("/health/live", headers={"Host": host}).status_code == 200, host
    other = make_visitor(ALLOWED_HOSTS=["Picasso.example.org", ".lab.example"], ALLOW_ANONYMOUS=True)
    for host, status in {
        "picasso.example.org": 200, "a.b.lab.example:443": 200, "lab.example": 403, "evillab.example": 403,
        "x.picasso.example.org": 403, "localhost": 200,
    }.items():  # fmt: skip
        assert other.get("/health/live", headers={"Host": host}).status_code == status, host


def test_a_server_on_all_addresses_knows_those_of_its_machine() -> None:
    found = access(HOST="0.0.0.0")
    for name in LOCAL | {"0.0.0.0"}:
        assert found.answers_to(f"[{name}]:80" if ":" in name else f"{name}:80"), name
    assert not found.answers_to("192.0.2.1")
    assert not access(HOST="192.0.2.1").answers_to("localhost")
    assert access(HOST="192.0.2.1").answers_to("192.0.2.1:8000")


def test_without_a_token_only_this_machine_is_let_in(visitor: Visitor, make_visitor: MakeVisitor) -> None:
    for path in ("/", "/api/v1/"):
        response = visitor.get(path, environ_overrides=ELSEWHERE)
        assert response.status_code == 403
        assert "ACCESS_TOKEN" in sentence(response)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", ""):
        assert visitor.get("/", environ_overrides={"REMOTE_ADDR": address}).status_code == 200
    assert make_visitor(ALLOW_ANONYMOUS=True).get("/", environ_overrides=ELSEWHERE).status_code == 200
    assert not is_loopback("::ffff:192.0.2.7")


# The token


@pytest.fixture
def closed(make_visitor: MakeVisitor) -> Visitor:
    """A visitor to a server with a token, which they have not named yet."""
    return make_visitor(ACCESS_TOKEN=TOKEN)


def test_every_route_wants_the_token(closed: Visitor) -> None:
    for rule in closed.app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in (rule.methods or set()) - {"HEAD"}:
            response = closed.client.open(path, method=method)
            assert response.status_code == 401, rule
            assert response.headers["WWW-Authenticate"] == "Picasso-Token"
            assert "Picasso-Token" in sentence(response)
    assert closed.get("/nothing").status_code == 401
    style = re.search(r'href="(/static/[^"]+css)"', closed.get("/").get_data(as_text=True))
    assert style is not None
    assert closed.get(style[1]).status_code == 200


def test_the_link_lets_in_and_leaves_no_token_in_the_address(closed: Visitor) -> None:
    response = closed.get(f"/runs?token={TOKEN}&kept=1&kept=%26")
    assert (response.status_code, response.location) == (303, "http://localhost/runs?kept=1&kept=%26")
    cookie = response.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert closed.get("/runs").status_code == 200
    assert closed.get(f"/?token={TOKEN}").status_code == 303
    assert closed.upload(("cat.png", picture())).status_code == 303
    assert closed.post("/start-over").status_code == 303
    assert closed.get("/").status_code == 200  # starting over does not lock out


def test_the_link_leads_nowhere_else(closed: Visitor) -> None:
    for path in ("//evil.example/", "/\\evil.example", "/%2F/evil.example"):
        response = closed.client.get(path, query_string={"token": TOKEN}, base_url="http://localhost")
        assert response.location is None or response.location.startswith("http://localhost/"), response.location


def test_a_wrong_token_lets_nobody_in(closed: Visitor) -> None:
    for given in ("", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.lower(), f" {TOKEN}", "ü" * 22, "\udcff"):
        raw = given.encode("utf-8", "surrogatepass")
        assert closed.client.get("/", query_string={"token": raw}).status_code == 401
        if given == given.strip():  # spaces around a header's value are not part of it
            assert closed.get("/api/v1/", headers={"Picasso-Token": raw.decode("latin-1")}).status_code == 401
    assert closed.get("/").status_code == 401


def test_programs_send_two_tokens_as_two_headers(closed: Visitor) -> None:
    program = closed.app.test_client(use_cookies=False)
    own = {"Picasso-Token": TOKEN}
    assert program.get(f"/api/v1/?token={TOKEN}").status_code == 401  # never in an address
    assert program.get("/api/v1/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
    assert program.get("/health/live", headers=own).status_code == 200
    made = program.post("/api/v1/images", headers=own, data={"file": (_stream(), "cat.png")})
    assert made.status_code == 201
    session = {"Authorization": f"Bearer {made.get_json()['session']['token']}"}
    assert program.get("/api/v1/images", headers=session).get_json()["error"]["code"] == "token_needed"
    assert program.get("/api/v1/images", headers=own).get_json()["error"]["code"] == "no_session"
    assert len(program.get("/api/v1/images", headers=own | session).get_json()["images"]) == 1
    wrong = own | {"Picasso-Token": "x" * 22}
    assert program.get("/api/v1/images", headers=wrong | session).status_code == 401


def test_a_new_token_ends_what_the_old_one_let_in(closed: Visitor, tmp_path: Path) -> None:
    closed.get(f"/?token={TOKEN}")
    closed.services.store.close()
    object.__setattr__(closed.services, "access", access(ACCESS_TOKEN=TOKEN[::-1]))
    assert closed.get("/").status_code == 401


def test_tokens_are_in_no_log(closed: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        closed.get(f"/nothing?token={TOKEN}")
        closed.get("/nothing", headers={"Picasso-Token": TOKEN})
        closed.client.get("/", query_string={"token": "x" * 22})
    assert TOKEN not in caplog.text


def test_reload_names_the_token_of_the_link(closed: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    def urlopen(request: Any, timeout: float) -> Any:
        asked.append(dict(request.header_items()))
        response = closed.client.open(request.selector, method=request.method, headers=request.header_items())
        return BytesIO(response.data)

    monkeypatch.setattr("picasso.remote.urlopen", urlopen)
    with pytest.raises(PicassoError, match="Open the link that Picasso printed"):
        reload_models("http://localhost/")
    with pytest.raises(AdministratorOnly, match="Open the administrator's link"):
        reload_models(f"http://localhost/?token={TOKEN}")
    own = closed.services.access.admin_token
    _, error = reload_models(f"http://localhost/?token={own}")
    assert asked[-1]["Picasso-token"] == own
    assert error is None


# Origins


def test_no_other_site_may_read_unless_it_is_configured(visitor: Visitor, make_visitor: MakeVisitor) -> None:
    origin = "https://lab.example.org"
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method in ("GET", "OPTIONS", "POST"):
        answer = visitor.client.open("/api/v1/runs", method=method, headers=asking)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    open_to = make_visitor(ALLOWED_ORIGINS=[origin], ACCESS_TOKEN=TOKEN)
    preflight = open_to.client.open("/api/v1/images", method="OPTIONS", headers=asking)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    assert "Picasso-Token" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    sent = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Picasso-Token": TOKEN}
    made = open_to.post("/api/v1/images", {"file": (_stream(), "cat.png")}, headers=sent)
    assert (made.status_code, made.headers["Access-Control-Allow-Origin"]) == (201, origin)
    assert "Origin" in made.headers["Vary"]
    assert open_to.post("/api/v1/images", headers={"Origin": origin}).status_code == 401
    for path, other in (("/images", origin), ("/api/v1/images", "https://evil.example"), ("/api/v1/images", "null")):
        refused = open_to.post(path, headers=sent | {"Origin": other, "Accept": "application/json"})
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers


def test_changes_from_other_sites_are_refused_on_every_route(visitor: Visitor) -> None:
    tried = 0
    for rule in visitor.app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            path = re.sub(r"<[^>]+>", "1", rule.rule)
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
                assert visitor.client.open(path, method=method, headers=headers).status_code == 403, rule
                tried += 1
    assert tried > 20


# Proxies

FORWARDED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "picasso.example.org",
    "X-Forwarded-Prefix": "/tools/picasso",
}


def test_nothing_is_believed_of_proxies_that_are_not_configured(make_visitor: MakeVisitor) -> None:
    response = make_visitor(ALLOW_ANONYMOUS=True).get("/", headers=FORWARDED)
    page = response.get_data(as_text=True)
    assert response.status_code == 200
    for text in ("203.0.113.9", "picasso.example.org", "/tools/picasso"):
        assert text not in page + str(response.headers)


def test_a_proxy_does_not_open_a_server_for_its_own_machine(visitor: Visitor) -> None:
    for header in ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"):
        for path in ("/", "/admin", "/metrics", "/api/v1/models"):
            response = visitor.get(path, headers={header: "203.0.113.9"})
            assert response.status_code == 403, (header, path)
            assert "TRUSTED_PROXIES = 1" in response.get_data(as_text=True)


def test_behind_a_proxy_under_a_prefix(make_visitor: MakeVisitor) -> None:
    visitor = make_visitor(TRUSTED_PROXIES=1, ALLOWED_HOSTS=["picasso.example.org"], ACCESS_TOKEN=TOKEN)
    public = "https://picasso.example.org/tools/picasso"
    client = visitor.app.test_client(use_cookies=False)

    def ask(path: str, method: str = "GET", **kwargs: Any) -> TestResponse:
        headers = FORWARDED | {"Host": "127.0.0.1:8000"} | kwargs.pop("headers", {})
        response: TestResponse = client.open(path, method=method, headers=headers, **kwargs)
        return response

    let_in = ask(f"/runs?token={TOKEN}")
    assert let_in.location == f"{public}/runs"
    cookie = let_in.headers["Set-Cookie"]
    assert {"Secure", "HttpOnly", "Path=/tools/picasso", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    own = {"Cookie": cookie.split(";")[0]}
    page = ask("/", headers=own).get_data(as_text=True)
    addresses = re.findall(r'(?:href|src|action|formaction|hx-get)="(/[^"]*)"', page)
    assert len(addresses) > 20
    assert {address for address in addresses if not address.startswith("/tools/picasso/")} == set()
    program = own | {"Picasso-Token": TOKEN, "Origin": "https://picasso.example.org"}
    made = ask("/api/v1/images", "POST", headers=program, data={"file": (_stream(), "cat.png")}).get_json()
    assert made["images"][0]["url"].startswith("/tools/picasso/api/v1/images/")
    document = json.loads(ask("/api/v1/openapi.json", headers=own).data)
    assert document["servers"] == [{"url": "/tools/picasso"}]
    assert ask("/images", "POST", headers=own | {"Origin": "https://evil.example"}).status_code == 403
    assert ask("/", headers=own | {"X-Forwarded-Host": "evil.example"}).status_code == 403
    chosen = ask(
        "/model", "POST", headers=own | {"Referer": f"{public}/runs?x=1"}, data={"model": "model"}
    )  # back to the page that it came from
    assert chosen.location == "/tools/picasso/runs?x=1"
    by_hand = ask("/visualizations/what-if?region=1,1,2,2", headers=own)
    assert by_hand.location.startswith("/tools/picasso/ask?")


def _stream() -> BytesIO:
    return BytesIO(picture())
