"""Who is let in, the check that changes come from our own pages, the cookie, and headers on every answer."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, abort, redirect, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeSerializer
from werkzeug.wrappers import Response as BaseResponse

from picasso.access import HEADER, PARAMETER, Access, is_loopback
from picasso.config import MEBIBYTE
from picasso.errors import AdministratorOnly, Busy, NotLetIn, TokenNeeded
from picasso.web.errors import in_rest
from picasso.web.services import services
from picasso.web.transfers import FOR_GOOD

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
UPLOAD = "multipart/form-data"
NO_UPLOAD_BYTES = MEBIBYTE  # some hundred times what forms and JSON have
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")  # what proxies add to a request
FULL = "picasso.full"  # stands in the environment of a request that the server cannot let wait


FOR_OTHER_SITES = {  # what their scripts may send to REST and read of its answers, besides what all may
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Picasso-Token, Prefer, X-Request-ID",
    "Access-Control-Expose-Headers": "Location, Preference-Applied, Retry-After, X-Request-ID",
}


def cookie_name(key: bytes) -> str:
    """What the cookie is called: another name for each key, because browsers keep ports of one host not apart.

    Servers over one data folder have one key, and so one cookie, as they have the sessions in common.
    """
    return f"picasso-{hmac.digest(key, b'name of the cookie', 'sha256').hex()[:8]}"


class Cookies(SecureCookieSessionInterface):
    """The cookie belongs to the path that the server is under, and travels encrypted where its pages do.

    No date is in it, nor in its signature: clocks go wrong, the server's and the browser's. The browser keeps it for so
    many seconds, and how long a session lasts is said by the store.
    """

    salt = "session of a browser"

    def get_signing_serializer(self, app: Flask) -> Any:
        """Signs without the date, which Flask's own does not."""
        timed = super().get_signing_serializer(app)
        if timed is None:
            return None
        signing = {"key_derivation": self.key_derivation, "digest_method": sha256}
        return URLSafeSerializer(timed.secret_keys, self.salt, serializer=self.serializer, signer_kwargs=signing)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """An answer that others may keep carries nobody's cookie."""
        if response.cache_control.public:
            return
        if not session or not self.should_set_cookie(app, session):
            super().save_session(app, session, response)  # takes back what is empty now
            return
        response.vary.add("Cookie")
        response.set_cookie(
            self.get_cookie_name(app),
            self.get_signing_serializer(app).dumps(dict(session)),
            max_age=app.permanent_session_lifetime if session.permanent else None,
            path=self.get_cookie_path(app),
            secure=self.get_cookie_secure(app),
            httponly=self.get_cookie_httponly(app),
            samesite=self.get_cookie_samesite(app),
        )

    def get_cookie_path(self, app: Flask) -> str:
        """Two servers under one name do not see each other's."""
        return request.script_root or "/"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Only over https, where that is how it is reached."""
        return request.is_secure


def let_in() -> BaseResponse | None:
    """Before every request, also to what is not there.

    Raises:
        NotLetIn: it names another server, or comes from another machine and the server is for this one.
        TokenNeeded: it does not have the token.
    """
    access, host = services().access, request.headers.get("Host", "")
    if not access.answers_to(host):
        raise NotLetIn(f"This server is not known as {host[:80]!r}. If it is yours, add that name to ALLOWED_HOSTS.")
    if access.token is None:
        visitor = request.remote_addr  # none where it came through a Unix socket
        if not access.anonymous and visitor and not is_loopback(visitor):
            raise NotLetIn("This server is for its own machine. If it is yours, give it an ACCESS_TOKEN.")
        passed_on = next((name for name in PASSED_ON if name in request.headers), None)
        if not access.anonymous and passed_on:
            raise NotLetIn(
                f"This server is for its own machine, and a proxy ({passed_on}) sent this request on to it. If both "
                "are yours, set TRUSTED_PROXIES = 1: visitors then need the link with a token that Picasso prints."
            )
    if (answer := _by_link(access)) is not None:
        return answer
    if request.endpoint == "static" or (request.method == "OPTIONS" and other_site()):
        return None  # a browser's question whether another site's script may ask carries no token
    if is_stranger():
        raise TokenNeeded(
            f"Open the link that Picasso printed when it started, which ends with {PARAMETER}=…, or ask whoever "
            f"started it. Programs send the token as the header {HEADER}."
        )
    return None


def is_stranger() -> bool:
    """Whether a token is needed, and the request has none."""
    access = services().access
    return access.token is not None and not _knows_token(access) and not _knows_admin_token(access)


def _by_link(access: Access) -> BaseResponse | None:
    """Has the cookie remember the token of a link, and leads on to its address without it."""
    given = request.args.get(PARAMETER, "")
    if request.method != "GET" or in_rest() or not (access.is_token(given) or access.is_admin_token(given)):
        return None
    session["access"] = access.mark
    if access.is_admin_token(given):
        session["admin"] = access.admin_mark
    session.permanent = True
    rest = [(name, value) for name, value in request.args.items(multi=True) if name != PARAMETER]
    return redirect(f"{request.base_url}?{urlencode(rest)}".removesuffix("?"), 303)


def _knows_token(access: Access) -> bool:
    given = request.headers.get(HEADER)
    if given is None:
        return hmac.compare_digest(str(session.get("access", "")), access.mark)
    return access.is_token(given)


def is_administrator() -> bool:
    """Whether the request is the administrator's, who everybody is where there is no token for them."""
    access = services().access
    return access.admin_token is None or _knows_admin_token(access)


