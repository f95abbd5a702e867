"""One allocation of a TURN server, by aioice's client.

A shell. aioice's own function connects by name only, cannot say whose certificate it expects, and
waits half a second before it asks by UDP again. Sources: RFC 8656 §7; RFC 8305 (two addresses).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from aioice import Candidate, stun
from aioice.ice import StunProtocol
from aioice.turn import TurnTransport

from rtcsend.peer.ice_servers import TurnServer
from rtcsend.peer.priorities import priority, relay_preference
from rtcsend.peer.turn_client import TurnTcpClient, TurnUdpClient, result_of
from rtcsend.proxy.settings import Proxy
from rtcsend.proxy.tunnel import create_connection, maybe_proxy
from rtcsend.resolving import Address, address_of_each_family
from rtcsend.tasks import cancel_all
from rtcsend.trace import Step, Where, attempt

ADDRESS_STAGGER: Final = 0.1  # seconds before the address of the other family is tried as well
stun.RETRY_RTO = 0.2  # seconds; aioice's clients read it each time. 500 ms is too long to lose

MakeProtocol = Callable[[], StunProtocol]
_T = TypeVar("_T")
_Client = TurnTcpClient | TurnUdpClient


async def allocate(
    server: TurnServer,
    make_protocol: MakeProtocol,
    *,
    place: int,
    hide_address: bool,
    may_ask: asyncio.Event | None = None,
) -> StunProtocol:
    """Return a protocol over a new relayed address, with its candidate.

    Args:
        server: One way to one machine.
        make_protocol: Makes aioice's protocol, which gets what is relayed.
        place: Of the server among others, for its priority.
        hide_address: Do not name the address under which the server sees this machine.
        may_ask: Connect at once, but ask for no address before this is set; None: ask.

    Raises:
        OSError: The server is not reached (``ssl.SSLError`` is one).
        aioice.stun.TransactionError: It gives none.
    """
    where = Where(server.host, server.port)
    with attempt(Step.GATHER, result_of, kind="turn", protocol=server.protocol, server=where):
        protocol = await _reach(server, make_protocol, may_ask)
    relayed: Address = protocol.transport.get_extra_info("sockname")
    related: Address = protocol.transport.get_extra_info("related_address")
    if hide_address:  # RFC 9429 §3.5.3, in the form of RFC 8839 §5.1
        related = ("::", 9) if ":" in relayed[0] else ("0.0.0.0", 9)  # noqa: S104 - says nothing
    protocol.local_candidate = Candidate(
        foundation=f"relay{server.protocol}{place}",
        component=1,
        transport="udp",
        priority=priority("relay", relay_preference(server.protocol, place)),
        host=relayed[0],
        port=relayed[1],
        type="relay",
        related_address=related[0],
        related_port=related[1],
    )
    return protocol


async def _reach(
    server: TurnServer, make_protocol: MakeProtocol, may_ask: asyncio.Event | None
) -> StunProtocol:
    """Return a protocol by the first of the server's addresses, or by the proxy to it."""
    proxy = None
    if server.protocol != "udp":
        secure = server.protocol == "tls"
        proxy = maybe_proxy(server.host, server.port, secure=secure, purpose="turn")
    if proxy is not None:  # it looks the name up
        return await _allocate(server, (server.host, server.port), make_protocol, may_ask, proxy)
    addresses = await address_of_each_family(server.host, server.port)
    return await first_success(
        [partial(_allocate, server, address, make_protocol, may_ask) for address in addresses]
    )


async def _allocate(
    server: TurnServer,
    address: Address,
    make_protocol: MakeProtocol,
    may_ask: asyncio.Event | None,
    proxy: Proxy | None = None,
) -> StunProtocol:
    client = await _connect(server, address, proxy)
    protocol = make_protocol()
    relay = TurnTransport(client)
    try:
        if may_ask is not None:
            await may_ask.wait()
        await relay._connect(protocol)
    except BaseException:
        _forget(client)
        raise
    return protocol


def _forget(client: _Client) -> None:
    """Close the connection to a server, and give back what it may just be about to give.

    By TCP and TLS the end of the connection says that. Nobody waits for the answer, since the
    server may be one that never answers.
    """
    if client.integrity_key is not None and isinstance(client, TurnUdpClient):
        request = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        request.attributes = {
            "LIFETIME": 0,
            "USERNAME": client.username,
            "NONCE": client.nonce,
            "REALM": client.realm,
        }
        request.add_message_integrity(client.integrity_key)
        client.send_stun(request, client.server)
    client.transport.close()


async def _connect(server: TurnServer, address: Address, proxy: Proxy | None) -> _Client:
    terms = {"username": server.username, "password": server.credential}
    if server.protocol == "udp":
        loop = asyncio.get_running_loop()
        _, by_udp = await loop.create_datagram_endpoint(
            lambda: TurnUdpClient(address, **terms), remote_addr=address
        )
        return by_udp
    _, by_stream = await create_connection(
        lambda: TurnTcpClient(address, **terms),
        *address,
        ssl=server.protocol == "tls",
        server_hostname=server.host,
        proxy=proxy,
    )
    return by_stream


async def first_success(starts: Sequence[Callable[[], Coroutine[Any, Any, _T]]]) -> _T:
    """Start one after the other, and return the first result; the others are cancelled.

    The next is started after ADDRESS_STAGGER seconds, or as soon as one has failed.

    Raises:
        Exception: What the last of them raised, when all have failed.
    """
    tasks: list[asyncio.Task[_T]] = []
    waiting = list(starts)
    try:
        while True:
            if waiting:
                tasks.append(asyncio.create_task(waiting.pop(0)()))
            done, pending = await asyncio.wait(
                [task for task in tasks if not task.done()],
                timeout=ADDRESS_STAGGER if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                if task.exception() is None:
                    return task.result()
                if not waiting and not pending:
                    return task.result()
    finally:
        await cancel_all([task for task in tasks if not task.done()])
