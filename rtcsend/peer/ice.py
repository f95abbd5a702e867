"""aioice, with what it leaves out: offline machines, long round trips, the route taken.

A shell. The subclass replaces public coroutines of :class:`aioice.Connection`; the private
names that it reads (``_nominated``, ``_protocols``, ``_check_list``) are held by
tests/peer/test_private_names.py.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aioice
from aioice import stun
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer.lanes import MAX_LANES, Lanes

if TYPE_CHECKING:
    from types import FrameType

GATHERING_TIMEOUT: Final = 4  # seconds for a dead STUN or TURN server; ours to keep 15 s in all
ABANDON_TIMEOUT: Final = 0.5  # seconds for a gathering that nobody wants any more; Ctrl-C waits
RELAY_PATIENCE: Final = 0.4  # seconds; two round trips to the other end of the world
CONSENT_EXPIRY: Final = 30.0  # seconds; RFC 7675 §5.1
CONSENT_INTERVAL: Final = 5.0  # seconds, randomised by 0.8 to 1.2; RFC 7675 §5.1
CONSENT_RETRANSMISSIONS: Final = 3  # 0.5 + 1 + 2 + 4 s: a full queue or a satellite is no death
RTT_RETRANSMISSIONS: Final = 1
_COMPONENT: Final = 1  # DataChannels have no other


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedPair:
    """The candidate pair that carries the data."""

    local_type: str
    remote_type: str
    local_address: tuple[str, int]
    remote_address: tuple[str, int]


class IceConnection(aioice.Connection):
    """One ICE agent with one component.

    Differences from aioice:

    - A machine without any network still has its loopback addresses to offer, so that two
      processes on it can connect. aioice leaves them out always.
    - Datagrams that are not STUN can be had as they come, by :attr:`on_datagram`, instead of by
      the queue that ``recv`` reads.
    - A relay is not taken before the direct ways have had RELAY_PATIENCE seconds.
    - A consent check may take 7.5 s instead of 0.5 s (aioice issue 58), and consent expires
      by time, as RFC 7675 §5.1 has it, not by a count of checks.
    - Where :attr:`with_lanes` says so, a relay by TCP or TLS gets further allocations beside it.
    - A cancelled gathering leaves no socket and no TURN allocation behind. aioice forgets what
      it has not yet returned; here it comes to its end before everything is closed.
    """

    _gathering: "asyncio.Task[list[aioice.Candidate]] | None" = None

    _lanes: Lanes | None = None

    on_datagram: Callable[[bytes], None] | None = None
    """Takes what arrives on any pair, once DTLS is connected; must not raise."""

    with_lanes: bool = False
    """Whether there may be lanes beside the selected pair, see :mod:`rtcsend.peer.lanes`."""

    on_lane: Callable[[asyncio.DatagramTransport], None] | None = None
    """Takes the transport of each lane that comes later than it was set."""

    def __init__(self, ice_controlling: bool, **options: Any) -> None:
        super().__init__(ice_controlling, **options)
        self._early_lanes: list[tuple[str, int]] = []  # checked from before a pair was selected

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is not STUN."""
        if self.on_datagram is None:
            super().data_received(data, component)
        else:
            self.on_datagram(data)

    def selected_transport(self) -> tuple[asyncio.DatagramTransport, tuple[str, int]] | None:
        """Return what carries the data now, and where to; None without a selected pair."""
        pair: CandidatePair | None = self._nominated.get(_COMPONENT)
        return None if pair is None else (pair.protocol.transport, pair.remote_addr)

    def lanes(self) -> list[tuple[asyncio.DatagramTransport, tuple[str, int]]]:
        """Return what carries data beside :meth:`selected_transport`, and where to."""
        pairs = [] if self._lanes is None else self._lanes.usable()
        return [(pair.protocol.transport, pair.remote_addr) for pair in pairs]

    async def connect(self) -> None:
        """Select a pair, and begin to get lanes beside it.

        Raises:
            ConnectionError: No pair works.
        """
        await super().connect()
        self._widen()

    def _widen(self) -> None:
        pair = self._nominated.get(_COMPONENT)
        if self.with_lanes and self._lanes is None and pair is not None:
            self._lanes = Lanes(
                self, pair, make_protocol=lambda: StunProtocol(self), on_open=self._add_lane
            )
            for address in self._early_lanes:
                self._lanes.learn(address)

    def _add_lane(self, protocol: StunProtocol) -> None:
        self._protocols.append(protocol)
        if self.on_lane is not None:
            self.on_lane(protocol.transport)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Handle a check that was authenticated and answered; learn of the other side's lanes.

        No lane is ever nominated: aioice would make a pair of it, and the controlling side select
        that pair, for each one that the other side checks.
        """
        if self.with_lanes and self._is_lane(addr):
            if self._lanes is not None:
                self._lanes.learn(addr)
            elif len(self._early_lanes) < MAX_LANES:
                self._early_lanes.append(addr)
        elif self._lanes is None or not self._lanes.owns(protocol):
            super().check_incoming(message, addr, protocol)

    def _is_lane(self, address: tuple[str, int]) -> bool:
        """Return whether the other side checks from a relay of which it named another port."""
        named = [known for known in self.remote_candidates if known.type == "relay"]
        return any(known.host == address[0] for known in named) and all(
            (known.host, known.port) != address for known in named
        )

    def transports(self) -> list[asyncio.DatagramTransport]:
        """Return the transports of all local candidates."""
        return [protocol.transport for protocol in self._protocols]

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = GATHERING_TIMEOUT,  # noqa: ASYNC109 - aioice's signature
    ) -> list[aioice.Candidate]:
        """Gather the candidates of one component, in at most GATHERING_TIMEOUT seconds."""
        relay_only = self._transport_policy is aioice.TransportPolicy.RELAY
        if not addresses and not relay_only:
            addresses = ["127.0.0.1", "::1"]
        self._gathering = asyncio.create_task(
            super().get_component_candidates(
                component, addresses, timeout=min(timeout, GATHERING_TIMEOUT)
            )
        )
        return await asyncio.shield(self._gathering)

    async def close(self) -> None:
        """End everything, also what a cancelled gathering was about to open."""
        if self._gathering is not None and not self._gathering.done():
            await asyncio.wait([self._gathering], timeout=ABANDON_TIMEOUT)
            # Who asks a silent server goes on for a minute, by then through a closed socket.
            tasks = [self._gathering, *_tasks_of(self._gathering)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._lanes is not None:
            await self._lanes.close()
        await super().close()

    async def check_start(self, pair: CandidatePair) -> None:
        """Check a pair; one with a relay only when the direct ones have had their chance.

        The controlling side may choose (RFC 8445 §8.1.1). aioice takes the first pair that
        answers, and a relay answers before two NATs have been opened from both sides.
        """
        if (
            self.ice_controlling
            and _is_relayed(pair)
            and not all(map(_is_relayed, self._check_list))
        ):
            self.check_state(pair, CandidatePair.State.IN_PROGRESS)  # the next one has its turn
            await asyncio.sleep(RELAY_PATIENCE)
            if pair.component in self._nominated:
                self.check_state(pair, CandidatePair.State.FAILED)
                self.check_complete(pair)
                return
        await super().check_start(pair)

    async def query_consent(self) -> None:
        """Check every few seconds that the other side still consents. Source: RFC 7675 §5.1."""
        loop = asyncio.get_running_loop()
        last_consent = loop.time()
        while loop.time() - last_consent < CONSENT_EXPIRY:
            await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - timing
            if await self._check_selected(CONSENT_RETRANSMISSIONS):
                last_consent = loop.time()
        self._query_consent_task = None  # close() would cancel, and wait for, this very task
        await self.close()

    def selected_pair(self) -> SelectedPair | None:
        """Return the pair that carries the data, None before there is one."""
        pair: CandidatePair | None = self._nominated.get(_COMPONENT)
        if pair is None:
            return None
        return SelectedPair(
            local_type=pair.local_candidate.type,
            remote_type=pair.remote_candidate.type,
            local_address=pair.local_addr,
            remote_address=pair.remote_addr,
        )

    async def measure_rtt(self) -> float | None:
        """Return the round-trip time of one connectivity check in seconds, None if it failed."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        return loop.time() - started if await self._check_selected(RTT_RETRANSMISSIONS) else None

    async def check(
        self, pair: CandidatePair, *, retransmissions: int = CONSENT_RETRANSMISSIONS
    ) -> bool:
        """Send a binding request on a pair; return whether it was answered."""
        if self.remote_password is None:
            return False
        try:
            await pair.protocol.request(
                self.build_request(pair, nominate=False),
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                retransmissions=retransmissions,
            )
        except stun.TransactionError:
            return False
        return True

    async def _check_selected(self, retransmissions: int) -> bool:
        pair = self._nominated.get(_COMPONENT)
        return pair is not None and await self.check(pair, retransmissions=retransmissions)


def _is_relayed(pair: CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def _tasks_of(gathering: "asyncio.Task[list[aioice.Candidate]]") -> "list[asyncio.Task[object]]":
    """Return the tasks that ask the servers; aioice has them in a local variable only."""
    frame: FrameType | None = getattr(gathering.get_coro(), "cr_frame", None)
    return [] if frame is None else list(frame.f_locals.get("tasks", ()))
