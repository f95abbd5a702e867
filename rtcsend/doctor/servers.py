"""The STUN and TURN servers to ask: URLs taken apart, each thing once, and named safely.

Pure. Place in the flow: from ``--ice`` and the rendezvous' welcome to the checks.
Source: RFC 7064 §3.1 and RFC 7065 §3.1 for the URLs and their ports.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from rtcsend.rendezvous.messages import IceServer

MAX_SERVERS: Final = 24  # asked in one run; a browser takes 20 URLs at most
_PORT: Final = 3478  # RFC 8489 §18.4, RFC 8656 §18
_TLS_PORT: Final = 5349  # RFC 8489 §18.4, RFC 8656 §18
_URL: Final = re.compile(
    r"(stun|turn|turns):(?:\[([^\]]+)\]|([^:?]+))(?::([0-9]+))?(?:\?transport=(udp|tcp))?",
    re.ASCII,
)
Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server by one way."""

    relay: bool
    """Whether it is asked for an allocation (TURN), or only for a mapped address (STUN)."""
    host: str
    port: int
    transport: Transport
    username: str = field(default="", repr=False)
    credential: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What people and programs are told: without the credential."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if not self.relay:
            return f"stun:{host}:{self.port}"
        scheme = "turns" if self.transport == "tls" else "turn"
        query = "tcp" if self.transport == "tcp" else "udp"
        return f"{scheme}:{host}:{self.port}" + (
            "" if self.transport == "tls" else f"?transport={query}"
        )


def servers_of(ice: Iterable[IceServer]) -> tuple[Server, ...]:
    """Return what there is to ask, each server and way once, MAX_SERVERS at most.

    Args:
        ice: Checked by :mod:`rtcsend.rendezvous.ice_urls`; what is of another form all the
            same is left out.
    """
    found: dict[tuple[str, str], Server] = {}
    for entry in ice:
        for url in entry.urls:
            server = _maybe_server(url, entry)
            if server is not None and len(found) < MAX_SERVERS:
                found.setdefault((server.name, server.username), server)
    return tuple(found.values())


def _maybe_server(url: str, entry: IceServer) -> Server | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, ipv6, name, port, transport = match.groups()
    relay = scheme != "stun"
    secure = scheme == "turns"
    # DTLS (turns over UDP) is spoken by nobody here; aiortc takes TLS for it as well.
    way: Transport = "tls" if secure else "tcp" if transport == "tcp" else "udp"
    return Server(
        relay=relay,
        host=ipv6 or name,
        port=int(port) if port else _TLS_PORT if secure else _PORT,
        transport=way,
        username=(entry.username or "") if relay else "",
        credential=(entry.credential or "") if relay else "",
    )
