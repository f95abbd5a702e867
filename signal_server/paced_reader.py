"""How fast one connection is read: in small pieces, and no faster than its source may go on.

What it does: hands on what comes, a piece in one turn of the event loop; lets a connection rest
whose source has said too much. Then TCP holds the client back, and nobody is told or cut.
What it does not: know what a source may say; that is :mod:`signal_server.admission`.

A frame of six bytes costs as much as one of some hundred. So what one read of 256 KiB may bring
(40,000 pings) would take the server from everybody else for a fifth of a second, again and again.

Shell, thin. Place in the flow: between asyncio's transport and :mod:`signal_server.websocket`.
"""

import asyncio
from collections.abc import Callable

PIECE = 16_384  # bytes that are taken in one turn of the event loop
SMALL = 1_024  # bytes that are taken without asking whether the source may say more
UNITS = 64  # that are said before they are counted for the source; most say no more
UNIT = 1_024  # bytes that count as much as a frame


class PacedReader:
    """What one connection has sent, and has not been taken yet.

    Args:
        take: Takes a piece, and returns how many frames were in it.
        spend: Takes the units that were said, and returns for how many seconds to read no more.
    """

    __slots__ = ("_is_held", "_loop", "_said", "_spend", "_take", "_timer", "_transport", "_unread")

    def __init__(self, *, take: Callable[[bytes], int], spend: Callable[[int], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._spend = spend
        self._transport: asyncio.Transport
        self._said = 0
        self._unread = b""  # one read of the transport at most, as a rule
        self._is_held = False
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, transport: asyncio.Transport) -> None:
        """Read from ``transport``."""
        self._transport = transport

    def feed(self, data: bytes) -> None:
        """Take what came, now or later."""
        if self._timer is not None or self._is_held:
            self._unread += data  # what TLS had read already
        elif len(data) <= SMALL:
            wait = self._take_piece(data)
            if wait:
                self._rest(wait)
        else:
            self._unread = data
            self._go_on()

    def hold(self) -> None:
        """Take no more for the moment."""
        self._is_held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Take again."""
        self._is_held = False
        if self._timer is None:
            self._rest(0.0)

    def stop(self) -> None:
        """Forget what has not been taken: the connection is gone."""
        self._is_held, self._unread = True, b""
        self._take, self._spend = _take_nothing, _ask_nobody  # no cycle keeps the connection
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self, seconds: float) -> None:
        self._transport.pause_reading()
        self._timer = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if self._is_held:
            return
        wait = self._spend(0) if len(self._unread) > SMALL else 0.0
        if self._unread and not wait:
            piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
            wait = self._take_piece(piece)
        self._read_on_after(wait)

    def _take_piece(self, piece: bytes) -> float:
        """Take a piece, and return for how many seconds to read no more."""
        self._said += self._take(piece) + len(piece) // UNIT
        if self._said < UNITS:
            return 0.0
        said, self._said = self._said, 0
        return self._spend(said)

    def _read_on_after(self, wait: float) -> None:
        if self._is_held:  # by what was taken
            return
        if self._unread or wait:
            self._rest(wait)
        else:
            self._transport.resume_reading()


def _take_nothing(data: bytes) -> int:
    del data
    return 0


def _ask_nobody(units: int) -> float:
    del units
    return 0.0
