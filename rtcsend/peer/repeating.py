"""Flights of a handshake, repeated: a timer around :class:`~rtcsend.peer.flight.Flight`.

A shell. It sees every datagram of the handshake, both ways, while :meth:`Repeater.run` runs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from rtcsend.peer.flight import Flight


class Repeater:
    """Repeats what one side has said last.

    Args:
        send: Sends a datagram.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._flight: Flight | None = None
        self._news = asyncio.Event()

    def on_sent(self, datagram: bytes) -> None:
        """Take a datagram that was sent by others."""
        if self._flight is not None:
            self._flight.on_sent(datagram, now=asyncio.get_running_loop().time())
            self._news.set()

    def on_heard(self, datagram: bytes) -> None:
        """Take a datagram of the other side's."""
        if self._flight is not None:
            self._flight.on_heard(datagram, now=asyncio.get_running_loop().time())
            self._news.set()

    async def run(self, rtt: float | None) -> None:
        """Repeat, until cancelled.

        Args:
            rtt: Seconds of a round trip; None: not known.
        """
        loop = asyncio.get_running_loop()
        flight = self._flight = Flight(rtt)
        try:
            while True:
                self._news.clear()
                for datagram in flight.datagrams_to_send(now=loop.time()):
                    with suppress(ConnectionError):  # no pair just now
                        await self._send(datagram)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(flight.get_timer()):
                        await self._news.wait()
        finally:
            self._flight = None
