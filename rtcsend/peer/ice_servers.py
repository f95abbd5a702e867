"""STUN and TURN servers, by machine, and the ways to each TURN server in the order to try them.

Pure. A machine is usually named several times, once for each way to it (UDP, TCP, TLS): whoever
wants a relay of it goes up this ladder, and stops where one answers.

Sources: RFC 7064 §3.1, RFC 7065 §3.1 (URLs and ports). A ``turn:`` URL that names no transport
means UDP, and TCP at the same port where UDP does not get through.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rtcsend.events import RelayProtocol
from rtcsend.options import RoutePolicy
from rtcsend.rendezvous.ice_urls import maybe_usable_untrusted
from rtcsend.rendezvous.messages import IceServer

MAX_STUN: Final = 6  # servers; each is asked from every IPv4 address
MAX_TURN: Final = 6  # machines; each may give a relay
MAX_WAYS: Final = 4  # to one machine
_PORT: Final = 3478  # RFC 8489 §18.4, RFC 8656 §18
_TLS_PORT: Final = 5349  # the same
_URL: Final = re.compile(
    r"(stun|turn|turns):(?:\[([^\]]+)\]|([^:?]+))(?::([0-9]+))?(?:\?transport=(udp|tcp))?",
    re.ASCII,
)
_ORDER: Final = {"udp": 0, "tcp": 1, "tls": 2}


@dataclass(frozen=True, slots=True)
class StunServer:
    """A server that says under which address it sees this machine."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnServer:
    """One way to a server that gives relays."""

    host: str
    port: int
    protocol: RelayProtocol
    username: str
    credential: str = field(repr=False)


Ladder = tuple[TurnServer, ...]
"""The ways to one machine, the best first."""


@dataclass(frozen=True, slots=True)
class Servers:
    """All that may be asked."""

    stun: tuple[StunServer, ...] = ()
    turn: tuple[Ladder, ...] = ()


def servers_of(ice: Iterable[IceServer], *, route: RoutePolicy) -> Servers:
    """Return what ``route`` lets this side ask of the servers that user and rendezvous named."""
    stun: dict[StunServer, None] = {}
    ladders: dict[tuple[str, str], dict[TurnServer, None]] = {}
    for server in map(maybe_usable_untrusted, ice):
        for url in () if server is None else server.urls:
            assert server is not None, "it has a URL"
            match = _URL.fullmatch(url)
            if match is None:
                continue
            host = match[2] or match[3]
            if match[1] == "stun":
                stun[StunServer(host, int(match[4] or _PORT))] = None
                continue
            ways = ladders.setdefault((host, server.username or ""), {})
            for way in _ways(match, host, server):
                ways[way] = None
    return Servers(
        () if route is RoutePolicy.RELAY_ONLY else tuple(stun)[:MAX_STUN],
        ()
        if route is RoutePolicy.DIRECT_ONLY
        else tuple(map(_ladder, ladders.values()))[:MAX_TURN],
    )


def _ways(match: re.Match[str], host: str, server: IceServer) -> list[TurnServer]:
    protocols: tuple[RelayProtocol, ...]
    if match[1] == "turns":
        protocols = ("tls",)  # DTLS to a server is spoken by nobody here
    elif match[5] is None:
        protocols = ("udp", "tcp")
    else:
        protocols = ("tcp",) if match[5] == "tcp" else ("udp",)
    port = int(match[4] or (_TLS_PORT if match[1] == "turns" else _PORT))
    return [
        TurnServer(
            host=host,
            port=port,
            protocol=protocol,
            username=server.username or "",
            credential=server.credential or "",
        )
        for protocol in protocols
    ]


def _ladder(ways: Iterable[TurnServer]) -> Ladder:
    return tuple(sorted(ways, key=lambda way: _ORDER[way.protocol])[:MAX_WAYS])
