"""What a network is like, measured from this process by sockets that live in its hosts.

Round trips, loss, what a NAT does to ports and whom it lets in. The last two are what
STUN finds out (RFC 5780), without its messages: the server's sockets are here as well, and say
by themselves where something came from.
"""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tests.lab.lab import SECOND, SERVER, Lab
from tests.lab.namespace import Namespace

ECHO_REQUEST, ECHO_REPLY = 8, 0  # RFC 792
ECHO: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
IP_HEADER: Final = 20  # bytes
WAIT: Final = 2.0  # seconds for something that does not come; no link here is that long
MORE: Final = 0.2  # seconds for what comes with something else, if at all
PORTS: Final = (7001, 7002)
DATAGRAM: Final = 1_000  # bytes
SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h; root may pass the limit
Address = tuple[str, int]

_identifiers = itertools.count(os.getpid())


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a NAT does with UDP, in the words of RFC 4787."""

    mapping: str
    filtering: str


def ping(
    host: Namespace, address: str, *, count: int = 5, interval: float = 0.02, wait: float = 4 * WAIT
) -> list[float]:
    """Return round trips in milliseconds; fewer if some take longer than ``wait`` seconds."""
    identifier = next(_identifiers) & 0xFFFF
    times = []
    with host.socket(socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        for sequence in range(count):
            started = time.monotonic()
            sock.sendto(_echo(identifier, sequence), (address, 0))
            if (came := _answered(sock, identifier, sequence, wait)) is not None:
                times.append((came - started) * 1e3)
            time.sleep(interval)
    return times


def mapped_address(host: Namespace, lab: Lab) -> Address | None:
    """Return where a fresh UDP port of a host seems to be, to the server."""
    with host.socket() as sock, _server(lab) as servers:
        return _seen(sock, servers[0])


def behaviour(host: Namespace, lab: Lab) -> Behaviour:
    """Return what is between a host and the server."""
    with host.socket() as sock, host.socket() as other, _server(lab) as servers:
        if (first := _seen(sock, servers[0])) is None:
            return Behaviour(mapping="blocked", filtering="blocked")
        seen = [first, *(_seen(sock, server) for server in servers[1:])]
        independent = len(set(seen)) == 1
        return Behaviour(
            mapping="endpoint-independent" if independent else "address and port-dependent",
            filtering=_filtering(other, servers),
        )


def loss(sender: Namespace, receiver: Namespace, address: str, *, count: int, rate: float) -> float:
    """Return the share of datagrams that are lost, sent at ``rate`` a second."""
    with sender.socket() as out, receiver.socket() as into:
        into.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 * count * DATAGRAM)
        into.bind((address, PORTS[0]))
        into.settimeout(WAIT)
        started = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            out.sendto(bytes(DATAGRAM), (address, PORTS[0]))
        came = 0
        with suppress(TimeoutError):
            while came < count:
                into.recv(DATAGRAM)
                came += 1
    return 1 - came / count


@contextmanager
def _server(lab: Lab) -> Iterator[list[socket.socket]]:
    """Make sockets of the server: two ports of one address, and the other address."""
    places = ((SERVER, PORTS[0]), (SERVER, PORTS[1]), (SECOND, PORTS[0]))
    sockets = [lab.srv.socket() for _ in places]
    try:
        for sock, place in zip(sockets, places, strict=True):
            sock.bind(place)
            sock.settimeout(WAIT)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def _seen(sock: socket.socket, server: socket.socket) -> Address | None:
    """Send something to one of the server's sockets; return where it seems to come from."""
    sock.sendto(b"who am I", server.getsockname())
    try:
        address: Address = server.recvfrom(64)[1]
    except TimeoutError:
        return None
    return address


def _filtering(sock: socket.socket, servers: list[socket.socket]) -> str:
    """Talk to the first socket only, and see who of the three gets an answer through.

    The first one's always does, and is the last that is sent.
    """
    seen = _seen(sock, servers[0])
    assert seen is not None, "it was not blocked"
    for server in reversed(servers):
        server.sendto(b"let me in", seen)
    sock.settimeout(WAIT)
    came: set[Address] = set()
    with suppress(TimeoutError):
        while len(came) < len(servers):
            came.add(sock.recvfrom(64)[1])
            if servers[0].getsockname() in came:
                sock.settimeout(MORE)
    if servers[2].getsockname() in came:
        return "endpoint-independent"
    if servers[1].getsockname() in came:
        return "address-dependent"
    return "address and port-dependent"


def _echo(identifier: int, sequence: int) -> bytes:
    words = (ECHO_REQUEST << 8, identifier, sequence)
    total = sum(words)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF  # RFC 1071
    return ECHO.pack(ECHO_REQUEST, 0, checksum, identifier, sequence)


def _answered(sock: socket.socket, identifier: int, sequence: int, wait: float) -> float | None:
    """Return when the answer came, if it did."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            packet = sock.recv(2048)
        except TimeoutError:
            return None
        kind, _, _, *ours = ECHO.unpack_from(packet, IP_HEADER)
        if kind == ECHO_REPLY and ours == [identifier, sequence]:
            return time.monotonic()
    return None
