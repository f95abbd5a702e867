"""The ICE agent: what it sends and receives by, from the first socket to the last.

A shell. The gathering (:mod:`~rtcsend.peer.gathering`), the data, the lanes, consent, and the end;
checks and choice are those of :mod:`~rtcsend.peer.checking`. aioice gathers once from one STUN and
one TURN server, and waits for the slowest of them.

The private names of aioice that are touched are held by tests/peer/test_private_names.py.
"""

import asyncio
import logging
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aioice
from aioice import Candidate, stun
from aioice.ice import StunProtocol

from rtcsend.peer.checking import COMPONENT, CheckingConnection, SelectedPair
from rtcsend.peer.checklist import IMPROVE_FOR
from rtcsend.peer.consent import consent_expires
from rtcsend.peer.gathering import Gathering, loopback_addresses
from rtcsend.peer.ice_servers import Servers, TurnServer
from rtcsend.peer.interfaces import LOOPBACK, host_addresses
from rtcsend.peer.lanes import LaneKeeper
from rtcsend.peer.relays import close_relays, is_relay
from rtcsend.peer.repeating import Repeater
from rtcsend.tasks import cancel_all

__all__ = ["IceConnection", "SelectedPair", "Way"]

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioice.ice import CandidatePair

MAX_UNREAD: Final = 4_096  # datagrams that wait for the handshake; anybody can send some
RELEASE_GRACE: Final = 5.0  # seconds; the other side may have begun to look a little later

logger = logging.getLogger("rtcsend.peer")

Way = tuple[asyncio.DatagramTransport, tuple[str, int]]
"""What to send with, and where to."""


class IceProtocol(StunProtocol):
    """What hears a socket or an allocation: from whoever knows the address."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram; STUN that cannot be read is passed over (RFC 8489 §6.3).

        An attribute that is shorter than its kind escapes aioice, before anything is authenticated.
        """
        try:
            super().datagram_received(data, addr)
        except struct.error:
            logger.debug("! STUN that cannot be read")


