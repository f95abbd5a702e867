"""What the NAT of one IP family is, said in sentences.

Pure. Place in the flow: from :class:`~rtcsend.doctor.nat.NatProbe` to what is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping
from rtcsend.doctor.findings import Check, Status

_MAPPING: Final[dict[Mapping, str]] = {
    Mapping.NONE: "no NAT: the address is this machine's own",
    Mapping.INDEPENDENT: "endpoint-independent: everybody sees one and the same port",
    Mapping.ADDRESS: "address-dependent: each peer's address sees another port",
    Mapping.ADDRESS_AND_PORT: "address- and port-dependent: each peer sees another port",
    Mapping.DEPENDENT: "dependent: two servers see different ports",
    Mapping.UNKNOWN: "unknown: it takes a server with two addresses, or two servers",
}
_FILTERING: Final[dict[Filtering, str]] = {
    Filtering.INDEPENDENT: "endpoint-independent: everybody may send to an open port",
    Filtering.ADDRESS: "address-dependent: any port of an address that was sent to may answer",
    Filtering.ADDRESS_AND_PORT: "address- and port-dependent: only what was sent to may answer",
    Filtering.UNKNOWN: "unknown: the server has no other address to answer from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nat:
    """What is known of one IP family."""

    version: int
    """4 or 6."""
    mapping: Mapping
    filtering: Filtering
    port_preserved: bool
    """A port of this machine is seen under its own number."""


def with_own_address(mapping: Mapping, *, mapped: Endpoint, own: Endpoint) -> tuple[Mapping, bool]:
    """Return the mapping, NONE where there is no NAT, and whether the port is preserved."""
    none = mapped == own and mapping in (Mapping.INDEPENDENT, Mapping.UNKNOWN)
    return (Mapping.NONE if none else mapping), mapped[1] == own[1]


def nat_checks(nat: Nat) -> Iterator[Check]:
    """Yield what is told of it."""
    easy = nat.mapping in (Mapping.NONE, Mapping.INDEPENDENT)
    for check, text, status, values in (
        ("mapping", _MAPPING[nat.mapping], _status(ok=easy), {"mapping": nat.mapping.value}),
        (
            "filtering",
            _FILTERING[nat.filtering],
            _status(ok=nat.filtering is not Filtering.UNKNOWN),
            {"filtering": nat.filtering.value},
        ),
        (
            "port",
            "preserved" if nat.port_preserved else "not preserved",
            _status(ok=True),
            {"preserved": nat.port_preserved},
        ),
    ):
        yield Check(
            area="nat",
            check=check,
            target=f"ipv{nat.version}",
            status=status,
            ms=None,
            text=text,
            values=values,
        )


def _status(*, ok: bool) -> Status:
    return "ok" if ok else "note"
