"""Listening sockets: every address family on one port.

Shell. asyncio would take another free port for each family when it is asked for port 0,
and one URL could then name only one of them.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

BACKLOG = 1_024  # connections that wait to be accepted; a reconnecting crowd after a restart


async def open_listeners(host: str | None, port: int) -> list[socket.socket]:
    """Return listening sockets for all addresses of ``host``, all on one port.

    Args:
        host: Name or address; None or empty: all interfaces, dual stack where there is IPv6.
        port: 0: a free port, the same for all.

    Raises:
        OSError: The name cannot be resolved, or an address or the port cannot be had.
    """
    if not host:
        return [_open_dual_stack(port)]
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may come with the same address twice.
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in infos))
    listeners: list[socket.socket] = []
    with _closed_on_error(listeners):
        for family, address in addresses:
            if not listeners or port:
                target = address
            else:
                target = (address[0], listeners[0].getsockname()[1], *address[2:])
            listeners.append(_open(family, target))
    return listeners


def _open_dual_stack(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        # IPv6 can be compiled in and switched off: then IPv4 alone will do, and an error
        # that concerns the port comes up again there.
        with contextlib.suppress(OSError):
            return _open(socket.AF_INET6, ("::", port), dual_stack=True)
    return _open(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - all interfaces is the default


def _open(family: int, address: tuple[object, ...], *, dual_stack: bool = False) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    with _closed_on_error([listener]):
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual_stack))
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _closed_on_error(sockets: list[socket.socket]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
