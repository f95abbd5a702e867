"""The HTTP proxy of the environment, and a connection through it by CONNECT.

Shell. Only what the rendezvous check needs: proxies of the kind ``http://``. The rules which
URL goes through which proxy are the websockets package's, as for a transfer; what is on this
machine or in a private network never does. Source: RFC 9110 §9.3.6.
"""

import asyncio
import base64
import ipaddress
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Final

from websockets.proxy import get_proxy
from websockets.uri import parse_uri

_MAX_HEAD: Final = 16_384  # bytes of a proxy's answer; HTTP servers send a few hundred
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_DEFAULT_PORT: Final = 80


class TunnelRefused(Exception):
    """The proxy does not connect; one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What people are told: without the password."""
        return f"{self.host}:{self.port}"


def maybe_proxy(url: str) -> Proxy | None:
    """Return the proxy that a WebSocket to ``url`` goes through.

    One of another kind than ``http://`` is None: it is not looked through.
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    if _is_near(host):
        return None
    named = get_proxy(parse_uri(url))
    parts = urllib.parse.urlsplit(named or "")
    if parts.scheme != "http" or not parts.hostname:
        return None
    authorization = None
    if parts.username is not None:
        user, password = (
            urllib.parse.unquote(text or "") for text in (parts.username, parts.password)
        )
        authorization = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return Proxy(host=parts.hostname, port=parts.port or _DEFAULT_PORT, authorization=authorization)


async def open_tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    to: tuple[str, int],
    proxy: Proxy,
) -> None:
    """Have a proxy connect to somewhere.

    Raises:
        TunnelRefused: It does not.
        OSError: The connection broke.
    """
    host = f"[{to[0]}]" if ":" in to[0] else to[0]
    lines = [f"CONNECT {host}:{to[1]} HTTP/1.1", f"Host: {host}:{to[1]}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: Basic {proxy.authorization}")
    writer.write("\r\n".join((*lines, "", "")).encode("ascii"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise TunnelRefused("The proxy does not answer as a proxy.") from exc
    status = _STATUS.match(head[:_MAX_HEAD])
    if status is None or not status[1].startswith(b"2"):
        code = "something else" if status is None else f"HTTP {int(status[1])}"
        raise TunnelRefused(f"The proxy refuses to connect: it answers {code}.")


def _is_near(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".local")
