"""Stream resets that the other side asks for: its way of closing channels.

Pure. A reset takes effect when everything sent before it has come, so that no message is
overtaken by the end of its channel. What the application is told, and when the answers leave,
is the association's business.

A request, after its parameter header, is: its sequence number, 4 bytes; ours that it responds
to, 4 bytes; the sender's last TSN, 4 bytes; stream numbers, 2 bytes each.

Source: RFC 6525 §4.1, §4.4, §5.2.
"""

import struct
from typing import Final, NamedTuple

from rtcsend.datapath.sctp.serial import distance
from rtcsend.datapath.sctp.wire import ChunkType, Parameter, pack_chunk, pack_parameter

PERFORMED: Final = 1  # RFC 6525 §4.4
IN_PROGRESS: Final = 6  # RFC 6525 §4.4: ask again

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


def _answer(sequence: int, result: int) -> bytes:
    response = pack_parameter(Parameter.RECONFIGURATION_RESPONSE, _RESPONSE.pack(sequence, result))
    return pack_chunk(ChunkType.RE_CONFIG, 0, response)
