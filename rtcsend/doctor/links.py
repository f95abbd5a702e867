"""Sockets and connections for the machines, and the loop that drives a machine over them.

A UDP link is one unconnected socket; a stream link is a TCP or TLS connection, taken apart
into messages. What a link cannot send is lost, as any packet may be.

Shell. Place in the flow: between :mod:`rtcsend.doctor.probing`'s machines and the network.
"""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Final, Protocol, Self

from rtcsend.datapath.turn_frames import FrameReader
from rtcsend.datapath.udp_socket import allow_fragmentation
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.probing import Machine, Outgoing
from rtcsend.errors import PeerProtocolError
from rtcsend.proxy.settings import Proxy
from rtcsend.proxy.tunnel import open_connection
from rtcsend.tasks import cancel_all

MAX_DATAGRAM: Final = 2_048  # bytes; nothing that is waited for is larger
_BLOCK: Final = 65_536  # bytes read of a stream at once
_PAUSE: Final = 0.01  # seconds after an error of a socket that may come again at once
_RECEIVE_BUFFER: Final = 1 << 20  # bytes; a quarter of a second of a burst

WHOLE_DATAGRAMS: Final = sys.platform in ("linux", "darwin")
"""Whether nobody cuts what is sent by a link that is opened with ``whole``."""

Take = Callable[[bytes, Endpoint | None], None]


class Link(Protocol):
    """A socket or a connection."""

    def send(self, out: Outgoing) -> None:
        """Send now, or lose it."""
        ...

    async def receive(self, take: Take) -> None:
        """Pass on what comes, until cancelled; return when nothing more can come."""
        ...


class UdpLink:
    """A UDP socket.

    Args:
        sock: Bound, not blocking; stays its owner's.
        server: Where to send what names no address, and then the only one to hear.
    """

    def __init__(self, sock: socket.socket, *, server: Endpoint | None = None) -> None:
        self._sock, self._server = sock, server

    @property
    def port(self) -> int:
        """The one that it is bound to."""
        port: int = self._sock.getsockname()[1]
        return port

    def send(self, out: Outgoing) -> None:
        """Send now, or lose it."""
        to = out.to or self._server
        assert to is not None, "either of the two says where"
        with suppress(OSError):  # too large, no route, or no room for it
            self._sock.sendto(out.data, to)

    async def receive(self, take: Take) -> None:
        """Pass on what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, source = await loop.sock_recvfrom(self._sock, MAX_DATAGRAM)
            except OSError:
                # Windows tells here that an earlier datagram was not wanted.
                await asyncio.sleep(_PAUSE)
                continue
            endpoint = source[0].partition("%")[0], source[1]
            if self._server in (None, endpoint):
                take(data, endpoint)


class StreamLink:
    """A TCP or TLS connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, out: Outgoing) -> None:
        """Send now; a connection that is gone is noticed by reading."""
        if not self._writer.is_closing():
            self._writer.write(out.data)

    async def receive(self, take: Take) -> None:
        """Pass on what comes, until the end of the connection or of its sense."""
        frames = FrameReader()
        with suppress(OSError, PeerProtocolError):
            while block := await self._reader.read(_BLOCK):
                for frame in frames.receive_untrusted(block):
                    take(frame, None)


@contextmanager
def udp_link(
    family: socket.AddressFamily, *, server: Endpoint | None = None, whole: bool = False
) -> Iterator[UdpLink]:
    """Open a UDP socket at a port that the system chooses.

    Args:
        family: Of IP.
        server: Where to send what names no address, and the only one to hear.
        whole: Let nobody cut its datagrams.

    Raises:
        OSError: There is none of this family.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if whole:
            allow_fragmentation(sock, allowed=False)
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - asks only
        yield UdpLink(sock, server=server)


@asynccontextmanager
async def stream_link(
    endpoint: Endpoint,
    *,
    server_name: str,
    tls: ssl.SSLContext | None,
    patience: float,
    proxy: Proxy | None = None,
) -> AsyncIterator[StreamLink]:
    """Connect by TCP, or by TLS.

    Args:
        endpoint: Where to.
        server_name: Whose certificate it has to be.
        tls: None: TCP alone.
        patience: Seconds that TCP and TLS may take together.
        proxy: Through which; None: directly.

    Raises:
        OSError: It does not connect; ``ssl.SSLError`` and ``TimeoutError`` are.
    """
    async with asyncio.timeout(patience):
        reader, writer = await open_connection(
            *endpoint, ssl=tls, server_hostname=server_name, proxy=proxy
        )
    try:
        yield StreamLink(reader, writer)
    finally:
        # Nothing that is still to be sent matters: what had to be given back was answered.
        writer.transport.abort()


class Driver:
    """Drives one machine over its links, while it is entered.

    Args:
        machine: Whose places are the links, by number.
        links: Open; there can be more later.
    """

    def __init__(self, machine: Machine, links: Sequence[Link]) -> None:
        self._machine = machine
        self._links: list[Link] = []
        self._readers: list[asyncio.Task[None]] = []
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for link in links:
            self._add(link)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await cancel_all(self._readers)

    @asynccontextmanager
    async def with_link(self, link: Link) -> AsyncIterator[None]:
        """Have another place for a while; it is no longer read when its socket is closed."""
        reader = self._add(link)
        try:
            yield
        finally:
            self._readers.remove(reader)
            await cancel_all([reader])

    def wake(self) -> None:
        """Look at the machine again: somebody has told it something."""
        self._woken.set()

    def flush(self) -> None:
        """Send what the machine has to send now."""
        for out in self._machine.to_send(now=self._loop.time()):
            if out.place < len(self._links):
                self._links[out.place].send(out)

    async def run(self, until: Callable[[], bool]) -> bool:
        """Drive until a condition holds; return False when a connection has ended before."""
        while not until():
            if any(reader.done() for reader in self._readers):
                return False
            self._woken.clear()
            self.flush()
            if until():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._machine.get_timer()):
                    await self._woken.wait()
        return True

    def _add(self, link: Link) -> asyncio.Task[None]:
        place = len(self._links)

        def take(data: bytes, source: Endpoint | None) -> None:
            self._machine.receive_untrusted(data, place=place, source=source, now=self._loop.time())
            self._woken.set()

        reader = self._loop.create_task(self._read(link, take))
        self._links.append(link)
        self._readers.append(reader)
        return reader

    async def _read(self, link: Link, take: Take) -> None:
        await link.receive(take)
        self._woken.set()
