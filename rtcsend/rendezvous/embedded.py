"""A rendezvous inside the sender's process, so that one machine and one LAN need no server.

A shell. It serves one transfer, is found by :mod:`rtcsend.rendezvous.discovery`, and ends
with the process. It is the same server as ``rtcsend-server`` and learns as little: no file,
name or address passes through it unsealed.
"""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Final

from rtcsend.rendezvous.lan import LanAnnouncement, lan_allowed
from rtcsend.rendezvous.local import announce_local, local_nameplates
from signal_server.config import EMBEDDED_NAMEPLATES, Limits, ServerConfig
from signal_server.server import RendezvousServer

CROWD: Final = Limits(
    sockets_per_source=1_000,
    mailboxes_per_source=1_000,
    new_sockets_per_minute=6_000,
    nameplates_per_minute=600,
    claims_per_minute=6_000,
    frames_per_minute=120_000,
    failed_claims=10_000,
)
"""For several receivers: all of them, and the sender, may be one source, and those whose turn it is
not look again and again. What the limits guard, the number, is announced in the LAN anyway, and
what is behind it bears few guesses (docs/security.md)."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A running embedded rendezvous."""

    local_url: str
    """For this machine."""
    public_url: str
    """For the LAN; the same as ``local_url`` when there is none, or it is turned off."""
    port: int
    lan: bool
    stack: AsyncExitStack

    def free_nameplate(self) -> str | None:
        """Draw a number that no other sender of this machine announces; None: all are taken.

        Each has a server of its own, which knows nothing of the others' numbers.
        """
        announced = local_nameplates()
        low, high = EMBEDDED_NAMEPLATES
        free = [number for number in map(str, range(low, high + 1)) if number not in announced]
        return secrets.choice(free) if free else None

    async def announce(self, nameplate: str) -> None:
        """Let receivers find the mailbox: by a file on this machine, by mDNS on the LAN.

        Args:
            nameplate: Or the note for a known machine.
        """
        self.stack.enter_context(announce_local(nameplate, self.local_url))
        if self.lan:
            await self.stack.enter_async_context(LanAnnouncement(nameplate, self.port))


@asynccontextmanager
async def embedded_rendezvous(*, crowd: bool = False) -> AsyncIterator[Embedded]:
    """Run a rendezvous on a free port for as long as the context lasts.

    Args:
        crowd: Several receivers may come, and look again until they can.

    Raises:
        OSError: No port can be bound.
    """
    lan = lan_allowed()
    host = None if lan else "127.0.0.1"
    limits = CROWD if crowd else Limits()
    config = ServerConfig(host=host, port=0, embedded=True, limits=limits)
    async with RendezvousServer(config) as server, AsyncExitStack() as stack:
        local_url = f"ws://127.0.0.1:{server.port}/v1"
        address = _lan_address() if lan else None
        public_url = f"ws://{address}:{server.port}/v1" if address else local_url
        yield Embedded(local_url, public_url, server.port, lan, stack)


def _lan_address() -> str | None:
    """Return the address from which this machine would send to others; nothing is sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: documentation, nobody's
            address: str = probe.getsockname()[0]
        except OSError:
            return None
    return address
