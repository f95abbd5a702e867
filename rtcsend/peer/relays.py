"""What is known of aioice's relayed transports, and their end.

A shell. An allocation is given back with a request that a dead server never answers; whoever
closes a connection waits for that no longer than CLOSE_TIMEOUT seconds, for all of them together.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aioice.ice import StunProtocol
from aioice.turn import TurnTransport

CLOSE_TIMEOUT: Final = 1.0  # seconds

_INNER: Final = "_TurnTransport__inner_protocol"
_CLOSING: Final = "_TurnTransport__close_task"


def is_relay(protocol: StunProtocol) -> bool:
    """Return whether a TURN server is between this protocol and the network."""
    return isinstance(protocol.transport, TurnTransport)


async def close_relays(protocols: Iterable[StunProtocol]) -> None:
    """Give the allocations back, side by side; in bounded time."""
    relays = [protocol for protocol in protocols if is_relay(protocol)]
    if not relays:
        return
    closing = [asyncio.create_task(protocol.close()) for protocol in relays]
    await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
    deleting: list[asyncio.Task[Any]] = [
        task
        for protocol in relays
        if (task := getattr(protocol.transport, _CLOSING)) is not None and not task.done()
    ]
    for task in deleting:
        task.cancel()  # which closes the connection to the server
    await asyncio.gather(*closing, *deleting, return_exceptions=True)