def _knows_admin_token(access: Access) -> bool:
    """By a token in either header, or by the cookie that a link gave."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = [request.headers.get(HEADER, ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    known = hmac.compare_digest(str(session.get("admin", "")), access.admin_mark)
    return known or any(map(access.is_admin_token, given))


def require_administrator() -> None:
    """Raises `AdministratorOnly` for everybody else."""
    if not is_administrator():
        raise AdministratorOnly(
            "Open the administrator's link, which Picasso printed when it started. The token in it is the config's "
            "ADMIN_TOKEN, or kept in the file admin_token in DATA_DIR. Programs send it as the header "
            f"{HEADER}, or as 'Authorization: Bearer TOKEN'."
        )


def refuse_when_full() -> None:
    """Raises `Busy` for what came when too many requests were waiting already."""
    if FULL in request.environ:
        raise Busy("Too many are asking this server at once. Nothing was done; try again in a few seconds.")


def refuse_large_bodies() -> None:
    """A body that says that it is too large is not read. But for uploads, all are read into memory as a whole."""
    if request.mimetype != UPLOAD:
        request.max_content_length = min(NO_UPLOAD_BYTES, request.max_content_length or NO_UPLOAD_BYTES)
    if (request.content_length or 0) > (request.max_content_length or 0):
        abort(413)


def refuse_other_origins() -> None:
    """Changes come from our own pages only; programs that send neither header are let through."""
    if request.method in SAFE_METHODS or other_site():
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            abort(403, "This request came from another site. Open Picasso itself and try there.")
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        abort(403, "This request came from another site. Open Picasso itself and try there.")


def other_site() -> str | None:
    """The origin of another site whose script asks REST, if the config allows it."""
    origin = request.headers.get("Origin", "")
    return origin if origin.lower() in services().config.ALLOWED_ORIGINS and in_rest() else None


def add_headers(response: Response) -> Response:
    """A strict policy; nothing of a session is stored on the way."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if services().config.ALLOWED_ORIGINS and in_rest():
        response.vary.add("Origin")
        if site := other_site():
            response.headers.update({"Access-Control-Allow-Origin": site, **FOR_OTHER_SITES})
    if request.endpoint == "static" and response.status_code < 400:
        response.headers["Cache-Control"] = FOR_GOOD
    elif "max-age" not in response.headers.get("Cache-Control", ""):
        response.headers["Cache-Control"] = "private, no-store"
    return response
