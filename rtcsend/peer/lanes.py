"""More than one TCP connection to a TURN server, for one peer connection.

A TURN server gives each TCP connection a buffer of its own choice: coturn 64 KiB, both ways,
which no client can enlarge. So one connection carries about 80 KB a round trip: 32 Mbit/s to
a server 20 ms away. Several connections carry several times that, as browsers do for HTTP.

A *lane* is an allocation of its own, and an address of the other side that it sends to. Its
peer learns of it by an ICE connectivity check from its relayed address (RFC 8445 §7.3.1.3: it
is peer-reflexive), with the credentials of the connection; where both sides have several,
the first of one sends to the first of the other, and so on. A lane carries data only
after its own check was answered, and as long as the later ones are (RFC 7675).

Not RFC 8445: one component sends on more pairs than the selected one. So it is done between our
own peers alone. A server that has no more to give (RFC 8656 §19: 486, 508) gets all lanes back: who
comes next, perhaps with the same credential, needs one allocation to connect at all.

Place in the flow: run by :class:`rtcsend.peer.ice.IceConnection`, at the data path's wish.
"""

import asyncio
import copy
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import aioice
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer.allocation import allocate
from rtcsend.peer.ice_servers import TurnServer
from rtcsend.peer.turn_client import result_of

MAX_LANES: Final = 8  # 250 Mbit/s to a coturn 20 ms away; four overflow at half of that when probed
OPEN_TIMEOUT: Final = 5.0  # seconds for an allocation; nobody waits for it
CHECK_INTERVAL: Final = 5.0  # seconds, randomised by 0.8 to 1.2; RFC 7675 §5.1
_NO_MORE: Final = (486, 508)  # Allocation Quota Reached, Insufficient Capacity

Address = tuple[str, int]

logger = logging.getLogger("rtcsend.peer")


class Checker(Protocol):
    """What is needed of the ICE connection."""

    async def check(self, pair: CandidatePair) -> bool:
        """Return whether a connectivity check of a pair is answered."""
        ...


