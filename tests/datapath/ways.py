"""What stands below the data path in its tests: ways to the other side, and who knows them."""

import asyncio
from typing import TYPE_CHECKING, cast

from aioice.turn import TurnClientTcpProtocol, TurnTransport

from rtcsend.datapath.turn_frames import FrameReader, maybe_channel_data_untrusted
from rtcsend.peer.ice import Way
from rtcsend.peer.turn_client import TurnTcpClient

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = ("192.0.2.1", 1000)


class Stream(asyncio.Transport):
    """A connection to a TURN server that is full when the test says so."""

    def __init__(self, protocol: TurnClientTcpProtocol) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = protocol
        self.written: list[bytes] = []
        self.closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        assert low is not None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def fill(self) -> None:
        cast("asyncio.Protocol", self.protocol).pause_writing()

    def drain(self) -> None:
        cast("asyncio.Protocol", self.protocol).resume_writing()

    def records(self) -> list[bytes]:
        """Return what was written, taken apart."""
        frames = FrameReader().receive_untrusted(b"".join(self.written))
        found = [maybe_channel_data_untrusted(frame) for frame in frames]
        return [payload for _, payload in filter(None, found)]


class Relay(TurnTransport):
    """aioice's transport with a channel bound; what it is given itself is counted."""

    def __init__(self, *, bound: bool = True) -> None:
        client = TurnTcpClient(("203.0.113.1", 3478), username="ada", password="secret")
        super().__init__(client)
        self.stream = Stream(client)
        client.connection_made(self.stream)
        if bound:
            client.peer_to_channel[PEER] = 0x4000
        self.plain: list[bytes] = []

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        assert addr == PEER
        self.plain.append(data)


class Host(asyncio.DatagramTransport):
    """A transport of another event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[object] = []

    def sendto(self, data: object, addr: object = None) -> None:
        self.sent.append((data, addr))


class FakeIce:
    """The part of an ICE connection that the data path uses."""

    def __init__(self, *transports: object) -> None:
        self._ways = [cast("Way", (transport, PEER)) for transport in transports]
        self.own_peer = False
        self.on_transport: object = None
        self.on_datagram: Callable[[bytes], None] | None = None
        self.widened = 0

    def transports(self) -> list[asyncio.DatagramTransport]:
        return [transport for transport, _ in self._ways]

    def selected_transport(self) -> Way | None:
        return self._ways[0] if self._ways else None

    def widen(self) -> None:
        self.widened += 1

    def lanes(self) -> list[Way]:
        return self._ways[1:]
