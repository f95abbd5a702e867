"""Which proxy leads to a server, by the rules of the environment variables.

======================  ================================================================
``HTTPS_PROXY``         for every server
``HTTP_PROXY``          for those without TLS (``ws:``, ``turn:``), where it is not set
``ALL_PROXY``           where none of them is set
``WSS_PROXY``,          the same for the rendezvous alone, before all others, as the
``WS_PROXY``            websockets package has it
``NO_PROXY``            who is reached directly: names (with all names below them),
                        addresses, networks (``10.0.0.0/8``), with a port or without, or ``*``
======================  ================================================================

What no proxy can know is never reached through one: this machine, the local network.

Pure: the variables come in as :func:`urllib.request.getproxies` has them.
"""

import base64
import ipaddress
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAX_URL: Final = 2_048  # characters

Purpose = Literal["rendezvous", "turn"]


class ProxyFailed(OSError):
    """A proxy is set that cannot be used, or does not connect.

    Attributes:
        reason: Half a sentence, without an address: "the proxy refuses to connect (HTTP 403)".
        slug: The same for programs.
    """

    def __init__(self, reason: str, *, slug: str = "proxy") -> None:
        super().__init__(reason)
        self.reason, self.slug = reason, slug

    def __str__(self) -> str:
        return f"{self.reason[:1].upper()}{self.reason[1:]}."


class Server(NamedTuple):
    """Who is to be reached."""

    host: str
    port: int
    secure: bool
    """By TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    secure: bool = False
    """Reached by TLS itself, ``https://``."""
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What people are told: without user and password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the whole of it, credentials too, for a program."""
        credentials = ""
        if self.username is not None:
            parts = (self.username, self.password)
            credentials = ":".join(urllib.parse.quote(part, safe="") for part in parts) + "@"
        return f"http{'s' if self.secure else ''}://{credentials}{self.name}"

    @property
    def authorization(self) -> str | None:
        """The value of ``Proxy-Authorization``; RFC 7617 §2."""
        if self.username is None:
            return None
        both = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(both).decode('ascii')}"


def choose_proxy(server: Server, settings: Mapping[str, str], *, purpose: Purpose) -> Proxy | None:
    """Return the proxy that leads to a server, None where it is reached directly.

    Args:
        server: Who is to be reached.
        settings: Values by kind in lower case: ``https``, ``http``, ``all``, ``no``, ….
        purpose: What for.

    Raises:
        ProxyFailed: What is set cannot be used.
    """
    if is_near(server.host) or _is_excepted(server, settings.get("no", "")):
        return None
    for kind in _kinds(server, purpose):
        value = settings.get(kind, "").strip()
        if value:
            return parse_proxy(f"socks5://{value}" if kind == "socks" else value)
    return None


def is_near(host: str) -> bool:
    """Return whether it is this machine or in the local network, which no proxy can know."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".localhost"))


def parse_proxy(text: str) -> Proxy:
    """Return the proxy that a variable names; without a scheme it is ``http://``.

    Raises:
        ProxyFailed: Another kind, or another form; the text is not shown, it may hold a password.
    """
    if len(text) > MAX_URL or not text.isprintable() or " " in text:
        raise _malformed()
    try:
        parts = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
        credentials = _credentials(parts)
    except ValueError as exc:  # UnicodeError is one
        raise _malformed() from exc
    if parts.scheme not in _DEFAULT_PORTS:
        kind = parts.scheme.upper() if parts.scheme.isalnum() else "another"
        raise ProxyFailed(f"the proxy that is set is of the kind {kind[:10]}, not HTTP")
    if not host or port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _malformed()
    return Proxy(
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        secure=parts.scheme == "https",
        username=credentials[0],
        password=credentials[1],
    )


def _credentials(parts: urllib.parse.SplitResult) -> tuple[str | None, str]:
    if parts.username is None:
        return None, ""
    user, password = (
        urllib.parse.unquote(text or "", errors="strict")
        for text in (parts.username, parts.password)
    )
    if ":" in user or not (user + password).isprintable():  # RFC 7617 §2
        raise ValueError("no credentials for Basic")
    return user, password


def _malformed() -> ProxyFailed:
    return ProxyFailed("the proxy that is set has no valid address")


def _kinds(server: Server, purpose: Purpose) -> Sequence[str]:
    own = ["wss" if server.secure else "ws"] if purpose == "rendezvous" else []
    return [*own, "https", *([] if server.secure else ["http"]), "all", "socks"]


def _is_excepted(server: Server, exceptions: str) -> bool:
    """Return whether ``NO_PROXY`` names a server; what cannot be understood names nobody."""
    host = server.host.strip("[]").rstrip(".").lower()
    for entry in exceptions.lower().replace(",", " ").split():
        name, port = _split_port(entry)
        if port not in (None, server.port):
            continue
        if name == "*" or _matches(host, name):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """Return name and port; an IPv6 address with a port has brackets."""
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (name.endswith("]") or ":" not in name):
        return name.strip("[]"), int(port[:6])
    return entry.strip("[]"), None


def _matches(host: str, name: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
