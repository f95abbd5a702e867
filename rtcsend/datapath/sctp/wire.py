"""SCTP packets and chunks as bytes.

Pure. Only what an association over DTLS needs: one address, one path, port numbers that
mean nothing. Layouts: RFC 9260 §3; PAD: RFC 4820; RE-CONFIG: RFC 6525 §4; FORWARD-TSN:
RFC 3758 §3.2; zero checksum: RFC 9653 §4.

A packet is a common header and chunks:

- source port, 2 bytes; destination port, 2 bytes; verification tag, 4 bytes
- checksum, 4 bytes: CRC32c of the packet with zeros here, little-endian; or zero, when the
  other side has said that DTLS's own check is enough for it

A chunk is a type, flags and length (with these 4 bytes, without padding), and a value, padded
to 4 bytes.
"""

import enum
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from google_crc32c import extend as crc32c_extend
from google_crc32c import value as crc32c

from rtcsend.errors import PeerProtocolError

COMMON_HEADER: Final = struct.Struct("!HHL")
CHECKSUM: Final = struct.Struct("<L")
CHUNK_HEADER: Final = struct.Struct("!BBH")
DATA_HEADER: Final = struct.Struct("!BBHLHHL")
DATA_VALUE: Final = struct.Struct("!LHHL")  # of a DATA chunk: TSN, stream, sequence, PPID
SACK_HEADER: Final = struct.Struct("!BBHLLHH")
INIT_VALUE: Final = struct.Struct("!LLHHL")
PARAMETER_HEADER: Final = struct.Struct("!HH")
GAP_BLOCK: Final = struct.Struct("!HH")
U32: Final = struct.Struct("!L")

HEADER_SIZE: Final = 12  # bytes of the common header, checksum included
DATA_OVERHEAD: Final = HEADER_SIZE + DATA_HEADER.size
FLAGS_OFFSET: Final = HEADER_SIZE + 1  # of the first chunk, in a packet
MAX_GAP_BLOCKS: Final = 256  # in a SACK that we send; RFC 9260 §3.3.4 leaves it to the MTU
ZERO_CHECKSUM_DTLS: Final = 1  # error detection method: DTLS; RFC 9653 §4


class ChunkType(enum.IntEnum):
    """Chunk types. Source: RFC 9260 §3.2 and the IANA registry."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    RE_CONFIG = 130
    PAD = 132
    FORWARD_TSN = 192


class Parameter(enum.IntEnum):
    """Parameter types. Source: RFC 9260 §3.3.3 and the IANA registry."""

    HEARTBEAT_INFO = 1
    STATE_COOKIE = 7
    OUTGOING_RESET_REQUEST = 13
    INCOMING_RESET_REQUEST = 14
    RECONFIGURATION_RESPONSE = 16
    ZERO_CHECKSUM = 0x8001
    SUPPORTED_EXTENSIONS = 0x8008
    FORWARD_TSN_SUPPORTED = 0xC000


WORTH_A_VIEW: Final = 4_096  # bytes; a slice copies, and a view of less costs more than copying
FLAG_END: Final = 1  # last fragment; RFC 9260 §3.3.1
FLAG_BEGIN: Final = 2  # first fragment
FLAG_IMMEDIATE: Final = 8  # the I bit: a SACK is asked for at once; RFC 7053 §3
FLAG_TAG_REFLECTED: Final = 1  # of an ABORT: the T bit; RFC 9260 §3.3.7


Packets = tuple[bytes, int]
"""Packets of one size, joined, and that size in bytes."""


class Chunk(NamedTuple):
    """One chunk of a packet."""

    type: int
    flags: int
    value: bytes


Data = tuple[int, int, int, int, bytes]
"""A DATA chunk: TSN, flags, stream, PPID, payload. Plain, since there is one for each packet."""


class Sack(NamedTuple):
    """A SACK chunk."""

    cumulative_tsn: int
    a_rwnd: int
    gaps: tuple[tuple[int, int], ...]
    """Offsets from ``cumulative_tsn``, first and last of each block; disjoint, ascending."""
    duplicates: int


class Init(NamedTuple):
    """An INIT or INIT ACK chunk."""

    tag: int
    a_rwnd: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    parameters: tuple[tuple[int, bytes], ...]


def pack_chunk(chunk_type: int, flags: int, value: bytes) -> bytes:
    """Return a chunk, padded."""
    return CHUNK_HEADER.pack(chunk_type, flags, 4 + len(value)) + value + bytes(-len(value) % 4)


def pack_parameter(kind: int, value: bytes) -> bytes:
    """Return a parameter without padding.

    A chunk's length counts the padding between parameters, but not that of the last one:
    RFC 9260 §3.2.
    """
    return PARAMETER_HEADER.pack(kind, 4 + len(value)) + value


def pack_sack(
    cumulative_tsn: int, a_rwnd: int, gaps: list[tuple[int, int]], duplicates: list[int]
) -> bytes:
    """Return a SACK chunk. Source: RFC 9260 §3.3.4."""
    length = SACK_HEADER.size + 4 * (len(gaps) + len(duplicates))
    header = SACK_HEADER.pack(
        ChunkType.SACK, 0, length, cumulative_tsn, a_rwnd, len(gaps), len(duplicates)
    )
    blocks = b"".join(GAP_BLOCK.pack(first, last) for first, last in gaps)
    return header + blocks + b"".join(map(U32.pack, duplicates))


def pack_init(chunk_type: int, init: Init) -> bytes:
    """Return an INIT or INIT ACK chunk. Source: RFC 9260 §3.3.2, §3.3.3."""
    value = INIT_VALUE.pack(
        init.tag, init.a_rwnd, init.outbound_streams, init.inbound_streams, init.initial_tsn
    )
    for item in init.parameters:
        value += bytes(-len(value) % 4) + pack_parameter(*item)
    return pack_chunk(chunk_type, 0, value)


class Packer:
    """Puts the common header in front of chunks, for one direction of one association."""

    def __init__(self, *, source_port: int, destination_port: int, tag: int) -> None:
        self._header = COMMON_HEADER.pack(source_port, destination_port, tag)
        self._crc = crc32c(self._header + bytes(4))
        self.without_checksum = self._header + bytes(4)
        """The common header for a peer that needs no checksum."""

    def pack(self, chunks: bytes, *, zero_checksum: bool) -> bytes:
        """Return a packet with these chunks."""
        if zero_checksum:
            return self.without_checksum + chunks
        return self._header + CHECKSUM.pack(crc32c_extend(self._crc, chunks)) + chunks


def check_packet_untrusted(packet: bytes, *, tag: int, zero_checksum: bool) -> None:
    """Check length, verification tag and checksum; ports mean nothing over DTLS.

    Raises:
        PeerProtocolError: One is wrong: the packet is to be dropped.
    """
    if len(packet) < HEADER_SIZE + CHUNK_HEADER.size:
        raise PeerProtocolError("An SCTP packet is too short.")
    if U32.unpack_from(packet, 4)[0] != tag:
        raise PeerProtocolError("An SCTP packet has a wrong verification tag.")
    (checksum,) = CHECKSUM.unpack_from(packet, 8)
    if checksum == 0 and zero_checksum:
        return
    if crc32c_extend(crc32c(packet[:8] + bytes(4)), packet[HEADER_SIZE:]) != checksum:
        raise PeerProtocolError("An SCTP packet has a wrong checksum.")


def is_reflected_abort(packet: bytes) -> bool:
    """Whether a packet is an ABORT of one who knows no tag but the one that was sent to it.

    Its tag is to be compared with the other side's, not with ours. Source: RFC 9260 §8.5.1 B.
    """
    return (
        len(packet) >= HEADER_SIZE + CHUNK_HEADER.size
        and packet[HEADER_SIZE] == ChunkType.ABORT
        and bool(packet[FLAGS_OFFSET] & FLAG_TAG_REFLECTED)
    )


def chunks_untrusted(packet: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a packet, up to the first malformed one.

    Source: RFC 9260 §6.10: a receiver processes the chunks in order. A length that leaves the
    packet ends it, and nothing else: the rest cannot be found.
    """
    position, end = HEADER_SIZE, len(packet)
    while position + CHUNK_HEADER.size <= end:
        chunk_type, flags, length = CHUNK_HEADER.unpack_from(packet, position)
        if length < CHUNK_HEADER.size or position + length > end:
            return
        yield Chunk(chunk_type, flags, packet[position + CHUNK_HEADER.size : position + length])
        position += length + (-length % 4)


