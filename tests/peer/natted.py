"""A simulated internet on virtual time: two machines, each behind a NAT, and a STUN server halfway.

The agents are the real ones, gathering included; their event loop gives them sockets of this net.
Loss comes from a seed. What real kernels and programs do instead, tests/lab shows.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aioice import Candidate, stun

from rtcsend.peer.gathering import Gathering
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ice_servers import Servers, StunServer
from rtcsend.peer.interfaces import HostAddress
from rtcsend.peer.priorities import Network
from tests.fakes.clock import VirtualClockLoop

Address = tuple[str, int]
NatKind = Literal["full-cone", "restricted", "port-restricted", "symmetric"]

STUN: Final[Address] = ("203.0.113.10", 3478)
INSIDE: Final = ("10.0.0.2", "10.0.1.2")
OUTSIDE: Final = ("192.0.2.1", "198.51.100.1")
FIRST_PORT: Final = 40_000


@dataclass
class Nat:
    """One NAT, in the words of RFC 4787; a mapping is never forgotten."""

    kind: NatKind
    address: str
    _ports: dict[object, int] = field(default_factory=dict)
    _inside: dict[int, Address] = field(default_factory=dict)
    _heard: set[tuple[int, object]] = field(default_factory=set)

    def outward(self, source: Address, to: Address) -> Address:
        """Return the address from which a packet goes on."""
        key = (source, to) if self.kind == "symmetric" else source
        port = self._ports.setdefault(key, FIRST_PORT + len(self._ports))
        self._inside[port] = source
        self._heard |= {(port, to), (port, to[0])}
        return self.address, port

    def inward(self, port: int, source: Address) -> Address | None:
        """Return where a packet goes inside, None: nowhere."""
        by: object = source[0] if self.kind == "restricted" else source
        is_let_in = self.kind == "full-cone" or (port, by) in self._heard
        return self._inside.get(port) if is_let_in else None


class Socket(asyncio.DatagramTransport):
    """A machine's socket."""

    def __init__(self, net: "Net", address: Address, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self._net, self._address, self.protocol = net, address, protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return its address."""
        return self._address if name == "sockname" else default

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram."""
        self._net.send(self._address, addr, data)

    def close(self) -> None:
        """Close it."""
        self._net.sockets.pop(self._address, None)
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Net(VirtualClockLoop):
    """The net, and the event loop of both machines.

    Args:
        kinds: Of the two NATs.
        rtt: Seconds, between the machines; to the STUN server it is half of that.
        loss: Of each packet.
        seed: Of the losses.
    """

    def __init__(
        self, kinds: tuple[NatKind, NatKind], *, rtt: float, loss: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.rtt, self.sent = rtt, 0
        self.sockets: dict[Address, Socket] = {}
        self._nats = [Nat(kind, there) for kind, there in zip(kinds, OUTSIDE, strict=True)]
        self._loss, self._random = loss, random.Random(seed)
        self._port = 1000

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], local_addr: Address
    ) -> tuple[Socket, Any]:
        """Open a socket."""
        self._port += 1
        protocol = protocol_factory()
        made = Socket(self, (local_addr[0], self._port), protocol)
        self.sockets[local_addr[0], self._port] = made
        protocol.connection_made(made)
        return made, protocol

    def send(self, source: Address, to: Address, data: bytes) -> None:
        """Take a packet, which may be lost."""
        self.sent += 1
        mapped = self._nats[INSIDE.index(source[0])].outward(source, to)
        if to == STUN:
            self._carry(self.rtt / 2, mapped[1], STUN, mapped[0], _answer(data, mapped))
        elif to[0] in OUTSIDE:  # no private address is routed
            self._carry(self.rtt / 2, to[1], mapped, to[0], data)

    def _carry(self, delay: float, port: int, source: Address, outside: str, data: bytes) -> None:
        if self._random.random() >= self._loss:
            self.call_later(delay, self._arrive, port, source, outside, data)

    def _arrive(self, port: int, source: Address, outside: str, data: bytes) -> None:
        inside = self._nats[OUTSIDE.index(outside)].inward(port, source)
        if inside is not None and (socket := self.sockets.get(inside)) is not None:
            assert isinstance(socket.protocol, asyncio.DatagramProtocol)
            socket.protocol.datagram_received(data, source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """How two agents found each other.

    Attributes:
        selected: Seconds from the offer until each sends on a pair, the offering side first.
        rtts: What each says of the round trip then.
        sent: Packets of both until a second later.
    """

    selected: tuple[float, float]
    rtts: tuple[float | None, float | None]
    sent: int


def meet(net: Net) -> Met:
    """Have two agents connect over a net whose rendezvous is halfway as well."""
    with asyncio.Runner(loop_factory=lambda: net) as runner:
        return runner.run(_meet(net))


async def _meet(net: Net) -> Met:
    agents = [_agent(is_controlling) for is_controlling in (True, False)]
    tasks: list[asyncio.Task[None]] = []
    try:
        for agent, other, address in zip(agents, reversed(agents), INSIDE, strict=True):
            agent.remote_username, agent.remote_password = (
                other.local_username,
                other.local_password,
            )
            agent.on_candidate = _by_rendezvous(net, other, tasks)
            tasks.append(asyncio.create_task(_gather(agent, address)))
            if agent.ice_controlling:
                await asyncio.sleep(net.rtt / 2)  # the offer is on its way
        answering = asyncio.create_task(_selected(agents[1]))
        await asyncio.sleep(net.rtt / 2)  # and the answer
        offering = asyncio.create_task(_selected(agents[0]))
        (first, here), (second, there) = await asyncio.gather(offering, answering)
        await asyncio.sleep(1.0)
        return Met(selected=(first, second), rtts=(here, there), sent=net.sent)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(agent.close() for agent in agents))


def _agent(is_controlling: bool) -> IceConnection:
    agent = IceConnection(is_controlling)
    agent.own_peer = True
    return agent


async def _gather(agent: IceConnection, address: str) -> None:
    await Gathering(
        agent,
        Servers(stun=(StunServer(*STUN),)),
        addresses=[HostAddress(address, Network.LAN)],
        hide_addresses=False,
    ).run()


def _by_rendezvous(
    net: Net, other: IceConnection, tasks: list[asyncio.Task[None]]
) -> Callable[[Candidate], None]:
    def signal(candidate: Candidate) -> None:
        net.call_later(
            net.rtt / 2,
            lambda: tasks.append(asyncio.create_task(other.add_remote_candidate(candidate))),
        )

    return signal


async def _selected(agent: IceConnection) -> tuple[float, float | None]:
    await agent.connect()
    pair = agent.selected_pair()
    assert pair is not None
    return asyncio.get_running_loop().time(), pair.rtt


def _answer(data: bytes, mapped: Address) -> bytes:
    asked = stun.parse_message(data)
    response = stun.Message(
        message_method=asked.message_method,
        message_class=stun.Class.RESPONSE,
        transaction_id=asked.transaction_id,
    )
    response.attributes["XOR-MAPPED-ADDRESS"] = mapped
    return bytes(response)