class IceConnection(CheckingConnection):
    """One ICE agent with one component.

    Differences from aioice, beside those of the check list and the gathering:

    - A machine without any network still has its loopback addresses to offer, so that two
      processes on it can connect.
    - Datagrams that are not STUN can be had as they come, by :attr:`on_datagram`, instead of by
      the queue that ``recv`` reads.
    - A consent check may take 7.5 s instead of 0.5 s (aioice issue 58), and consent expires
      by time, as RFC 7675 §5.1 has it, not by a count of checks.
    - Between our own peers, a relay by TCP or TLS gets further allocations beside it.

    Args:
        ice_controlling: This side decides which pair is used.
        servers: To ask.
        options: As aioice has them.
    """

    def __init__(
        self, ice_controlling: bool, *, servers: Servers | None = None, **options: Any
    ) -> None:
        super().__init__(ice_controlling, **options)
        self.on_datagram: Callable[[bytes], None] | None = None
        """Takes what arrives on any pair, once DTLS is connected; must not raise."""
        self.on_transport: Callable[[asyncio.DatagramTransport], None] | None = None
        """Takes each transport that comes later than it was set, before anything is sent on it."""
        self.on_candidate: Callable[[Candidate], None] = self._local_candidates.append
        """Takes each local candidate when it is found."""
        self.relays_wanted: asyncio.Future[bool] | None = None
        """Tells whether TURN servers are to be asked, when it is done; None: they are."""
        send = partial(super().sendto, component=COMPONENT)
        self._repeater = Repeater(send)
        self._servers = servers or Servers()
        self._has_reflexive = False
        self._lanes = LaneKeeper(self, make_protocol=self.make_protocol, on_open=self._add_lane)
        self._relays: dict[StunProtocol, TurnServer] = {}

    # Gathering

    async def gather_candidates(self) -> None:
        """Find all candidates; :attr:`on_candidate` gets each when it is there."""
        relay_only = self._transport_policy is aioice.TransportPolicy.RELAY
        addresses = [] if relay_only else host_addresses() or loopback_addresses(LOOPBACK)
        gathering = Gathering(self, self._servers, addresses=addresses, hide_addresses=relay_only)
        task = asyncio.create_task(gathering.run())
        self._tasks.append(task)
        await asyncio.shield(task)
        self._is_gathered = True
        self.wake()

    def make_protocol(self) -> StunProtocol:
        """Return a new protocol for a socket or an allocation."""
        return IceProtocol(self)

    def add_local(self, protocol: StunProtocol, server: TurnServer | None = None) -> None:
        """Take a socket or an allocation, and check it with all that is known of the other side."""
        self._protocols.append(protocol)
        if server is not None:
            self._relays[protocol] = server
        if self._closing:
            protocol.transport.close()
            return
        if self.on_transport is not None:
            self.on_transport(protocol.transport)
        self.on_candidate(protocol.local_candidate)
        for remote in self.remote_candidates:
            # A relay would learn the address behind a name; aioice keeps to that too.
            hidden = server is not None and remote.host.endswith(".local")
            if protocol.local_candidate.can_pair_with(remote) and not hidden:
                self.add_pair(protocol, remote)
        self.wake()

    def add_reflexive(self, candidate: Candidate) -> None:
        """Take another address of a socket; it is checked from the socket itself."""
        self._has_reflexive = True
        self.on_candidate(candidate)

    def kinds(self) -> tuple[list[str], list[str]]:
        """Return the types of this side's candidates, and of the other side's."""
        ours = [protocol.local_candidate.type for protocol in self._protocols]
        ours += ["srflx"] if self._has_reflexive else []
        return ours, [candidate.type for candidate in self.remote_candidates]

    async def may_relay(self) -> bool:
        """Return whether TURN servers are to be asked, when that is known."""
        return self.relays_wanted is None or await asyncio.shield(self.relays_wanted)

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate of the other side; None: there will be no more."""
        await super().add_remote_candidate(remote_candidate)
        self.wake()

    # What carries the data

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is not STUN."""
        if self.on_datagram is not None:
            self.on_datagram(data)
            return
        self._repeater.on_heard(data)
        if self._queue.qsize() < MAX_UNREAD:
            super().data_received(data, component)

    async def sendto(self, data: bytes, component: int) -> None:
        """Send a datagram of the handshake.

        Raises:
            ConnectionError: There is no selected pair.
        """
        await super().sendto(data, component)
        self._repeater.on_sent(data)

    async def repeat_flights(self) -> None:
        """Repeat what of a handshake is not answered, beside it, until cancelled."""
        pair = self.selected_pair()
        await self._repeater.run(None if pair is None else pair.rtt)

    def selected_transport(self) -> Way | None:
        """Return what carries the data now, and where to; None without a selected pair."""
        pair: CandidatePair | None = self._nominated.get(COMPONENT)
        return None if pair is None else (pair.protocol.transport, pair.remote_addr)

    def lanes(self) -> list[Way]:
        """Return what carries data beside :meth:`selected_transport`, and where to."""
        return [(pair.protocol.transport, pair.remote_addr) for pair in self._lanes.usable()]

    def transports(self) -> list[asyncio.DatagramTransport]:
        """Return the transports of all local candidates."""
        return [protocol.transport for protocol in self._protocols]

    # Selection

    async def connect(self) -> None:
        """Check pairs until one is selected; go on with better ones beside everything else.

        Raises:
            ConnectionError: No pair works, and none will.
        """
        await super().connect()
        self._query_consent_task = asyncio.create_task(self.query_consent())
        self._tasks.append(asyncio.create_task(self._release_relays()))

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Handle a check that was authenticated and answered.

        One that comes from, or to, a further lane is no pair of the list: no lane is nominated.
        """
        if self.own_peer and self._lanes.take(addr, protocol, known=self.remote_candidates):
            return
        super().check_incoming(message, addr, protocol)

    def pair_selected(self, *, is_first: bool) -> None:
        """Have the lanes of this pair, not of the one before."""
        if self._lanes.is_open:
            self._tasks.append(asyncio.create_task(self._lanes.close()))
            self.widen()
        super().pair_selected(is_first=is_first)

    async def _release_relays(self) -> None:
        """Give back the relays that nobody uses, when neither side looks for a better pair."""
        await asyncio.sleep(IMPROVE_FOR + RELEASE_GRACE)
        selected = self._nominated.get(COMPONENT)
        for protocol in self._protocols:
            is_used = selected is not None and selected.protocol is protocol
            if is_relay(protocol) and not is_used and not self._lanes.owns(protocol):
                protocol.transport.close()

    # Lanes

    def widen(self) -> None:
        """Begin to get lanes beside the selected pair, where it is a relay by TCP or TLS."""
        pair = self._nominated.get(COMPONENT)
        if self.own_peer and pair is not None:
            self._lanes.open(pair, server=self._relays.get(pair.protocol))

    def _add_lane(self, protocol: StunProtocol) -> None:
        self._protocols.append(protocol)
        if self.on_transport is not None:
            self.on_transport(protocol.transport)

    # Consent, and the end

    async def query_consent(self) -> None:
        """Check every few seconds that the other side still consents. Source: RFC 7675 §5.1."""
        await consent_expires(self.measure_rtt)
        self._query_consent_task = None  # close() would cancel, and wait for, this very task
        await self.close()

    async def close(self) -> None:
        """End everything, also what was about to be opened. Safe at any time, twice too."""
        self._closing = True
        tasks, self._tasks = self._tasks, []
        await cancel_all([task for task in tasks if task is not asyncio.current_task()])
        await self._lanes.close()
        await close_relays(self._protocols)
        await super().close()
