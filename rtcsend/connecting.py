"""From two greetings to two open channels: the part of the way that needs WebRTC.

Imported late, since aiortc takes a tenth of a second: see :func:`rtcsend.session.loading_webrtc`.
"""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace

from aioice.turn import TurnTransport

from rtcsend.datapath.channel import Channels
from rtcsend.datapath.choice import local_version, new_identity, path_maker
from rtcsend.datapath.relay import inner_protocol, relay_protocol
from rtcsend.errors import NoRoute
from rtcsend.events import Connected, RouteChanged
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.negotiation import Negotiation
from rtcsend.peer.path_watch import Ends
from rtcsend.peer.private_names import check_names
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello, Signal
from rtcsend.rendezvous.messages import IceServer

__all__ = ["Connection", "connected", "local_version"]

Agree = Callable[[Hello], tuple[RoutePolicy, int]]


@dataclass(slots=True, eq=False)
class Connection:
    """An open connection to the other side."""

    channels: Channels
    connected: Connected
    max_message_size: int
    """Bytes of one message that the other side takes."""
    ends: Callable[[], Ends | None]
    """Returns what this machine sends on now; None: not known."""
    hear: Callable[[Signal], Awaitable[None]]
    """Takes candidates that the other side has found late."""
    on_route: Callable[[RouteChanged], None]
    """Takes the news that the bytes go another way; may be set."""


@asynccontextmanager
async def connected(
    role: Role,
    *,
    route: RoutePolicy,
    ice_servers: Sequence[IceServer],
    signalling: SealedSignalling,
    peer_datapath: int,
    agree: Agree | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - of one part
) -> AsyncIterator[Connection]:
    """Connect to the other side, and close the connection at the end of the context.

    Args:
        role: The sender offers.
        route: Which candidate pairs may be used.
        ice_servers: STUN and TURN servers.
        signalling: After the greetings.
        peer_datapath: What the other side's greeting says of its data path.
        agree: If that greeting has not come yet: takes it, and returns ``route`` and
            ``peer_datapath``, which are this side's wish and nothing so far. May raise.
        timeout: Seconds to connect, if not those of a first time.

    Raises:
        ConnectionLost: It worked for a moment on the other side only.
        InternalError: Private names of aiortc or aioice have moved.
        NoRoute: No candidate pair works.
        PeerAborted: The other side left meanwhile.
        PeerNeverCame: It does not greet.
        PeerProtocolError: It broke the rules.
    """
    check_names()
    identity = new_identity()
    peer = PeerConnection(
        role,
        ice_servers=ice_servers,
        route=route,
        make_path=path_maker(peer_datapath, identity) if agree is None else None,
        sctp_init=None if identity is None else identity.introduction(),
    )
    opened: list[Channels] = []

    def listen() -> None:
        """Listen on the channels from the beginning: the other side may be faster."""
        opened.append(Channels(peer.path))
        peer.on_closed = opened[0].fail

    def on_hello(theirs: Hello) -> None:
        assert agree is not None, "it is awaited"
        common, version = agree(theirs)
        peer.agree(common, path_maker(version, identity))
        listen()

    if agree is None:
        listen()
    negotiation = Negotiation(role, peer, signalling, agree=None if agree is None else on_hello)
    try:
        outcome = _with_relay(await negotiation.connect(timeout=timeout), peer)
        connection = Connection(
            opened[0],
            outcome,
            negotiation.max_message_size,
            ends=lambda: _ends(peer),
            hear=negotiation.hear,
            on_route=_nothing,
        )

        def tell_route() -> None:
            with suppress(NoRoute):  # it ends just now
                now = asdict(_with_relay(peer.route(), peer))
                connection.on_route(RouteChanged(**now))

        peer.on_route = tell_route
        yield connection
    finally:
        await negotiation.close()
        await peer.close()


def _nothing(_event: RouteChanged) -> None:
    """Stand in until somebody wants to know."""


def _with_relay(outcome: Connected, peer: PeerConnection) -> Connected:
    """Return it with how the relay is reached, if this side uses one."""
    selected = peer.selected_transport()
    reached = None if selected is None else relay_protocol(selected[0])
    return replace(outcome, relay_protocol=reached)


def _ends(peer: PeerConnection) -> Ends | None:
    """Return the ends of the selected pair; of the way to the relay, where it has one."""
    selected = peer.selected_transport()
    if selected is None:
        return None
    transport, remote = selected
    if isinstance(transport, TurnTransport):
        inner = inner_protocol(transport)
        transport = inner.transport
        remote = transport.get_extra_info("peername") or inner.server  # a proxy may be in between
    local = transport.get_extra_info("sockname")
    if local is None or not _is_address(remote[0]):
        return None
    return Ends(local[0], (remote[0], remote[1]))


def _is_address(host: str) -> bool:
    """Return whether it is no name, which it would take time to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
