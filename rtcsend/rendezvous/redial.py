"""Dialling while the network is away, so that the first moment of its return is used.

A connection attempt into a dead network is repeated by TCP after 1, 2, 4, 8 s: whoever waits for
one attempt may sit in the longest of these pauses when the network comes back. So here a
further attempt starts every second beside the ones before; a slow network still has time for the
first. And a socket that has died is missed after a few seconds, not after forty.

Place in the flow: how the client of a meeting dials. Source: RFC 6298 §5.5 (the pauses),
RFC 8305 §5 (attempts side by side).
"""

import asyncio
from functools import partial
from typing import Final

from rtcsend.rendezvous.websocket import Dial, Socket, SocketLost, SocketRefused, dial_websocket

STAGGER: Final = 1.0  # seconds between two attempts; TCP's own first repetition
MAX_ATTEMPTS: Final = 6  # side by side; a server sees no more of one client than a browser opens
MEETING_PING_INTERVAL: Final = 1.0  # seconds; only while nothing else keeps the two together
MEETING_PING_TIMEOUT: Final = 3.0  # seconds; five round trips by satellite


async def redial(url: str, *, proxied: bool = True) -> Socket:
    """Open a WebSocket as soon as that is possible; the caller has a deadline.

    Args:
        url: Of the server.
        proxied: Go through the proxy that is set, if one is.

    Raises:
        SocketRefused: It failed, in whatever way: the caller has its own pauses.
    """
    try:
        return await first_to_open(url, partial(_dial, proxied=proxied))
    except SocketLost as exc:
        raise SocketRefused(str(exc)) from exc


async def first_to_open(url: str, dial: Dial, *, stagger: float = STAGGER) -> Socket:
    """Return the first socket that opens, of attempts that start one after the other.

    Raises:
        SocketLost: An attempt failed so.
        SocketRefused: An attempt failed so.
    """
    attempts: list[asyncio.Task[Socket]] = []
    try:
        while True:
            if len(attempts) < MAX_ATTEMPTS:
                attempts.append(asyncio.create_task(_attempt(dial, url)))
            done, _ = await asyncio.wait(
                attempts, timeout=stagger, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in attempts:
                if attempt in done:
                    attempts.remove(attempt)
                    return attempt.result()
    finally:
        await _abandon(attempts)


async def _attempt(dial: Dial, url: str) -> Socket:
    return await dial(url)


async def _dial(url: str, *, proxied: bool) -> Socket:
    return await dial_websocket(
        url,
        ping_interval=MEETING_PING_INTERVAL,
        ping_timeout=MEETING_PING_TIMEOUT,
        proxied=proxied,
    )


async def _abandon(attempts: "list[asyncio.Task[Socket]]") -> None:
    """End what is still being opened, and close what has just been."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            await outcome.close()
