"""The ICE agent: aioice's messages and sockets, under a check list and a gathering of our own.

A shell around :mod:`~rtcsend.peer.checklist`. aioice parses, authenticates and answers checks,
resolves hidden (.local) addresses and keeps candidates; which server is asked, which pair is
checked when, and which one carries the data is decided here. aioice gathers once from one STUN
and one TURN server, waits for the slowest of them, and takes the first pair for good.

The private names of aioice that are touched are held by tests/peer/test_private_names.py.
"""

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aioice
from aioice import Candidate, stun
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer.checklist import CheckList
from rtcsend.peer.flight import Flight
from rtcsend.peer.gathering import Gathering, loopback_addresses
from rtcsend.peer.ice_servers import Servers, TurnServer
from rtcsend.peer.interfaces import LOOPBACK, host_addresses
from rtcsend.peer.lanes import MAX_LANES, Lanes
from rtcsend.peer.priorities import Grade, as_peer_reflexive, grade, pair_priority
from rtcsend.peer.relays import close_relays, is_relay
from rtcsend.peer.transaction import CHECK_WAITS, CONSENT_WAITS, Answer, Transaction
from rtcsend.peer.turn_client import result_of
from rtcsend.tasks import cancel_all
from rtcsend.trace import Fact, Step, Where, attempt, note

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REMOTE: Final = 128  # candidates of the other side, those that its checks come from too
CONSENT_EXPIRY: Final = 30.0  # seconds; RFC 7675 §5.1
CONSENT_INTERVAL: Final = 5.0  # seconds, randomised by 0.8 to 1.2; RFC 7675 §5.1
ROLE_CONFLICT: Final = 487  # RFC 8445 §7.3.1.1
_COMPONENT: Final = 1  # DataChannels have no other

logger = logging.getLogger("rtcsend.peer")

Way = tuple[asyncio.DatagramTransport, tuple[str, int]]
"""What to send with, and where to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedPair:
    """The candidate pair that carries the data."""

    local_type: str
    remote_type: str
    local_address: tuple[str, int]
    remote_address: tuple[str, int]
    is_relayed: bool
    rtt: float | None
    """Seconds of a check's round trip; None: not known."""