class Lanes:
    """The lanes of one connection.

    Args:
        ice: Its ICE agent, with a selected pair.
        selected: That pair, the first lane.
        server: The relay that this side uses in it, if it does.
        make_protocol: Makes aioice's protocol for a new allocation.
        on_open: Gets the protocol of each new allocation, before anything goes through it.
    """

    def __init__(
        self,
        ice: Checker,
        selected: CandidatePair,
        *,
        server: TurnServer | None,
        make_protocol: Callable[[], StunProtocol],
        on_open: Callable[[StunProtocol], None],
    ) -> None:
        self._ice = ice
        self._selected = selected
        self._server = server if server is not None and server.protocol != "udp" else None
        self._make_protocol = make_protocol
        self._on_open = on_open
        self._protocols = [selected.protocol]
        self._addresses: list[Address] = [selected.remote_addr]
        self._pairs: dict[int, CandidatePair] = {}
        self._is_opening = self._server is not None
        self._has_no_more = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def usable(self) -> list[CandidatePair]:
        """Return the pairs that carry data beside the selected one."""
        return list(self._pairs.values())

    def owns(self, protocol: StunProtocol) -> bool:
        """Return whether a protocol is that of a further lane."""
        return protocol in self._protocols[1:]

    def learn(self, address: Address) -> None:
        """The other side has a lane of its own, and checks from that address.

        One at another host belongs to a pair that was selected before.
        """
        is_here = address[0] == self._addresses[0][0]
        if is_here and address not in self._addresses and len(self._addresses) < MAX_LANES:
            self._addresses.append(address)
            self._changed.set()

    def stop(self) -> None:
        """Check no more; nothing is usable any more."""
        self._task.cancel()
        self._pairs.clear()

    async def close(self) -> None:
        """Stop, and begin to give the allocations back; nobody waits for that here."""
        self.stop()
        await asyncio.gather(self._task, return_exceptions=True)
        self._give_back()

    def _give_back(self) -> None:
        for protocol in self._protocols[1:]:
            protocol.transport.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._server is not None:
                tasks.create_task(self._open_all(self._server))
            while True:
                self._changed.clear()
                for index, pair in self._wanted():
                    tasks.create_task(self._check(index, pair))
                delay = CHECK_INTERVAL * random.uniform(0.8, 1.2)  # noqa: S311 - timing
                try:
                    async with asyncio.timeout(delay):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _open_all(self, server: TurnServer) -> None:
        """Get further allocations from the same server.

        The other side hears of none before all are there: what is given back was never used.
        """
        async with asyncio.TaskGroup() as tasks:
            for _ in range(MAX_LANES - 1):
                tasks.create_task(self._open(server))
        if self._has_no_more:
            self._give_back()
            del self._protocols[1:]
        self._is_opening = False
        self._changed.set()

    async def _open(self, server: TurnServer) -> None:
        """Get one more; do without where that fails."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                protocol = await allocate(server, self._make_protocol, place=0, hide_address=True)
        except (OSError, TimeoutError, aioice.stun.TransactionError) as exc:
            logger.info("= no further lane: %s", result_of(exc))
            if isinstance(exc, aioice.stun.TransactionFailed):
                self._has_no_more |= exc.response.error_code in _NO_MORE
            return
        self._protocols.append(protocol)
        self._on_open(protocol)

    def _wanted(self) -> list[tuple[int, CandidatePair]]:
        """Return the pairs that there should be beside the selected one."""
        protocols = self._protocols[:1] if self._is_opening else self._protocols
        pairs = []
        for index in range(1, max(len(protocols), len(self._addresses))):
            remote = copy.copy(self._selected.remote_candidate)
            remote.port = self._addresses[index % len(self._addresses)][1]
            pairs.append((index, CandidatePair(protocols[index % len(protocols)], remote)))
        return pairs

    async def _check(self, index: int, pair: CandidatePair) -> None:
        """Take a pair into use if its check is answered, and out of it if not."""
        answered = await self._ice.check(pair)
        used = self._pairs.get(index)
        same = used is not None and (used.protocol, used.remote_addr) == (
            pair.protocol,
            pair.remote_addr,
        )
        if answered and not same:
            self._pairs[index] = pair
            logger.debug("= lane %d: %s", index, pair)
        elif not answered and same:
            del self._pairs[index]
            logger.debug("= lane %d is dead", index)


class LaneKeeper:
    """The lanes beside the selected pair, whichever that is.

    Args:
        ice: The ICE agent.
        make_protocol: As :class:`Lanes` has it.
        on_open: As :class:`Lanes` has it.
    """

    def __init__(
        self,
        ice: Checker,
        *,
        make_protocol: Callable[[], StunProtocol],
        on_open: Callable[[StunProtocol], None],
    ) -> None:
        self._ice, self._make_protocol, self._on_open = ice, make_protocol, on_open
        self._lanes: Lanes | None = None
        self._early: list[Address] = []  # checked from before there were lanes here

    @property
    def is_open(self) -> bool:
        """Whether lanes are wanted."""
        return self._lanes is not None

    def open(self, selected: CandidatePair, *, server: TurnServer | None) -> None:
        """Begin to get lanes, once."""
        if self._lanes is not None:
            return
        self._lanes = Lanes(
            self._ice,
            selected,
            server=server,
            make_protocol=self._make_protocol,
            on_open=self._on_open,
        )
        for address in self._early:
            self._lanes.learn(address)

    def close(self) -> Coroutine[Any, Any, None]:
        """Have none from now on; another pair may get some at once.

        Returns:
            What gives back those that there were.
        """
        lanes, self._lanes = self._lanes, None
        self._early.clear()  # they belong to the pair of before
        if lanes is not None:
            lanes.stop()
        return _closed(lanes)

    def usable(self) -> list[CandidatePair]:
        """Return the pairs that carry data beside the selected one."""
        return [] if self._lanes is None else self._lanes.usable()

    def owns(self, protocol: StunProtocol) -> bool:
        """Return whether a protocol is that of a further lane."""
        return self._lanes is not None and self._lanes.owns(protocol)

    def take(
        self, address: Address, protocol: StunProtocol, *, known: list[aioice.Candidate]
    ) -> bool:
        """Return whether a check concerns lanes, and learn from it.

        Args:
            address: Where it comes from.
            protocol: By which it came.
            known: What the other side has named.
        """
        relays = [candidate for candidate in known if candidate.type == "relay"]
        is_lane = any(relay.host == address[0] for relay in relays) and all(
            (relay.host, relay.port) != address for relay in relays
        )
        if not is_lane:
            return self.owns(protocol)
        if self._lanes is not None:
            self._lanes.learn(address)
        elif address not in self._early and len(self._early) < MAX_LANES:
            self._early.append(address)
        return True


async def _closed(lanes: Lanes | None) -> None:
    if lanes is not None:
        await lanes.close()
