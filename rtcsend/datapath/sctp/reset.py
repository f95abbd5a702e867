"""Stream resets, the way of closing channels: those that the other side asks for, and ours.

Pure. Each side asks for its own outgoing streams; what else RFC 6525 has (to reset the other
side's, to start all numbers anew, to add streams) is not for DataChannels, and denied. A reset
takes effect when everything sent before it has come, so that no message is overtaken by the end
of its channel. What the application is told, and when the chunks leave, is the association's
business.

A request, after its parameter header, is: its sequence number, 4 bytes; the other side's that
it responds to, 4 bytes; the sender's last TSN, 4 bytes; stream numbers, 2 bytes each.

Source: RFC 6525 §4.1, §4.4, §5.1, §5.2; RFC 8831 §6.7.
"""

import struct
from itertools import islice
from typing import Final, NamedTuple

from rtcsend.datapath.sctp.serial import add, distance
from rtcsend.datapath.sctp.wire import (
    U32,
    ChunkType,
    Parameter,
    pack_chunk,
    pack_parameter,
    parameters_untrusted,
)

PERFORMED: Final = 1  # RFC 6525 §4.4
DENIED: Final = 2  # RFC 6525 §4.4
IN_PROGRESS: Final = 6  # RFC 6525 §4.4: ask again
MAX_PARAMETERS: Final = 2  # of one chunk; RFC 6525 §3.1
MAX_STREAMS: Final = 500  # of one request of ours, so that it fits into any packet
MAX_INTERVAL: Final = 10.0  # seconds between repetitions, which double; as for the RTO

_MAX_DOUBLINGS: Final = 10  # beyond which MAX_INTERVAL is reached from any RTO
_REQUEST: Final = struct.Struct("!LLL")
_STREAM: Final = struct.Struct("!H")
_RESPONSE: Final = struct.Struct("!LL")


class _Request(NamedTuple):
    sequence: int
    last_tsn: int
    streams: tuple[int, ...]


