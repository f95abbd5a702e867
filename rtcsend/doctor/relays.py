"""The TURN servers that a rendezvous names only to two who have met: this machine meets itself.

Shell. Place in the flow: after the welcome, before the TURN checks; see
:mod:`rtcsend.doctor.run`. Source: docs/rendezvous-protocol.md, "ICE servers".
"""

import asyncio
import secrets
from typing import Final

from rtcsend.errors import RtcsendError
from rtcsend.rendezvous.client import PeerPresence, RendezvousClient
from rtcsend.rendezvous.messages import IceServer

TIMEOUT: Final = 4.0  # seconds for all of it; the server has just answered
NAME_BYTES: Final = 24  # of the mailbox: nobody else can guess it


async def relays_of_meeting(url: str) -> tuple[IceServer, ...]:
    """Return what a server names to two sides that have met; nothing where that fails.

    Args:
        url: As :func:`~rtcsend.rendezvous.server_url.normalise_server_url` returns it.
    """
    name = secrets.token_urlsafe(NAME_BYTES)
    try:
        async with asyncio.timeout(TIMEOUT):
            async with RendezvousClient(url) as one, RendezvousClient(url) as other:
                await one.meet(name)
                await other.meet(name)
                while await other.receive() != PeerPresence("joined"):
                    pass  # nothing else is said here
                return other.ice_servers[len(other.welcome.ice_servers) :]
    except (RtcsendError, TimeoutError):
        return ()
