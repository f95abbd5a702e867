"""A second of packets from this machine to itself, to see how fast a relay is.

It must harm nobody: a window that grows with what arrives, as TCP's does in its slow start,
and stops growing when packets are lost or come later than they could; never faster than
MAX_RATE, never more than MAX_BYTES, never longer than DURATION.

Pure; packets carry a token that is drawn for the burst, so that nobody else's are counted.
Place in the flow: inside :mod:`rtcsend.doctor.relaying`, once both ends can hear each other.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

PACKET: Final = 1_000  # bytes; with TURN, UDP and IP around it under every path's 1,200
MAX_RATE: Final = 4_000_000  # bytes a second; what a relay is asked for at most
MAX_BYTES: Final = 4_000_000  # bytes in all
DURATION: Final = 1.0  # seconds
DRAIN: Final = 0.5  # seconds to wait for the last ones
FIRST_WINDOW: Final = 10  # packets; RFC 6928
_TICK: Final = 0.01  # seconds between two looks; so many packets at MAX_RATE come at once
_TOKEN_SIZE: Final = 8  # bytes
_NUMBER: Final = struct.Struct("!I")
_LATE: Final = 0.03  # seconds over 1.25 times the fastest packet that show a queue
_REORDERING: Final = 16  # packets; one that so many have overtaken is lost
_SHRINK: Final = 0.7  # of the window after a loss; as CUBIC, RFC 9438 §4.6
_PATIENCE: Final = 0.5  # seconds over four round trips until a packet is lost: more than a queue
_BIN: Final = 0.05  # seconds
_BINS: Final = 6  # that the rate is of: the fastest 0.3 s, since the window has to open first
_FULL: Final = 0.9  # of MAX_RATE; more than that is the limit, not the relay


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured."""

    bytes_per_s: int
    limited: bool
    """By MAX_RATE: the relay may be faster."""
    lost: int
    """Packets that did not arrive."""
    sent: int
    """Packets."""


class Burst:
    """One burst.

    Args:
        entropy: Returns so many random bytes.
        now: Seconds; it begins.
    """

    def __init__(self, *, entropy: Callable[[int], bytes], now: float) -> None:
        self._token = entropy(_TOKEN_SIZE)
        self._started, self._now = now, now
        self._sent_at: dict[int, float] = {}  # in flight: number and time
        self._sent = self._lost = 0
        self._arrived = [0] * int((DURATION + DRAIN) / _BIN)  # packets in each bin
        self._window = float(FIRST_WINDOW)
        self._grows = True
        self._shrunk = now
        self._fastest = float("inf")

    @property
    def done(self) -> bool:
        """Whether it is over."""
        if self._sending:
            return False
        return not self._sent_at or self._now >= self._started + DURATION + DRAIN

    @property
    def _sending(self) -> bool:
        return self._now < self._started + DURATION and self._sent * PACKET < MAX_BYTES

    def receive_untrusted(self, data: bytes, *, now: float) -> None:
        """Take a payload; strangers', and what came twice, are passed over."""
        if len(data) != PACKET or not data.startswith(self._token):
            return
        (number,) = _NUMBER.unpack_from(data, _TOKEN_SIZE)
        sent_at = self._sent_at.pop(number, None)
        if sent_at is None:
            return
        self._now = max(self._now, now)
        bin_number = int((now - self._started) / _BIN)
        if bin_number < len(self._arrived):
            self._arrived[bin_number] += 1
        delay = now - sent_at
        self._fastest = min(self._fastest, delay)
        if delay > 1.25 * self._fastest + _LATE:
            self._grows = False
        if self._grows:
            self._window += 1
        self._give_up_before(number - _REORDERING)

    def packets_to_send(self, *, now: float) -> list[bytes]:
        """Return payloads to send now."""
        self._now = max(self._now, now)
        self._notice_silence()
        allowed = int((now - self._started + _TICK) * MAX_RATE / PACKET)
        packets = []
        while self._sending and len(self._sent_at) < int(self._window) and self._sent < allowed:
            self._sent_at[self._sent] = now
            packets.append((self._token + _NUMBER.pack(self._sent)).ljust(PACKET, b"\0"))
            self._sent += 1
        return packets

    def get_timer(self) -> float | None:
        """Return when to call :meth:`packets_to_send` next."""
        return None if self.done else self._now + _TICK

    def result(self) -> Speed:
        """Return the speed as far as it is known."""
        packets = max(
            sum(self._arrived[first : first + _BINS])
            for first in range(len(self._arrived) - _BINS + 1)
        )
        rate = packets * PACKET / (_BINS * _BIN)
        return Speed(
            bytes_per_s=int(min(rate, MAX_RATE)),
            limited=rate >= _FULL * MAX_RATE,
            lost=self._lost + len(self._sent_at),
            sent=self._sent,
        )

    def _give_up_before(self, number: int) -> None:
        """Take what was overtaken for lost: it fills the window no longer."""
        for lost in list(takewhile(lambda one: one < number, self._sent_at)):
            del self._sent_at[lost]
            self._on_loss()

    def _notice_silence(self) -> None:
        """Take for lost what is far behind the fastest; else a full window would wait for ever."""
        before = self._now - (4 * self._fastest + _PATIENCE)
        # They are in the order of their sending.
        for lost in list(takewhile(lambda one: self._sent_at[one] < before, self._sent_at)):
            del self._sent_at[lost]
            self._on_loss()

    def _on_loss(self) -> None:
        self._lost += 1
        self._grows = False
        # Those that are lost together count once: the next ones went out before it was known.
        if self._now >= self._shrunk + self._fastest:
            self._shrunk = self._now
            self._window = max(FIRST_WINDOW, self._window * _SHRINK)