class InboundResets:
    """Requests of the other side; it has one under way at a time (RFC 6525 §5.1.1)."""

    def __init__(self) -> None:
        self._performed: int | None = None
        self._pending: _Request | None = None

    @property
    def last_sequence(self) -> int | None:
        """The number of the last request that was performed, None before the first."""
        return self._performed

    @property
    def is_pending(self) -> bool:
        """Whether there is a request that was not yet performed."""
        return self._pending is not None

    def receive_request_untrusted(self, value: bytes) -> bytes | None:
        """Take a request; return the chunk that answers it already, if any.

        One that is too short is ignored. One that has to wait is answered when it is repeated.
        """
        if len(value) < _REQUEST.size:
            return None
        sequence, _, last_tsn = _REQUEST.unpack_from(value)
        if sequence == self._performed:
            return _answer(sequence, PERFORMED)  # our answer was lost; the reset stands
        if self._pending is not None and sequence == self._pending.sequence:
            return _answer(sequence, IN_PROGRESS)
        if self._performed is not None and distance(self._performed, sequence) < 0:
            return None  # it was late on its way: done, and answered, long ago
        body = value[_REQUEST.size : len(value) & ~1]
        streams = tuple(stream for (stream,) in _STREAM.iter_unpack(body))
        self._pending = _Request(sequence, last_tsn, streams)
        return None

    def perform(self, cumulative_tsn: int) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the answer to the request and its streams, when its time has come."""
        request = self._pending
        if request is None or distance(cumulative_tsn, request.last_tsn) > 0:
            return None
        self._pending = None
        self._performed = request.sequence
        return _answer(request.sequence, PERFORMED), request.streams


class OutboundResets:
    """Our own requests: one under way at a time, repeated until the other side has answered.

    Args:
        initial_sequence: Our first TSN (RFC 6525 §4.1).
    """

    def __init__(self, initial_sequence: int) -> None:
        self._sequence = initial_sequence
        self._waiting: dict[int, None] = {}  # in order
        self._under_way = b""
        self._tries = 0
        self._next_at: float | None = None

    def add(self, stream: int, *, now: float) -> None:
        """Ask for a stream, which nothing more is sent on."""
        self._waiting[stream] = None
        if not self._under_way:
            self._next_at = now

    def get_timer(self) -> float | None:
        """Return when to call :meth:`chunk_to_send`."""
        return self._next_at

    def chunk_to_send(
        self, *, last_tsn: int, their_sequence: int, rto: float, now: float
    ) -> bytes | None:
        """Return the request that is due, None when there is none.

        Args:
            last_tsn: The last that was given to a chunk; all before it comes first.
            their_sequence: The number of the other side's last request.
            rto: Seconds until it is sent again, the first time.
            now: Seconds.
        """
        if self._next_at is None or now < self._next_at:
            return None
        if not self._under_way:
            streams = list(self._waiting)[:MAX_STREAMS]
            for stream in streams:
                del self._waiting[stream]
            body = b"".join(map(_STREAM.pack, streams))
            self._under_way = _REQUEST.pack(self._sequence, their_sequence, last_tsn) + body
            self._tries = 0
        self._next_at = now + min(rto * 2**self._tries, MAX_INTERVAL)
        self._tries = min(self._tries + 1, _MAX_DOUBLINGS)
        request = pack_parameter(Parameter.OUTGOING_RESET_REQUEST, self._under_way)
        return pack_chunk(ChunkType.RE_CONFIG, 0, request)

    def receive_response_untrusted(self, value: bytes, *, now: float) -> None:
        """Take an answer. A refusal ends a request as well: nothing else can be done."""
        if len(value) < _RESPONSE.size or not self._under_way:
            return
        sequence, result = _RESPONSE.unpack_from(value)
        if sequence == self._sequence and result != IN_PROGRESS:
            self._sequence = add(sequence, 1)
            self._under_way = b""
            self._next_at = now if self._waiting else None


class StreamResets:
    """Both directions, as the association sees them.

    Args:
        initial_sequence: Our first TSN (RFC 6525 §4.1).
    """

    def __init__(self, initial_sequence: int) -> None:
        self._theirs = InboundResets()
        self._ours = OutboundResets(initial_sequence)
        self._before_first = 0
        self._is_supported = False

    def open(self, *, their_initial_sequence: int, is_supported: bool) -> None:
        """The association is established.

        Args:
            their_initial_sequence: The other side's first TSN.
            is_supported: It answers requests.
        """
        self._before_first = add(their_initial_sequence, -1)
        self._is_supported = is_supported

    @property
    def is_pending(self) -> bool:
        """Whether the other side's request may be performed now: see :meth:`perform`."""
        return self._theirs.is_pending

    def ask_for(self, stream: int, *, now: float) -> None:
        """End a stream of ours, which nothing more is sent on."""
        if self._is_supported:
            self._ours.add(stream, now=now)

    def receive_untrusted(self, value: bytes, *, now: float) -> list[bytes]:
        """Take the value of a RE-CONFIG chunk; return the chunks that answer it already."""
        answers: list[bytes] = []
        for kind, parameter in islice(parameters_untrusted(value), MAX_PARAMETERS):
            answer = None
            if kind == Parameter.RECONFIGURATION_RESPONSE:
                self._ours.receive_response_untrusted(parameter, now=now)
            elif kind == Parameter.OUTGOING_RESET_REQUEST:
                answer = self._theirs.receive_request_untrusted(parameter)
            elif len(parameter) >= U32.size:
                answer = _answer(U32.unpack_from(parameter)[0], DENIED)
            if answer is not None:
                answers.append(answer)
        return answers

    def perform(self, cumulative_tsn: int) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the answer to their request and its streams, when its time has come."""
        return self._theirs.perform(cumulative_tsn)

    def get_timer(self) -> float | None:
        """Return when to call :meth:`chunk_to_send`."""
        return self._ours.get_timer()

    def chunk_to_send(self, *, last_tsn: int, rto: float, now: float) -> bytes | None:
        """Return our request that is due; see :meth:`OutboundResets.chunk_to_send`."""
        last = self._theirs.last_sequence
        # RFC 6525 §4.1: before their first request, the number before it.
        theirs = self._before_first if last is None else last
        return self._ours.chunk_to_send(last_tsn=last_tsn, their_sequence=theirs, rto=rto, now=now)


def _answer(sequence: int, result: int) -> bytes:
    response = pack_parameter(Parameter.RECONFIGURATION_RESPONSE, _RESPONSE.pack(sequence, result))
    return pack_chunk(ChunkType.RE_CONFIG, 0, response)