class IceConnection(aioice.Connection):
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
        self.own_peer = False
        """The other side runs this very code: the pair may change, and there may be lanes."""
        self.on_datagram: Callable[[bytes], None] | None = None
        """Takes what arrives on any pair, once DTLS is connected; must not raise."""
        self.on_transport: Callable[[asyncio.DatagramTransport], None] | None = None
        """Takes each transport that comes later than it was set, before anything is sent on it."""
        self.on_selection: Callable[[], None] | None = None
        """Called after another pair was selected than before."""
        self.on_candidate: Callable[[Candidate], None] = self._local_candidates.append
        """Takes each local candidate when it is found."""
        self.relays_wanted: asyncio.Future[bool] | None = None
        """Tells whether TURN servers are to be asked, when it is done; None: they are."""
        self._servers = servers or Servers()
        self._checks: CheckList[CandidatePair] = CheckList(is_controlling=ice_controlling)
        self._running: dict[CandidatePair, Transaction] = {}
        self._news = asyncio.Event()
        self._is_gathered = False
        self._decided: asyncio.Future[bool] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._nomination: asyncio.Task[None] | None = None
        self._flight: Flight | None = None
        self._flight_news = asyncio.Event()
        self._lanes: Lanes | None = None
        self._early_lanes: list[tuple[str, int]] = []  # checked from before a pair was selected
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
        self._news.set()

    def make_protocol(self) -> StunProtocol:
        """Return a new protocol for a socket or an allocation."""
        return StunProtocol(self)

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
            if protocol.local_candidate.can_pair_with(remote):
                self._pair(protocol, remote)
        self._news.set()

    def add_reflexive(self, candidate: Candidate) -> None:
        """Take another address of a socket; it is checked from the socket itself."""
        self.on_candidate(candidate)

    async def may_relay(self) -> bool:
        """Return whether TURN servers are to be asked, when that is known."""
        return self.relays_wanted is None or await asyncio.shield(self.relays_wanted)

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate of the other side; None: there will be no more."""
        await super().add_remote_candidate(remote_candidate)
        self._news.set()

    # What carries the data

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is not STUN."""
        if self.on_datagram is not None:
            self.on_datagram(data)
            return
        if self._flight is not None:
            self._flight.on_heard(data, now=asyncio.get_running_loop().time())
            self._flight_news.set()
        super().data_received(data, component)

    async def sendto(self, data: bytes, component: int) -> None:
        """Send a datagram of the handshake.

        Raises:
            ConnectionError: There is no selected pair.
        """
        await super().sendto(data, component)
        if self._flight is not None:
            self._flight.on_sent(data, now=asyncio.get_running_loop().time())
            self._flight_news.set()

    async def repeat_flights(self) -> None:
        """Send again what of a handshake is not answered, beside it, until cancelled."""
        loop = asyncio.get_running_loop()
        pair = self.selected_pair()
        flight = self._flight = Flight(None if pair is None else pair.rtt)
        try:
            while True:
                self._flight_news.clear()
                for datagram in flight.datagrams_to_send(now=loop.time()):
                    with suppress(ConnectionError):
                        await super().sendto(datagram, _COMPONENT)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(flight.get_timer()):
                        await self._flight_news.wait()
        finally:
            self._flight = None

    def selected_transport(self) -> Way | None:
        """Return what carries the data now, and where to; None without a selected pair."""
        pair: CandidatePair | None = self._nominated.get(_COMPONENT)
        return None if pair is None else (pair.protocol.transport, pair.remote_addr)

    def lanes(self) -> list[Way]:
        """Return what carries data beside :meth:`selected_transport`, and where to."""
        pairs = [] if self._lanes is None else self._lanes.usable()
        return [(pair.protocol.transport, pair.remote_addr) for pair in pairs]

    def transports(self) -> list[asyncio.DatagramTransport]:
        """Return the transports of all local candidates."""
        return [protocol.transport for protocol in self._protocols]

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
            is_relayed=self._grade(pair).is_relayed,
            rtt=self._checks.rtt_of(pair),
        )

    # Checks

    async def connect(self) -> None:
        """Check pairs until one is selected; go on with better ones beside everything else.

        Raises:
            ConnectionError: No pair works, and none will.
        """
        if self.remote_username is None or self.remote_password is None:
            raise ConnectionError("Remote username or password is missing")
        self._decided = asyncio.get_running_loop().create_future()
        self._checks.may_move = self.own_peer
        self.sort_check_list()
        self._early_checks_done = True
        for early_check in self._early_checks:
            self.check_incoming(*early_check)
        self._early_checks.clear()
        self._tasks.append(asyncio.create_task(self._drive()))
        if not await self._decided:
            raise ConnectionError("ICE negotiation failed")
        self._query_consent_task = asyncio.create_task(self.query_consent())

    async def _drive(self) -> None:
        """Start checks at their pace, for as long as the connection lives."""
        loop = asyncio.get_running_loop()
        assert self._decided is not None, "connect() has made it"
        was_improving = True
        while not self._closing:
            self._news.clear()
            now = loop.time()
            if (pair := self._checks.next_check(now=now)) is not None:
                self._start(pair)
            self._follow()
            complete = self._is_gathered and not self._remote_candidates_expected()
            if self._checks.is_hopeless(now=now, is_complete=complete):
                self._decide(works=False)
            if was_improving and self._checks.selected and not self._checks.is_improving(now=now):
                was_improving = False
                self._release_relays()
            at = self._checks.get_timer(now=loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._news.wait()

    def sort_check_list(self) -> None:
        """Take pairs that aioice has made, and what it has learned of them, into our own list."""
        for pair in self._check_list:
            local, remote = pair.local_candidate.priority, pair.remote_candidate.priority
            self._checks.put(
                pair,
                grade=self._grade(pair),
                priority=pair_priority(local, remote, is_controlling=self.ice_controlling),
            )
        self._news.set()

    def _pair(self, protocol: StunProtocol, remote: Candidate) -> CandidatePair:
        pair = self._find_pair(protocol, remote)
        if pair is None:
            pair = CandidatePair(protocol, remote)
            self._check_list.append(pair)
            self.sort_check_list()
        return pair

    def _grade(self, pair: CandidatePair) -> Grade:
        local, remote = pair.local_candidate, pair.remote_candidate
        return min(
            grade(local.type, local.priority, is_own=True),
            grade(remote.type, remote.priority, is_own=self.own_peer),
        )

    def _start(self, pair: CandidatePair) -> None:
        pair.task = asyncio.create_task(self._check(pair))  # close() cancels it

    async def _check(self, pair: CandidatePair) -> None:
        """Check a pair once, and say what came of it."""
        loop = asyncio.get_running_loop()
        try:
            with attempt(Step.CHECK, result_of, **_facts(pair)):
                answer = await self._ask(pair)
        except stun.TransactionError as exc:
            self._checks.on_silence(pair)
            if exc.response is not None and exc.response.error_code == ROLE_CONFLICT:
                self.switch_role(ice_controlling=not self.ice_controlling)
                self._checks.trigger(pair)
        except asyncio.CancelledError:
            self._checks.on_silence(pair)
            raise
        else:
            if answer.address == pair.remote_addr:  # RFC 8445 §7.2.5.2.1
                self._checks.on_answer(pair, rtt=answer.rtt, now=loop.time())
            else:
                self._checks.on_silence(pair)
        finally:
            pair.task = None
            self._news.set()

    async def _ask(
        self,
        pair: CandidatePair,
        *,
        nominate: bool = False,
        waits: tuple[float, ...] = CHECK_WAITS,
    ) -> Answer:
        """Send a binding request on a pair.

        Raises:
            aioice.stun.TransactionError: It was not answered.
        """
        assert self.remote_password is not None, "connect() has seen it"
        transaction = Transaction(
            pair.protocol,
            self.build_request(pair, nominate),
            pair.remote_addr,
            key=self.remote_password.encode(),
            waits=waits,
        )
        if not nominate:
            self._running[pair] = transaction
        try:
            return await transaction.run()
        finally:
            if self._running.get(pair) is transaction:
                del self._running[pair]

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        """Return a binding request; its priority tells what kind of network it comes from."""
        request = super().build_request(pair, nominate)
        request.attributes["PRIORITY"] = as_peer_reflexive(pair.local_candidate.priority)
        return request

    def switch_role(self, ice_controlling: bool) -> None:
        """Be the other agent, after a conflict. Source: RFC 8445 §7.3.1.1."""
        self._checks.is_controlling = ice_controlling
        super().switch_role(ice_controlling)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Handle a check that was authenticated and answered.

        One that comes from, or to, a further lane is no pair of the list: no lane is nominated.
        """
        if self._concerns_lanes(addr, protocol):
            return
        remote = self._find_or_learn(message, addr)
        if not protocol.local_candidate.can_pair_with(remote):
            return
        pair = self._pair(protocol, remote)
        if self._checks.trigger(pair) and pair in self._running:
            self._running[pair].nudge()
        if "USE-CANDIDATE" in message.attributes:
            self._checks.on_nomination(pair, now=asyncio.get_running_loop().time())
            self._follow()
        self._news.set()

    def _find_or_learn(self, message: stun.Message, addr: tuple[str, int]) -> Candidate:
        """Return the candidate at an address, a peer-reflexive one if nobody named it.

        Source: RFC 8445 §7.3.1.3.
        """
        learned = Candidate(
            foundation=f"prflx{len(self._remote_candidates)}",
            component=_COMPONENT,
            transport="udp",
            priority=message.attributes.get("PRIORITY", 0),
            host=addr[0],
            port=addr[1],
            type="prflx",
        )
        known = self._find_remote_candidate(learned)
        if known is None and len(self._remote_candidates) < MAX_REMOTE:
            self._remote_candidates.append(learned)
        return known or learned

    # Selection

    def _follow(self) -> None:
        """Send where the check list says, and tell the other side if that is ours to do."""
        pair = self._checks.selected
        if pair is None or pair is self._nominated.get(_COMPONENT) or self._closing:
            return
        is_first = not self._nominated
        self._nominated[_COMPONENT] = pair
        note(Step.NOMINATED, **_facts(pair))
        if self.ice_controlling:
            if self._nomination is not None:
                self._nomination.cancel()
            self._nomination = asyncio.create_task(self._nominate(pair))
            self._tasks.append(self._nomination)
        for other in self._check_list:
            if other.task is not None and not self._checks.is_wanted(other):
                other.task.cancel()
        self._decide(works=True)
        if not is_first:
            logger.info("= another pair: %s", self._grade(pair).name)
            if self._lanes is not None:
                self._tasks.append(asyncio.create_task(self._lanes.close()))
                self._lanes = None
                self.widen()
            if self.on_selection is not None:
                self.on_selection()

    def _decide(self, *, works: bool) -> None:
        if self._decided is not None and not self._decided.done():
            self._decided.set_result(works)

    async def _nominate(self, pair: CandidatePair) -> None:
        with suppress(stun.TransactionError):  # each consent check says it again
            await self._ask(pair, nominate=True)

    def _release_relays(self) -> None:
        """Give back the relays that nobody uses, when no better pair is looked for any more."""
        used = [] if self._lanes is None else [pair.protocol for pair in self._lanes.usable()]
        if (pair := self._nominated.get(_COMPONENT)) is not None:
            used.append(pair.protocol)
        unused = [
            protocol
            for protocol in self._protocols
            if is_relay(protocol)
            and protocol not in used
            and not (self._lanes is not None and self._lanes.owns(protocol))
        ]
        for protocol in unused:
            protocol.transport.close()

    # Lanes

    def widen(self) -> None:
        """Begin to get lanes beside the selected pair, where it is a relay by TCP or TLS."""
        pair = self._nominated.get(_COMPONENT)
        if not self.own_peer or self._lanes is not None or pair is None:
            return
        self._lanes = Lanes(
            self,
            pair,
            server=self._relays.get(pair.protocol),
            make_protocol=self.make_protocol,
            on_open=self._add_lane,
        )
        for address in self._early_lanes:
            self._lanes.learn(address)

    def _add_lane(self, protocol: StunProtocol) -> None:
        self._protocols.append(protocol)
        if self.on_transport is not None:
            self.on_transport(protocol.transport)

    def _concerns_lanes(self, addr: tuple[str, int], protocol: StunProtocol) -> bool:
        if self.own_peer and self._is_lane(addr):
            if self._lanes is not None:
                self._lanes.learn(addr)
            elif len(self._early_lanes) < MAX_LANES:
                self._early_lanes.append(addr)
            return True
        return self._lanes is not None and self._lanes.owns(protocol)

    def _is_lane(self, address: tuple[str, int]) -> bool:
        """Return whether the other side checks from a relay of which it named another port."""
        named = [known for known in self.remote_candidates if known.type == "relay"]
        return any(known.host == address[0] for known in named) and all(
            (known.host, known.port) != address for known in named
        )

    # Consent, and the end

    async def query_consent(self) -> None:
        """Check every few seconds that the other side still consents. Source: RFC 7675 §5.1."""
        loop = asyncio.get_running_loop()
        last_consent = loop.time()
        while loop.time() - last_consent < CONSENT_EXPIRY:
            await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - timing
            if await self.measure_rtt() is not None:
                last_consent = loop.time()
        self._query_consent_task = None  # close() would cancel, and wait for, this very task
        await self.close()

    async def measure_rtt(self) -> float | None:
        """Return the round-trip time of one check in seconds, None if it failed."""
        pair = self._nominated.get(_COMPONENT)
        if pair is None or self.remote_password is None:
            return None
        loop = asyncio.get_running_loop()
        started = loop.time()
        nominate = self.ice_controlling and self.own_peer
        try:
            answer = await self._ask(pair, nominate=nominate, waits=CONSENT_WAITS)
        except stun.TransactionError:
            return None
        return loop.time() - started if answer.rtt is None else answer.rtt

    async def check(self, pair: CandidatePair) -> bool:
        """Send a binding request on a pair of a lane; return whether it was answered."""
        if self.remote_password is None:
            return False
        try:
            await self._ask(pair, waits=CONSENT_WAITS)
        except stun.TransactionError:
            return False
        return True

    async def close(self) -> None:
        """End everything, also what was about to be opened. Safe at any time, twice too."""
        self._closing = True
        self._decide(works=False)
        tasks, self._tasks = self._tasks, []
        await cancel_all([task for task in tasks if task is not asyncio.current_task()])
        if self._lanes is not None:
            await self._lanes.close()
        await close_relays(self._protocols)
        await super().close()


def _facts(pair: CandidatePair) -> dict[str, Fact]:
    """Return what the trace tells of a pair."""
    return {
        "local": pair.local_candidate.type,
        "remote": pair.remote_candidate.type,
        "local_address": Where(*pair.local_addr),
        "remote_address": Where(*pair.remote_addr),
    }