def parse_sack_untrusted(value: bytes) -> Sack:
    """Return a SACK from a chunk's value.

    Raises:
        PeerProtocolError: It is malformed, or its blocks are not disjoint.
    """
    if len(value) < SACK_HEADER.size - 4:
        raise PeerProtocolError("A SACK is too short.")
    cumulative_tsn, a_rwnd, gap_count, duplicates = struct.unpack_from("!LLHH", value)
    if len(value) < 12 + 4 * gap_count:
        raise PeerProtocolError("A SACK is too short for its blocks.")
    gaps = tuple(GAP_BLOCK.iter_unpack(value[12 : 12 + 4 * gap_count]))
    if not _are_ascending(gaps):
        # aiortc sorts by TSN as a number: around 2**32 that is not the order of the offsets.
        gaps = tuple(sorted(gaps))
        if not _are_ascending(gaps):
            raise PeerProtocolError("A SACK has blocks that contradict each other.")
    return Sack(cumulative_tsn, a_rwnd, gaps, duplicates)


def _are_ascending(gaps: tuple[tuple[int, int], ...]) -> bool:
    before = 0
    for first, last in gaps:
        if not before < first <= last:
            return False
        before = last
    return True


def parse_init_untrusted(value: bytes) -> Init:
    """Return an INIT or INIT ACK from a chunk's value.

    Raises:
        PeerProtocolError: It is malformed, or has impossible values (RFC 9260 §3.3.2).
    """
    if len(value) < INIT_VALUE.size:
        raise PeerProtocolError("An INIT is too short.")
    tag, a_rwnd, outbound_streams, inbound_streams, tsn = INIT_VALUE.unpack_from(value)
    parameters = tuple(parameters_untrusted(value[INIT_VALUE.size :]))
    init = Init(tag, a_rwnd, outbound_streams, inbound_streams, tsn, parameters)
    if not init.tag or not init.outbound_streams or not init.inbound_streams:
        raise PeerProtocolError("An INIT has a zero where none may be.")
    return init


def parameters_untrusted(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield parameters (type, value), up to the first malformed one."""
    position = 0
    while position + PARAMETER_HEADER.size <= len(data):
        kind, length = PARAMETER_HEADER.unpack_from(data, position)
        if length < PARAMETER_HEADER.size or position + length > len(data):
            return
        yield kind, data[position + PARAMETER_HEADER.size : position + length]
        position += length + (-length % 4)
