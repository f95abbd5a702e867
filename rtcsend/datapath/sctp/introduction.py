"""The INIT of an association, told beforehand: what saves the handshake two round trips.

Pure. DTLS has vouched for both sides before the first packet, so a cookie proves nothing more.
Each side writes the INIT chunk that it would send into its sealed description; who has both is
established in the moment DTLS is. Source: draft-hancke-tsvwg-snap (SCTP Negotiation Acceleration
Protocol), here beside the SDP and not in it, since some implementations echo unknown attributes
(docs/transfer-protocol.md, section 15).
"""

from dataclasses import dataclass
from typing import Final

from rtcsend.datapath.sctp.handshake import own_init
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER
from rtcsend.datapath.sctp.wire import (
    CHUNK_HEADER,
    ChunkType,
    Init,
    pack_init,
    parse_init_untrusted,
)
from rtcsend.errors import PeerProtocolError

MAX_TAG: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an association is known by, before there is one.

    Args:
        tag: Our verification tag, random, 1 to MAX_TAG.
        initial_tsn: Of our first chunk, random.
    """

    tag: int
    initial_tsn: int

    def introduction(self) -> bytes:
        """Return the INIT chunk, which the other side is told."""
        init = own_init(tag=self.tag, initial_tsn=self.initial_tsn, a_rwnd=RECEIVE_BUFFER)
        return pack_init(ChunkType.INIT, init)


def parse_introduction_untrusted(chunk: bytes) -> Init:
    """Return what the other side's introduction says: one INIT chunk, and nothing behind it.

    Raises:
        PeerProtocolError: It is something else.
    """
    if len(chunk) < CHUNK_HEADER.size:
        raise PeerProtocolError("The other side's introduction is too short.")
    kind, _flags, length = CHUNK_HEADER.unpack_from(chunk)
    if kind != ChunkType.INIT or not length <= len(chunk) < length + CHUNK_HEADER.size:
        raise PeerProtocolError("The other side's introduction is no INIT.")
    return parse_init_untrusted(chunk[CHUNK_HEADER.size : length])
