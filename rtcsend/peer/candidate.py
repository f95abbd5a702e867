"""ICE candidates as they travel: one line of text each.

Pure. Source: RFC 8839 §5.1 (the ``candidate`` attribute), RFC 8445 §5.3; names for hidden
host addresses after draft-ietf-mmusic-mdns-ice-candidates §3.1.1. Only UDP candidates of
component 1 are used: DataChannels have no other component, and aioice speaks no ICE-TCP.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast

from rtcsend.errors import PeerProtocolError

MAX_CANDIDATE_LENGTH: Final = 512  # characters; the longest real ones have about 200
MAX_PORT: Final = 65535
MAX_PRIORITY: Final = 2**31 - 1  # RFC 8445 §5.1.2

CandidateType = Literal["host", "srflx", "prflx", "relay"]
_TYPES: Final = ("host", "srflx", "prflx", "relay")

_CANDIDATE: Final = re.compile(
    r"(?:a=)?candidate:(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,3})"
    r" (?P<transport>[A-Za-z]{1,8}) (?P<priority>[0-9]{1,10}) (?P<address>[^ ]{1,253})"
    r" (?P<port>[0-9]{1,5}) typ (?P<type>[a-z]{1,8})"
    r"(?: raddr (?P<related_address>[^ ]{1,253}) rport (?P<related_port>[0-9]{1,5}))?"
    r"(?: [!-~]+ [!-~]+)*"  # extension attributes: read over
)
_MDNS_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,63}\.local")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One address at which a side may be reached."""

    foundation: str
    priority: int
    address: str
    """IPv4 or IPv6 literal, or a ``.local`` name that stands for one."""
    port: int
    type: CandidateType
    related_address: str | None = None
    related_port: int | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether the address has to be asked for, by multicast DNS."""
        return self.address.endswith(".local")

    def __str__(self) -> str:
        """The attribute's value, ``candidate:…``."""
        text = (
            f"candidate:{self.foundation} 1 udp {self.priority} {self.address} {self.port}"
            f" typ {self.type}"
        )
        if self.related_address is not None:
            text += f" raddr {self.related_address} rport {self.related_port or 9}"
        return text


def can_be_offered_untrusted(address: tuple[str, int], *, like: str | None = None) -> bool:
    """Return whether what a server calls an address can be one of a candidate.

    Args:
        address: Address literal and port.
        like: An address of the same IP version; None: of either.
    """
    ip, port = ipaddress.ip_address(address[0]), address[1]
    if like is not None and ip.version != ipaddress.ip_address(like).version:
        return False
    return 0 < port <= MAX_PORT and not (ip.is_unspecified or ip.is_multicast)


def enumeration(kinds: Iterable[str]) -> str:
    """Return types of candidates as people read them: ``host and relay candidates``."""
    found = [kind for kind in _TYPES if kind in set(kinds)]
    if not found:
        return "no candidates"
    return " and ".join(filter(None, (", ".join(found[:-1]), found[-1]))) + " candidates"


def maybe_parse_candidate_untrusted(text: str) -> Candidate | None:
    """Return the candidate, or None for a well-formed one of a kind that is not used (TCP).

    Raises:
        PeerProtocolError: It is malformed.
    """
    match = _CANDIDATE.fullmatch(text) if len(text) <= MAX_CANDIDATE_LENGTH else None
    if match is None:
        raise PeerProtocolError("The other side sent a malformed candidate.")
    if match["transport"].lower() != "udp" or match["component"] != "1":
        return None
    if match["type"] not in _TYPES:
        raise PeerProtocolError("The other side sent a candidate of an unknown type.")
    port, priority = int(match["port"]), int(match["priority"])
    if not (0 < port <= MAX_PORT and 0 < priority <= MAX_PRIORITY):
        raise PeerProtocolError("The other side sent a candidate with an impossible number.")
    related_address, related_port = match["related_address"], int(match["related_port"] or 0)
    if related_port > MAX_PORT:
        raise PeerProtocolError("The other side sent a candidate with an impossible number.")
    return Candidate(
        foundation=match["foundation"],
        priority=priority,
        address=_checked_address(match["address"]),
        port=port,
        type=cast("CandidateType", match["type"]),
        related_address=None if related_address is None else _checked_address(related_address),
        related_port=None if related_address is None else related_port,
    )


def _checked_address(text: str) -> str:
    if _MDNS_NAME.fullmatch(text):
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError as exc:
        raise PeerProtocolError("The other side sent a candidate without an address.") from exc
    if "%" in text:  # RFC 4007 §11.2: a zone means something on its own machine only
        raise PeerProtocolError("The other side sent a candidate with a zone in its address.")
    return str(address)
