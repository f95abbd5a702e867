"""This machine's addresses and routes, asked of the system; nothing is sent.

Shell. Place in the flow: the first check of :mod:`rtcsend.doctor.run`.
"""

import socket
from collections.abc import Iterator
from typing import Final

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.findings import Check
from rtcsend.doctor.interfaces import NOTES, Address, kind_of
from rtcsend.resolving import addresses_of

MAX_ADDRESSES: Final = 64  # looked at; machines full of containers have hundreds
FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SOMEWHERE: Final = {4: ("192.0.2.1", 9), 6: ("2001:db8::1", 9)}
"""For documentation (RFC 5737, RFC 3849): only the default route leads there."""


def own_addresses() -> list[Address]:
    """Return the addresses of all interfaces, MAX_ADDRESSES at most."""
    import ifaddr  # noqa: PLC0415 - a dependency of zeroconf and aioice, loaded with them

    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = text.partition("%")[0]
            found.append(Address(interface=adapter.nice_name, address=address))
    return found[:MAX_ADDRESSES]


def maybe_source(endpoint: Endpoint) -> str | None:
    """Return the address that packets to there would have; None: there is no route."""
    family = FAMILIES[6 if ":" in endpoint[0] else 4]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(endpoint)  # of UDP: nothing is sent
            source: str = sock.getsockname()[0]
            return source.partition("%")[0]
    except OSError:
        return None


async def resolve(host: str, port: int) -> list[Endpoint]:
    """Return one address of each IP version, the system's choice first.

    Raises:
        OSError: The name is not known (``socket.gaierror``).
    """
    found: dict[bool, Endpoint] = {}
    for endpoint in await addresses_of(host, port):
        found.setdefault(":" in endpoint[0], endpoint)
    return list(found.values())


def has_only_ipv6() -> bool:
    """Return whether there is a way out by IPv6, and none by IPv4."""
    return maybe_source(_SOMEWHERE[4]) is None and maybe_source(_SOMEWHERE[6]) is not None


def machine_checks() -> Iterator[Check]:
    """Yield what there is to say of this machine: each address, then each IP version."""
    addresses = own_addresses()
    for address in addresses:
        kind = kind_of(address)
        yield Check(
            area="machine",
            check="address",
            target=address.interface,
            status="note" if kind in ("vpn", "container", "link-local", "loopback") else "ok",
            ms=None,
            text=f"{address.address}, {NOTES[kind]}",
            values={"address": address.address, "kind": kind},
        )
    for version, somewhere in _SOMEWHERE.items():
        usable = [
            one.address
            for one in addresses
            if one.version == version and kind_of(one) not in ("loopback", "link-local")
        ]
        yield _version_check(version, usable=bool(usable), source=maybe_source(somewhere))


def _version_check(version: int, *, usable: bool, source: str | None) -> Check:
    if not usable:
        text = "no address but of this machine itself"
    elif source is None:
        text = "no default route: only the LAN can be reached"
    else:
        text = f"default route, from {source}"
    return Check(
        area="machine",
        check=f"ipv{version}",
        target="",
        status="ok" if usable and source is not None else "note",
        ms=None,
        text=text,
        values={"usable": usable, "default_route": usable and source is not None},
    )
