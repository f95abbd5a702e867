"""What the network itself says of a datagram that nobody answers.

A socket that has no peer, as those that ask are, is not told of ICMP errors; one that is connected
is. So whoever is silent is asked once more from such a socket: a machine where nobody listens
says so, and so does a router that has no way, or a firewall that refuses instead of dropping.
Anybody can forge that: it is told to people, and changes nothing.

Shell. Place in the flow: behind a silent server of :mod:`~rtcsend.doctor.stun_family` and
:mod:`~rtcsend.doctor.turn_checks`. Source: RFC 1122 §4.1.3.3.
"""

import asyncio
import errno
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor import codec
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.host import FAMILIES

KNOCKS: Final = 4  # routers send one error a second or so, and others have been asked just now
KNOCK_WAIT: Final = 0.4  # seconds after each; an error comes as soon as an answer would
_ANSWER: Final = 2_048  # bytes
_TELL_ALL: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR, IPV6_RECVERR of ip(7): else Linux keeps to itself what may be passing."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What came back instead of an answer."""

    slug: str
    """In a word, for programs."""
    text: str
    """One sentence."""


_NOBODY: Final = Refused("refused", "Nobody listens there by UDP, or a firewall refuses it.")
_NO_WAY: Final = Refused("unreachable", "The network says that there is no way to it by UDP.")
_LOCAL: Final = Refused("forbidden-here", "A firewall on this machine forbids UDP to it.")
_ERRORS: Final = {
    errno.ECONNREFUSED: _NOBODY,
    errno.ECONNRESET: _NOBODY,  # Windows
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    errno.EPERM: _LOCAL,
    errno.EACCES: _LOCAL,
}


async def knock(server: Endpoint) -> Refused | None:
    """Ask a server by UDP, KNOCKS times; return what is said in place of an answer, if it is."""
    loop = asyncio.get_running_loop()
    request = codec.binding_request(os.urandom(codec.TRANSACTION_ID_SIZE))
    try:
        with socket.socket(FAMILIES[6 if ":" in server[0] else 4], socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            if sys.platform == "linux":
                sock.setsockopt(*_TELL_ALL[sock.family], 1)
            sock.connect(server)
            for _ in range(KNOCKS):
                sock.send(request)
                with suppress(TimeoutError):
                    async with asyncio.timeout(KNOCK_WAIT):
                        await loop.sock_recv(sock, _ANSWER)
                        break
    except OSError as exc:
        return _ERRORS.get(exc.errno or 0)
    return None
