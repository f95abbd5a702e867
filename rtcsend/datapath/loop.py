"""An event loop whose UDP endpoints are batched.

The seam through which the data path gets below aiortc without touching it: aioice asks the
running loop for its datagram endpoints, for host candidates and for TURN over UDP alike, so
a loop that makes :class:`~rtcsend.datapath.udp.BatchedDatagramTransport` is enough. What is
asked with more than addresses (zeroconf's and mDNS' own sockets, broadcast, shared ports)
gets what asyncio makes.

Place in the flow: ``asyncio.Runner(loop_factory=new_event_loop)`` around everything.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

from rtcsend.datapath.gso import Address
from rtcsend.datapath.udp import BatchedDatagramTransport

_ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)

_Host = tuple[str, int]
_Key = tuple[int, int]  # address family and protocol number
_Pair = tuple[Address | None, Address | None]  # local and remote


MAX_PORT = 65_535  # 16 bits; RFC 768


class DatagramBatchingLoop(asyncio.SelectorEventLoop):
    """asyncio's own selector loop, with batched UDP.

    Attributes:
        offload: Passed to the transports: False turns segmentation and coalescing off.
    """

    offload = True

    # asyncio's signature, whose optional arguments all go on to it unread.
    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], _ProtocolT],
        local_addr: _Host | str | None = None,
        remote_addr: _Host | str | None = None,
        **options: Any,
    ) -> tuple[asyncio.DatagramTransport, _ProtocolT]:
        """Make a UDP endpoint, batched where nothing but addresses is asked.

        Args:
            protocol_factory: Makes the protocol.
            local_addr: Where to bind.
            remote_addr: Where to connect.
            options: As asyncio takes them.

        Returns:
            The transport and the protocol, after ``connection_made``.

        Raises:
            OSError: A name does not resolve, or bind or connect fails.
            OverflowError: A port is over 65,535.
            ValueError: The two addresses have no family in common.
        """
        if any(options.values()) or not (
            (local_addr or remote_addr) and _is_simple(local_addr) and _is_simple(remote_addr)
        ):
            return await super().create_datagram_endpoint(
                protocol_factory, local_addr, remote_addr, **options
            )
        sock = await self._open_socket(local_addr, remote_addr)
        try:
            protocol = protocol_factory()
            waiter: asyncio.Future[None] = self.create_future()
            transport = BatchedDatagramTransport(
                self, sock, protocol, offload=self.offload, waiter=waiter
            )
        except BaseException:
            sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _open_socket(
        self, local_addr: _Host | None, remote_addr: _Host | None
    ) -> socket.socket:
        """Bind and connect a socket, in the first address family in which that works.

        Raises:
            OSError: The first error, if none works.
            ValueError: The two addresses have no family in common.
        """
        errors: list[OSError] = []
        for (family, proto), (local, remote) in await self._address_pairs(local_addr, remote_addr):
            sock = socket.socket(family, socket.SOCK_DGRAM, proto)
            try:
                if local is not None:
                    sock.bind(local)
                if remote is not None:
                    sock.connect(remote)  # never waits: UDP only notes the address
            except OSError as exc:
                sock.close()
                errors.append(exc)
            else:
                return sock
        if errors:
            raise errors[0]
        raise ValueError("can not get address information")

    async def _address_pairs(
        self, local_addr: _Host | None, remote_addr: _Host | None
    ) -> list[tuple[_Key, _Pair]]:
        """Resolve both addresses; keep the families that each given one has, in order."""
        locals_by_key = await self._resolve(local_addr)
        remotes_by_key = await self._resolve(remote_addr)
        keys = dict.fromkeys([*locals_by_key, *remotes_by_key])
        return [
            (key, (locals_by_key.get(key), remotes_by_key.get(key)))
            for key in keys
            if (local_addr is None or key in locals_by_key)
            and (remote_addr is None or key in remotes_by_key)
        ]

    async def _resolve(self, addr: _Host | None) -> dict[_Key, Address]:
        """Return the first address of each family; literals without asking anybody."""
        if addr is None:
            return {}
        host, port = addr
        if not 0 <= int(port) <= MAX_PORT:
            # getaddrinfo would take it modulo 65,536, and the endpoint reach somebody else.
            raise OverflowError("port must be 0-65535")
        try:
            infos = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            infos = await self.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        addresses: dict[_Key, Address] = {}
        for family, _, proto, _, address in infos:
            addresses.setdefault((family, proto), address)
        return addresses


def _is_simple(addr: _Host | str | None) -> TypeGuard[_Host | None]:
    """Tell host and port, or nothing, from the path of a UNIX socket and from mistakes."""
    return addr is None or (isinstance(addr, tuple) and len(addr) == len(("host", "port")))


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make the loop to run in, for ``asyncio.Runner(loop_factory=new_event_loop)``.

    On Windows that is asyncio's own, which is not of the selector kind.
    """
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    return DatagramBatchingLoop()
