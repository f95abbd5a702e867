"""Gathering: every address under which the other side may reach this one, as soon as it is known.

A shell. Addresses of this machine are there at once. All STUN servers and all TURN machines are
asked side by side, each look-up and each question in a task of its own, so that a dead server
costs nothing but the end of the gathering, for which nobody waits.

One TURN machine is asked up its ladder (:mod:`~rtcsend.peer.ice_servers`): UDP, and after
HEAD_START seconds without an answer TCP, and then TLS, so that a network without UDP costs that
head start. A way takes two round trips by UDP, three by TCP and more by TLS: so where UDP works it
is there first, however far the server is, and no allocation is made that is not used. Once UDP has
had its head start, all connections are begun: that by TLS shakes hands while TCP has its own. What
comes late on a better way is still taken.

Sources: RFC 8445 §5.1.1; RFC 8838 (trickle); RFC 8305 (the idea of head starts).
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol

from aioice import Candidate, stun
from aioice.ice import StunProtocol

from rtcsend.peer.allocation import allocate
from rtcsend.peer.candidate import can_be_offered_untrusted
from rtcsend.peer.ice_servers import Ladder, Servers, StunServer, TurnServer
from rtcsend.peer.interfaces import HostAddress
from rtcsend.peer.priorities import Network, host_preference, priority
from rtcsend.peer.transaction import QUERY_WAITS, Transaction
from rtcsend.peer.turn_client import result_of
from rtcsend.resolving import Address, address_of_each_family
from rtcsend.tasks import cancel_all
from rtcsend.trace import Step, Where, attempt

GATHERING_TIMEOUT: Final = 5.0  # seconds for every server; then end-of-candidates is said
HEAD_START: Final = 0.04  # seconds of a better way to a relay; RFC 8305 §5: over 0.01
_FAILURES: Final = (OSError, stun.TransactionError, TimeoutError)

logger = logging.getLogger("rtcsend.peer")


class Agent(Protocol):
    """Who takes what is found."""

    def make_protocol(self) -> StunProtocol:
        """Return a new protocol for a socket or an allocation."""
        ...

    def add_local(self, protocol: StunProtocol, server: TurnServer | None = None) -> None:
        """Take a socket, or an allocation of a server, with its candidate."""
        ...

    def add_reflexive(self, candidate: Candidate) -> None:
        """Take another address of a socket."""
        ...

    async def may_relay(self) -> bool:
        """Return whether relays are wanted, when that is known."""
        ...


class Gathering:
    """One gathering.

    Args:
        agent: Takes what is found.
        servers: To ask.
        addresses: Of this machine, to offer.
        hide_addresses: Name no address of this machine.
    """

    def __init__(
        self,
        agent: Agent,
        servers: Servers,
        *,
        addresses: Sequence[HostAddress],
        hide_addresses: bool,
    ) -> None:
        self._agent, self._servers = agent, servers
        self._addresses, self._hide_addresses = addresses, hide_addresses
        self._hosts: list[StunProtocol] = []
        self._mapped: set[tuple[Address, Address]] = set()

    async def run(self) -> None:
        """Find everything, in GATHERING_TIMEOUT seconds at most after the first sockets."""
        for place, host in enumerate(self._addresses):
            await self._open(host, place)
        tasks = [asyncio.create_task(work) for work in self._questions()]
        try:
            if tasks:
                await self._agent.may_relay()
                await asyncio.wait(tasks, timeout=GATHERING_TIMEOUT)
        finally:
            await cancel_all(tasks)

    def _questions(self) -> list[Coroutine[Any, Any, None]]:
        return [
            *(self._ask(server) for server in self._servers.stun),
            *(self._climb(ladder, place) for place, ladder in enumerate(self._servers.turn)),
        ]

    async def _open(self, host: HostAddress, place: int) -> None:
        """Open a socket at an address of this machine; do without one that cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.create_datagram_endpoint(
                self._agent.make_protocol, local_addr=(host.address, 0)
            )
        except OSError as exc:
            logger.debug("= no socket at an address of this machine: %s", exc)
            return
        address, port = transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = Candidate(
            foundation=f"host{place}",
            component=1,
            transport="udp",
            priority=priority("host", host_preference(host.network, place)),
            host=address,
            port=port,
            type="host",
        )
        self._hosts.append(protocol)
        self._agent.add_local(protocol)

    # STUN

    async def _ask(self, server: StunServer) -> None:
        """Ask a STUN server from every IPv4 socket; IPv6 is not translated."""
        try:
            addresses = await address_of_each_family(server.host, server.port)
        except OSError as exc:
            logger.info("= a STUN server's name: %s", type(exc).__name__)
            return
        for address in addresses:
            if ":" not in address[0]:
                sockets = [host for host in self._hosts if ":" not in host.local_candidate.host]
                await asyncio.gather(*(self._ask_from(host, address) for host in sockets))

    async def _ask_from(self, host: StunProtocol, server: Address) -> None:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        try:
            with attempt(
                Step.GATHER, result_of, kind="stun", protocol="udp", server=Where(*server)
            ):
                answer = await Transaction(host, request, server, waits=QUERY_WAITS).run()
        except _FAILURES as exc:
            logger.debug("= no answer of a STUN server: %s", exc)
            return
        mapped: Address | None = answer.message.attributes.get("XOR-MAPPED-ADDRESS")
        base = host.local_candidate
        if mapped is None or mapped == (base.host, base.port):
            return  # RFC 8445 §5.1.3: it is the host candidate again
        if not can_be_offered_untrusted(mapped, like=base.host):
            logger.info("= a STUN server says what no address can be")
            return
        if ((base.host, base.port), mapped) in self._mapped:
            return
        self._mapped.add(((base.host, base.port), mapped))
        self._agent.add_reflexive(
            Candidate(
                foundation=f"srflx{base.foundation[4:]}",
                component=1,
                transport="udp",
                priority=priority("srflx", base.priority >> 8 & 0xFFFF),
                host=mapped[0],
                port=mapped[1],
                type="srflx",
                related_address=base.host,
                related_port=base.port,
            )
        )

    # TURN

    async def _climb(self, ladder: Ladder, place: int) -> None:
        """Get a relay of one machine, on the first way that answers; later on a better one."""
        tasks: dict[asyncio.Task[StunProtocol], int] = {}
        best, begun = len(ladder), 0
        may_ask = [asyncio.Event() for _ in ladder]
        if not await self._agent.may_relay():
            return
        try:
            for number, turn in enumerate(may_ask):
                turn.set()
                for way in ladder[begun : 1 if number == 0 else len(ladder)]:
                    work = self._allocate(way, place, may_ask[begun])
                    tasks[asyncio.create_task(work)] = begun
                    begun += 1
                if tasks:
                    best = await self._take_first(ladder, tasks, best, HEAD_START)
                if best < len(ladder):
                    break
            while any(number < best for number in tasks.values()):
                best = await self._take_first(ladder, tasks, best, None)
        finally:
            await self._abandon(list(tasks))

    async def _take_first(
        self,
        ladder: Ladder,
        tasks: dict[asyncio.Task[StunProtocol], int],
        best: int,
        timeout: float | None,  # noqa: ASYNC109 - a head start, and no failure
    ) -> int:
        """Wait for a way to answer; take what has, and drop what is worse than the best."""
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in sorted(done, key=lambda task: tasks[task]):
            number = tasks.pop(task)
            if (error := task.exception()) is not None:
                logger.info("= no relay by %s: %s", ladder[number].protocol, result_of(error))
                continue
            self._agent.add_local(task.result(), ladder[number])
            best = min(best, number)
        worse = [task for task, number in tasks.items() if number > best]
        for task in worse:
            del tasks[task]
        await self._abandon(worse)
        return best

    async def _allocate(self, way: TurnServer, place: int, may_ask: asyncio.Event) -> StunProtocol:
        return await allocate(
            way,
            self._agent.make_protocol,
            place=place,
            hide_address=self._hide_addresses,
            may_ask=may_ask,
        )

    async def _abandon(self, tasks: list[asyncio.Task[StunProtocol]]) -> None:
        """Stop what is under way; what has just come is given back."""
        await cancel_all(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                task.result().transport.close()


def loopback_addresses(addresses: Sequence[str]) -> list[HostAddress]:
    """Return addresses to use where there is no other."""
    return [HostAddress(address, Network.LAN) for address in addresses]
