"""The sending half of :mod:`benchmarks.prototype`: chunks, the flight, and what a SACK changes."""

import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from google_crc32c import extend
from google_crc32c import value as checksum

PAYLOAD = 1_160  # bytes of a message in one packet
BURST = 48  # packets of one system call
LOW_WATER = 1 << 20  # bytes that are queued
MAX_WINDOW, FIRST_THRESHOLD = 4 << 20, 8 << 20  # bytes
TIMEOUT = 1.0  # seconds without a SACK until all is sent again
HALF, MASK = 1 << 31, 0xFFFF_FFFF  # of serial numbers
DATA = 0  # RFC 9260 §3.2
BINARY = 53  # RFC 8831 §8
DATA_HEAD, SACK_HEAD = struct.Struct("!BBHLHHL"), struct.Struct("!BBHLLHH")


class Wire(Protocol):
    """What is below: DTLS, and a socket that may be full."""

    blocked: bool

    def seal(self, packet: bytes) -> object:
        """Make a record of a packet."""
        ...

    def flush(self) -> None:
        """Send what was sealed."""
        ...


class Chunk:
    __slots__ = ("acked", "is_lost", "misses", "packet", "sent_at", "size", "tsn")

    def __init__(self, tsn: int, packet: bytes, size: int, now: float) -> None:
        self.tsn = tsn
        self.packet = packet
        self.size = size
        self.sent_at = now  # 0: sent again
        self.acked = False
        self.is_lost = False
        self.misses = 0


class Sending:
    """Our direction of the association.

    Args:
        wire: Below.
        head: Of each packet, without its checksum.
        loop: Has the timer.
        tsn: The first one.
        window: Bytes, to begin with.
        on_low: Is called when little is queued.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        head: bytes,
        loop: Any,
        tsn: int,
        window: int,
        on_low: Callable[[], object],
    ) -> None:
        self._wire, self._head, self._loop, self._on_low = wire, head, loop, on_low
        self._start = checksum(head + bytes(4))
        self.queued = 0
        self._queue: deque[bytes] = deque()
        self._current = b""
        self._position = 0
        self._sequence = 0
        self._tsn = tsn
        self._sent: deque[Chunk] = deque()
        self._lost = 0
        self._flight = 0
        self._window = window
        self._threshold = FIRST_THRESHOLD
        self._recover: int | None = None
        self._timer: Any = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def send(self, message: bytes) -> None:
        self._queue.append(message)
        self.queued += len(message)
        if self._flight < self._window:
            self.transmit()

    def transmit(self) -> None:
        if self._wire.blocked:
            return
        if self._lost:
            self._retransmit()
        now = time.monotonic()
        while self._flight < self._window and not self._wire.blocked:
            if not self._current:
                if not self._queue:
                    break
                self._current, self._position = self._queue.popleft(), 0
            before = self._position
            self._transmit_current(now)
            self.queued -= self._position - before
            if self._position >= len(self._current):
                self._current = b""
                self._sequence = (self._sequence + 1) & 0xFFFF
        if self._sent and self._timer is None:
            self._timer = self._loop.call_later(TIMEOUT, self._on_timeout)
        if self.queued <= LOW_WATER:
            self._on_low()

    def _transmit_current(self, now: float) -> None:
        message, position, tsn, count = self._current, self._position, self._tsn, 0
        head, start, seal, sent = self._head, self._start, self._wire.seal, self._sent
        length = len(message)
        while position < length and self._flight < self._window and not self._wire.blocked:
            end = min(position + PAYLOAD, length)
            size = end - position
            flags = (2 if position == 0 else 0) | (1 if end == length else 0)
            chunk = DATA_HEAD.pack(DATA, flags, 16 + size, tsn, 0, self._sequence, BINARY)
            body = chunk + message[position:end]
            if padding := -size & 3:
                body += bytes(padding)
            packet = head + struct.pack("<L", extend(start, body)) + body
            seal(packet)
            sent.append(Chunk(tsn, packet, size, now))
            self._flight += size
            tsn, position, count = (tsn + 1) & MASK, end, count + 1
            if count >= BURST or size < PAYLOAD:
                self._wire.flush()
                count = 0
        self._tsn, self._position = tsn, position
        if count:
            self._wire.flush()

    def _retransmit(self) -> None:
        count = 0
        for chunk in self._sent:
            if not self._lost or self._flight >= self._window:
                break
            if chunk.is_lost:
                chunk.is_lost, chunk.misses, chunk.sent_at = False, 0, 0.0
                self._lost -= 1
                self._flight += chunk.size
                self._wire.seal(chunk.packet)
                count += 1
                if count % BURST == 0:
                    self._wire.flush()
        if count % BURST:
            self._wire.flush()

    def _on_timeout(self) -> None:
        self._timer = None
        for chunk in self._sent:
            if not chunk.acked and not chunk.is_lost:
                chunk.is_lost = True
                self._lost += 1
        self._flight = 0
        self._threshold, self._window = max(self._window // 2, 4 * PAYLOAD), 8 * PAYLOAD
        self._recover = None
        self.transmit()

    def on_sack(self, packet: bytes) -> None:
        _, _, _, cumulative, _, count, _ = SACK_HEAD.unpack_from(packet, 12)
        was_full = self._flight + BURST * PAYLOAD >= self._window
        done = self._take_cumulative(cumulative)
        is_lossy = False
        if count:
            gaps = [struct.unpack_from("!HH", packet, 28 + 4 * each) for each in range(count)]
            more, is_lossy = self._take_gaps(cumulative, gaps)
            done += more
        if self._recover is not None:
            if (cumulative - self._recover) & MASK < HALF:
                self._recover = None
        elif is_lossy:
            self._threshold = self._window = max(self._window // 2, 4 * PAYLOAD)
            self._recover = (self._tsn - 1) & MASK
        elif done and was_full:
            in_slow_start = self._window <= self._threshold
            self._window += done if in_slow_start else PAYLOAD * done // self._window + 1
            self._window = min(self._window, MAX_WINDOW)
        if done and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self._sent:
                self._timer = self._loop.call_later(TIMEOUT, self._on_timeout)
        self.transmit()

    def _take_cumulative(self, cumulative: int) -> int:
        sent, done = self._sent, 0
        while sent and (cumulative - sent[0].tsn) & MASK < HALF:
            chunk = sent.popleft()
            if not chunk.acked:
                done += chunk.size
                if chunk.is_lost:
                    self._lost -= 1
                else:
                    self._flight -= chunk.size
        return done

    def _take_gaps(self, cumulative: int, gaps: list[tuple[Any, ...]]) -> tuple[int, bool]:
        done, is_lossy, block = 0, False, 0
        for chunk in self._sent:
            offset = (chunk.tsn - cumulative) & MASK
            if offset > gaps[-1][1]:
                break
            while offset > gaps[block][1]:
                block += 1
            if offset >= gaps[block][0]:
                done += self._take(chunk)
            elif not chunk.acked and not chunk.is_lost:
                chunk.misses += 1
                if chunk.misses >= 3 and (chunk.sent_at or chunk.misses > 20):
                    chunk.is_lost = is_lossy = True
                    self._lost += 1
                    self._flight -= chunk.size
        return done, is_lossy

    def _take(self, chunk: Chunk) -> int:
        if chunk.acked:
            return 0
        chunk.acked = True
        if chunk.is_lost:
            chunk.is_lost = False
            self._lost -= 1
        else:
            self._flight -= chunk.size
        return chunk.size
