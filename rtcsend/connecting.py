"""From two greetings to two open channels: the part of the way that needs WebRTC.

Imported late, since aiortc takes half a second: see :func:`rtcsend.session.send`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtcsend.datapath.channel import Channels
from rtcsend.datapath.choice import local_version, path_maker
from rtcsend.events import Connected
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.negotiation import Negotiation
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.rendezvous.messages import IceServer

__all__ = ["Connection", "connected", "local_version"]


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection to the other side."""

    channels: Channels
    connected: Connected
    max_message_size: int
    """Bytes of one message that the other side takes."""


@asynccontextmanager
async def connected(
    role: Role,
    *,
    route: RoutePolicy,
    ice_servers: Sequence[IceServer],
    signalling: SealedSignalling,
    peer_datapath: int,
) -> AsyncIterator[Connection]:
    """Connect to the other side, and close the connection at the end of the context.

    Args:
        role: The sender offers.
        route: Which candidate pairs may be used.
        ice_servers: STUN and TURN servers.
        signalling: After the greetings.
        peer_datapath: What the other side's greeting says of its data path.

    Raises:
        NoRoute: No candidate pair works.
        PeerAborted: The other side left meanwhile.
        PeerProtocolError: It broke the rules.
    """
    peer = PeerConnection(
        role, ice_servers=ice_servers, route=route, make_path=path_maker(peer_datapath)
    )
    try:
        channels = Channels(peer.path)
        peer.on_closed = channels.fail
        negotiation = Negotiation(role, peer, signalling)
        outcome = await negotiation.connect()
        yield Connection(channels, outcome, negotiation.max_message_size)
    finally:
        await peer.close()
