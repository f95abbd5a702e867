"""aiortc's association, with a bound on what a peer can do to it.

A shell around aiortc's own. As it comes, an ``assert``, a struct or a text that a peer has bent
ends aiortc's pump without a word, a parameter of no length keeps it busy for ever, and what
waits for its rest, or for a packet before it, has no bound. Here what is malformed ends nothing
but itself, as on our own path, and what breaks the rules ends the association and has a sentence.

It overrides private methods, and reads what :data:`NAMES` holds; see :func:`make_association`.
"""

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, Final

from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcsctptransport import RTCSctpTransport

from rtcsend.datapath.data_channel import MAX_MESSAGE_SIZE, PPID_STRING
from rtcsend.datapath.dcep import DATA_CHANNEL_ACK, PPID_DCEP, Answer, Openings
from rtcsend.datapath.sctp.serial import distance
from rtcsend.datapath.sctp.wire import PARAMETER_HEADER, Chunk, ChunkType, chunks_untrusted
from rtcsend.errors import PeerProtocolError

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiortc import RTCDtlsTransport
    from aiortc.rtcsctptransport import DataChunk

MAX_WAITING: Final = 48 << 20  # bytes of unfinished messages; plain aiortc sends past a window
MAX_MISORDERED: Final = 16_384  # chunks behind a gap; each one that comes sorts all of them
MAX_AHEAD: Final = 65_535  # TSNs; what a SACK has no number for (RFC 9260 §3.3.4)
_PARAMETERS_AT: Final[dict[int, int]] = {
    **dict.fromkeys((ChunkType.INIT, ChunkType.INIT_ACK), 16),
    **dict.fromkeys((ChunkType.HEARTBEAT, ChunkType.HEARTBEAT_ACK), 0),
    **dict.fromkeys((ChunkType.ABORT, ChunkType.ERROR, ChunkType.RE_CONFIG), 0),
}
"""Where the parameters of a chunk's value begin."""
NAMES: Final = (
    *("_advertised_rwnd", "_last_received_tsn", "_sack_misordered"),
    *("_data_channels", "_data_channel_queue"),
)
"""Private attributes of aiortc's association that are read here."""
METHODS: Final = ("_handle_data", "_receive_data_chunk", "_receive", "_data_channel_flush")
"""Its private methods that are overridden, or called."""

logger = logging.getLogger("rtcsend.datapath")


class _Over(Exception):
    """The association was ended in the midst of a packet."""


class GuardedAssociation(RTCSctpTransport):
    """An association of aiortc's that survives what comes.

    Args:
        dtls: Not yet connected.
        streams: Those of our own channels.

    Attributes:
        heard_at: When a packet last came, on the loop's clock; -inf before the first.
        breach: What the other side did against the rules, when that ended it.
        malformed: How many packets held something that made no sense.
    """

    def __init__(self, dtls: "RTCDtlsTransport", streams: "Collection[int]") -> None:
        super().__init__(dtls)
        self.heard_at = -math.inf
        self.breach: PeerProtocolError | None = None
        self.malformed = 0
        self._room = self._advertised_rwnd
        self._openings = Openings(streams)
        self.on("datachannel", _close)

    async def _handle_data(self, data: bytes) -> None:
        """Take a packet of the peer's."""
        if self.breach is not None:
            return
        self.heard_at = asyncio.get_running_loop().time()
        if any(map(_is_endless, chunks_untrusted(data))):
            self.malformed += 1
            return
        try:
            await super()._handle_data(data)
        except (ConnectionError, _Over):  # of aiortc's own transport; ours
            if self.breach is None:
                raise
        except Exception as exc:  # whatever it takes to end aiortc's pump
            self.malformed += 1
            logger.debug("a malformed packet: %s", type(exc).__name__)

    async def _receive_data_chunk(self, chunk: "DataChunk") -> None:
        """Take a DATA chunk, and see what waits because of it."""
        last = self._last_received_tsn
        ahead = MAX_AHEAD + 1 if last is None else distance(last, chunk.tsn)
        if ahead > MAX_AHEAD:
            return
        if len(self._sack_misordered) >= MAX_MISORDERED and ahead > 1:
            return  # not acknowledged: it comes again, behind what the others wait for
        await super()._receive_data_chunk(chunk)
        waiting = self._room - self._advertised_rwnd
        # A message has consecutive TSNs (RFC 9260 §6.9): without a gap one at most is unfinished.
        if waiting > MAX_MESSAGE_SIZE and not self._sack_misordered:
            await self._end("The other side sent a message that is too large.")
        elif waiting > MAX_WAITING:
            await self._end("The other side sent more than it was allowed to.")

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        """Take a whole message."""
        if len(data) > MAX_MESSAGE_SIZE:
            await self._end("The other side sent a message that is too large.")
        if pp_id == PPID_STRING:
            data = data.decode("utf-8", "replace").encode()
        if pp_id == PPID_DCEP and not await self._is_for_aiortc(stream_id, data):
            return
        await super()._receive(stream_id, pp_id, data)

    async def _is_for_aiortc(self, stream: int, data: bytes) -> bool:
        """Answer for our own channels; another one aiortc opens, and then it is closed."""
        answer = self._openings.receive_untrusted(stream, data)
        if answer is Answer.ACKNOWLEDGE and (channel := self._data_channels.get(stream)):
            self._data_channel_queue.append((channel, PPID_DCEP, DATA_CHANNEL_ACK))
            await self._data_channel_flush()
        return answer is Answer.CLOSE

    async def _end(self, sentence: str) -> None:
        """End the association because of the peer.

        Raises:
            _Over: Always: nothing more of the packet is taken.
        """
        self.breach = PeerProtocolError(sentence)
        await self.stop()
        raise _Over


def make_association(dtls: "RTCDtlsTransport", streams: "Collection[int]") -> RTCSctpTransport:
    """Return a guarded association; aiortc's own as it is, where it is no more the one we know."""
    known: Any = RTCSctpTransport.__init__.__code__.co_names
    if set(NAMES) <= set(known) and all(hasattr(RTCSctpTransport, name) for name in METHODS):
        return GuardedAssociation(dtls, streams)
    logger.warning("! aiortc's association is not guarded, since its names moved")
    return RTCSctpTransport(dtls)


def _is_endless(chunk: Chunk) -> bool:
    """Return whether aiortc would never come to the end of a chunk's parameters.

    It goes on by the length that a parameter claims, also where that is 0.
    """
    position = _PARAMETERS_AT.get(chunk.type)
    if position is None:
        return False
    while position + PARAMETER_HEADER.size <= len(chunk.value):
        _, length = PARAMETER_HEADER.unpack_from(chunk.value, position)
        if length == 0:
            return True
        position += length + (-length % 4)
    return False


def _close(channel: RTCDataChannel) -> None:
    channel.close()
