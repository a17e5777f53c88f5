"""Who may come in: the names that the server answers to, the tokens that visitors from elsewhere and the administrator
have to know.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlencode

import psutil

from picasso.config import Config
from picasso.errors import ConfigError

HEADER = "Picasso-Token"  # how programs send a token; `Authorization` is for that of their session
PARAMETER = "token"  # how the link has it
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
INTERNET = (socket.AF_INET, socket.AF_INET6)
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True)
class Access:
    """Who may come in.

    Attributes:
        hosts: the names that the server answers to, without ports; one that begins with a dot stands for all below it.
        token: what every visitor has to know; None where none is needed.
        anonymous: everybody may come in. Where neither is so, only this machine may.
        admin_token: what the administrator has to know, who may come in with it too; None where whoever may come in is
            the administrator.
    """

    hosts: frozenset[str]
    token: str | None = field(repr=False)
    anonymous: bool
    admin_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: Config) -> Access:
        """What the config says; makes a token where other machines can reach the server and it says nothing."""
        addresses = _addresses(config.HOST)
        local = bool(addresses) and all(map(is_loopback, addresses))
        token = config.ACCESS_TOKEN.get_secret_value() if config.ACCESS_TOKEN else None
        if not config.ALLOW_ANONYMOUS and (config.ALLOWED_HOSTS or config.TRUSTED_PROXIES or not local):
            token = token or secrets.token_urlsafe(16)
        names = _own_names(config.HOST, addresses) | frozenset(config.ALLOWED_HOSTS)
        admin_token = config.ADMIN_TOKEN.get_secret_value() if config.ADMIN_TOKEN else None
        return cls(names, token, config.ALLOW_ANONYMOUS, admin_token)

    def with_administrator(self, kept: Callable[[], str]) -> Access:
        """With a token for the administrator where others may come in: the config's, or the one that is kept."""
        others = self.token is not None or self.anonymous
        return replace(self, admin_token=kept()) if others and self.admin_token is None else self

    @property
    def mark(self) -> str:
        """What the signed cookie of a visitor has who knew the token."""
        return _mark(self.token)

    @property
    def admin_mark(self) -> str:
        """What that of the administrator has."""
        return _mark(self.admin_token)

    @property
    def query(self) -> str:
        """What a link to a page ends with, so that it lets in; empty where no token is needed."""
        return _query(self.token)

    @property
    def admin_query(self) -> str:
        """What a link ends with that is the administrator's; empty where no token is needed."""
        return _query(self.admin_token)

    def answers_to(self, header: str) -> bool:
        """Whether a `Host` header has a name of this server: not one that somebody else made lead here."""
        found = HOST.fullmatch(header.lower())
        name = (found[1] or found[2]) if found else ""
        return bool(name) and any(name == one or (one[0] == "." and name.endswith(one)) for one in self.hosts)

    def is_token(self, given: str) -> bool:
        """Whether it is what visitors know."""
        return _same(given, self.token)

    def is_admin_token(self, given: str) -> bool:
        """Whether it is what the administrator knows."""
        return _same(given, self.admin_token)


def _mark(token: str | None) -> str:
    return sha256(f"let in with {token}".encode()).hexdigest()


def _query(token: str | None) -> str:
    return f"?{urlencode({PARAMETER: token})}" if token else ""


def _same(given: str, token: str | None) -> bool:
    """Compares in a time that does not tell how much of it is right."""
    return token is not None and hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def is_loopback(address: str) -> bool:
    """Whether an address is that of a machine to itself."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def _addresses(host: str) -> set[str]:
    """The addresses that a name stands for; of an address, itself."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]).partition("%")[0] for *_, address in found}


def _own_names(host: str, addresses: set[str]) -> frozenset[str]:
    """The names by which a server is reached that listens at `host`, which stands for `addresses`."""
    names = {host, *addresses}
    if any(is_loopback(address) or address in EVERYWHERE for address in addresses):
        names |= {"localhost", "127.0.0.1", "::1"}
    if not addresses.isdisjoint(EVERYWHERE):
        names.add(socket.gethostname())
        names |= {one.address for some in psutil.net_if_addrs().values() for one in some if one.family in INTERNET}
    return frozenset(name.partition("%")[0].lower() for name in names if name)


def refuse_debugging(access: Access, *, debug: bool, reload_plugins: bool) -> None:
    """Raises a `ConfigError` for what shows visitors the inside, where others than this machine may come in."""
    for on, what in ((debug, "Debug mode (FLASK_DEBUG)"), (reload_plugins, "RELOAD_PLUGINS")):
        if on and (access.token or access.anonymous):
            raise ConfigError(
                f"{what} is for this machine alone: switch it off, or take ACCESS_TOKEN, ALLOW_ANONYMOUS, "
                "ALLOWED_HOSTS, TRUSTED_PROXIES and a HOST of other machines out of the config."
            )
