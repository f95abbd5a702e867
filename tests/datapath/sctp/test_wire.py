"""The SCTP codec: vectors, round trips, aiortc's opinion, hostile bytes."""

import contextlib
import json
import struct
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtcsctptransport as aiortc_sctp
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp.reset import InboundResets, StreamResets
from rtcsend.datapath.sctp.wire import (
    FLAG_IMMEDIATE,
    FLAG_TAG_REFLECTED,
    GAP_BLOCK,
    HEADER_SIZE,
    Chunk,
    ChunkType,
    Init,
    Packer,
    Parameter,
    check_packet_untrusted,
    chunks_untrusted,
    is_reflected_abort,
    pack_chunk,
    pack_init,
    pack_parameter,
    pack_sack,
    parameters_untrusted,
    parse_init_untrusted,
    parse_sack_untrusted,
)
from rtcsend.errors import PeerProtocolError

VECTORS_FILE = Path(__file__).parents[2] / "vectors" / "sctp.json"
VECTORS = {name: bytes.fromhex(text) for name, text in json.loads(VECTORS_FILE.read_text()).items()}
TAG = 0x01020304
INIT = Init(
    tag=0x0A0B0C0D,
    a_rwnd=0x00800000,
    outbound_streams=1024,
    inbound_streams=1024,
    initial_tsn=0xFFFFFFFE,
    parameters=(
        (Parameter.ZERO_CHECKSUM, bytes([0, 0, 0, 1])),
        (Parameter.SUPPORTED_EXTENSIONS, bytes([130, 192])),
        (Parameter.FORWARD_TSN_SUPPORTED, b""),
    ),
)
INIT_ACK = INIT._replace(parameters=(*INIT.parameters, (Parameter.STATE_COOKIE, b"cookie!")))
U32S = st.integers(0, 2**32 - 1)
U16S = st.integers(0, 2**16 - 1)


def packed(chunk: bytes, *, tag: int = TAG, zero_checksum: bool = False) -> bytes:
    packer = Packer(source_port=5000, destination_port=5000, tag=tag)
    return packer.pack(chunk, zero_checksum=zero_checksum)


def chunk_of(name: str) -> tuple[int, int, bytes]:
    (chunk, *_) = chunks_untrusted(VECTORS[name])
    return chunk


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_vectors_have_good_tags_and_checksums(name: str) -> None:
    tag = 0 if name == "init" else TAG
    check_packet_untrusted(VECTORS[name], tag=tag, zero_checksum="zero" in name)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("init", packed(pack_init(ChunkType.INIT, INIT), tag=0)),
        ("init_ack", packed(pack_init(ChunkType.INIT_ACK, INIT_ACK))),
        ("cookie_echo", packed(pack_chunk(ChunkType.COOKIE_ECHO, 0, b"cookie!"))),
        ("cookie_ack", packed(pack_chunk(ChunkType.COOKIE_ACK, 0, b""))),
        (
            "sack",
            packed(pack_sack(0xFFFFFFFE, 0x12345, [(2, 3), (5, 5)], [0xFFFFFFFD, 0xFFFFFFFE])),
        ),
        ("abort", packed(pack_chunk(ChunkType.ABORT, 0, b""))),
        ("abort_reflected", packed(pack_chunk(ChunkType.ABORT, FLAG_TAG_REFLECTED, b""))),
        ("shutdown_ack", packed(pack_chunk(ChunkType.SHUTDOWN_ACK, 0, b""))),
    ],
)
def test_we_write_the_vectors(name: str, made: bytes) -> None:
    assert made.hex(" ", 4) == VECTORS[name].hex(" ", 4)


def test_we_read_the_vectors() -> None:
    assert parse_init_untrusted(chunk_of("init")[2]) == INIT
    assert parse_init_untrusted(chunk_of("init_ack")[2]) == INIT_ACK
    sack = parse_sack_untrusted(chunk_of("sack")[2])
    assert sack == (0xFFFFFFFE, 0x12345, ((2, 3), (5, 5)), 2)
    kinds = [chunk.type for chunk in chunks_untrusted(VECTORS["padded_heartbeat"])]
    assert kinds == [ChunkType.HEARTBEAT, ChunkType.PAD]
    assert is_reflected_abort(VECTORS["abort_reflected"])
    assert not any(is_reflected_abort(VECTORS[name]) for name in set(VECTORS) - {"abort_reflected"})
    assert chunk_of("data_immediate")[1] == chunk_of("data")[1] | FLAG_IMMEDIATE
    resets = StreamResets(1)
    request = pack_parameter(Parameter.INCOMING_RESET_REQUEST, bytes([0, 0, 0, 11, 0, 1]))
    denied = resets.receive_untrusted(request, now=0.0)
    assert denied == [VECTORS["reconfig_denied"][HEADER_SIZE:]]
    ((kind, value),) = parameters_untrusted(chunk_of("reconfig_request")[2])
    assert kind == Parameter.OUTGOING_RESET_REQUEST
    theirs = InboundResets()
    assert theirs.receive_request_untrusted(value) is None
    answered = theirs.perform(0xFFFFFFFE)
    assert answered == (VECTORS["reconfig_response"][HEADER_SIZE:], (1, 2, 3))


@pytest.mark.parametrize("name", sorted(set(VECTORS) - {"data_zero_checksum"}))
def test_aiortc_reads_and_rewrites_the_vectors(name: str) -> None:
    source, destination, tag, chunks = aiortc_sctp.parse_packet(VECTORS[name])
    assert (source, destination, tag) == (5000, 5000, 0 if name == "init" else TAG)
    if name == "padded_heartbeat":
        chunks.append(_PaddingChunk())
    body = b"".join(bytes(chunk) for chunk in chunks)
    assert body.hex(" ", 4) == VECTORS[name][HEADER_SIZE:].hex(" ", 4)


class _PaddingChunk(aiortc_sctp.Chunk):
    """aiortc skips it."""

    def __init__(self) -> None:
        super().__init__(flags=0, body=bytes(8))

    type = 132


def test_aiortc_sees_the_same_values() -> None:
    parsed: dict[str, Any] = {
        name: aiortc_sctp.parse_packet(packet)[3][0]
        for name, packet in VECTORS.items()
        if "zero" not in name
    }
    assert parsed["data"].tsn == 0xFFFFFFFE
    assert (parsed["data"].stream_id, parsed["data"].stream_seq) == (7, 9)
    assert (parsed["data"].protocol, parsed["data"].user_data) == (51, b"hello")
    assert parsed["sack"].gaps == [(2, 3), (5, 5)]
    assert parsed["sack"].duplicates == [0xFFFFFFFD, 0xFFFFFFFE]
    assert (parsed["sack"].cumulative_tsn, parsed["sack"].advertised_rwnd) == (0xFFFFFFFE, 0x12345)
    assert parsed["init"].initiate_tag == INIT.tag
    assert parsed["init"].initial_tsn == INIT.initial_tsn
    assert parsed["init_ack"].params[-1] == (Parameter.STATE_COOKIE, b"cookie!")
    assert parsed["forward_tsn"].cumulative_tsn == 5
    assert parsed["forward_tsn"].streams == [(7, 9)]


PARAMETERS = st.lists(st.tuples(U16S, st.binary(max_size=40)), max_size=6)


INITS = st.builds(Init, U32S, U32S, U16S, U16S, U32S, PARAMETERS.map(tuple))


@given(INITS)
def test_init_round_trip(init: Init) -> None:
    (chunk,) = chunks_untrusted(bytes(HEADER_SIZE) + pack_init(ChunkType.INIT, init))
    if init.tag and init.outbound_streams and init.inbound_streams:
        assert parse_init_untrusted(chunk.value) == init
    else:
        with pytest.raises(PeerProtocolError):
            parse_init_untrusted(chunk.value)


@st.composite
def blocks(draw: st.DrawFn) -> list[tuple[int, int]]:
    edges = sorted(draw(st.sets(st.integers(1, 65_535), max_size=40)))
    return list(zip(edges[::2], edges[1::2], strict=False))


@given(U32S, U32S, blocks(), st.lists(U32S, max_size=16))
def test_sack_round_trip(
    tsn: int, a_rwnd: int, gaps: list[tuple[int, int]], duplicates: list[int]
) -> None:
    packet = bytes(HEADER_SIZE) + pack_sack(tsn, a_rwnd, gaps, duplicates)
    (chunk,) = chunks_untrusted(packet)
    assert parse_sack_untrusted(chunk.value) == (tsn, a_rwnd, tuple(gaps), len(duplicates))


@pytest.mark.parametrize(
    "gaps", [[(0, 1)], [(3, 2)], [(1, 5), (5, 6)], [(2, 4), (2, 4)], [(4, 6), (1, 5)]]
)
def test_sacks_with_odd_blocks_are_refused(gaps: list[tuple[int, int]]) -> None:
    value = bytes(8) + bytes([0, len(gaps), 0, 0]) + b"".join(GAP_BLOCK.pack(*gap) for gap in gaps)
    with pytest.raises(PeerProtocolError):
        parse_sack_untrusted(value)


def test_blocks_of_a_sack_are_put_in_order() -> None:
    # aiortc's come in the order of the TSNs as numbers, which is another one around 2**32.
    value = bytes.fromhex("fffffff0 00010000 0003 0000 0010 0012 0002 0003 0005 0005")
    assert parse_sack_untrusted(value).gaps == ((2, 3), (5, 5), (16, 18))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))))
def test_chunks_round_trip(chunks: list[tuple[int, int, bytes]]) -> None:
    packet = bytes(HEADER_SIZE) + b"".join(pack_chunk(*chunk) for chunk in chunks)
    assert list(chunks_untrusted(packet)) == chunks


@given(st.binary(max_size=200), st.booleans())
def test_checksums_are_checked(body: bytes, zero: bool) -> None:
    packet = packed(pack_chunk(ChunkType.HEARTBEAT, 0, body), zero_checksum=zero)
    check_packet_untrusted(packet, tag=TAG, zero_checksum=True)
    with pytest.raises(PeerProtocolError):
        check_packet_untrusted(packet, tag=TAG + 1, zero_checksum=True)
    if zero:
        with pytest.raises(PeerProtocolError):
            check_packet_untrusted(packet, tag=TAG, zero_checksum=False)


@given(st.binary(min_size=1, max_size=200), st.integers(0))
def test_a_flipped_bit_is_seen(body: bytes, bit: int) -> None:
    packet = bytearray(packed(pack_chunk(ChunkType.HEARTBEAT, 0, body)))
    bit %= 8 * len(packet)
    packet[bit // 8] ^= 1 << bit % 8
    if packet[8:12] == bytes(4):
        return
    with pytest.raises(PeerProtocolError):
        check_packet_untrusted(bytes(packet), tag=TAG, zero_checksum=True)


@pytest.mark.parametrize("length", range(4))
def test_what_is_shorter_than_its_own_header_ends_the_packet(length: int) -> None:
    """A length of 0 would be looked at for ever."""
    good = pack_chunk(ChunkType.HEARTBEAT, 0, b"good")
    bad = struct.pack("!BBH", ChunkType.DATA, 0, length) + bytes(8)
    found = list(islice(chunks_untrusted(bytes(HEADER_SIZE) + good + bad), 5))
    assert found == [Chunk(ChunkType.HEARTBEAT, 0, b"good")]
    parameters = pack_parameter(1, b"good") + struct.pack("!HH", 2, length) + bytes(8)
    assert list(islice(parameters_untrusted(parameters), 5)) == [(1, b"good")]


@given(st.binary(max_size=300))
def test_hostile_bytes_raise_only_the_documented_error(data: bytes) -> None:
    assert len(list(chunks_untrusted(data))) <= len(data) // 4
    assert len(list(parameters_untrusted(data))) <= len(data) // 4
    for parse in (parse_sack_untrusted, parse_init_untrusted):
        with contextlib.suppress(PeerProtocolError):
            parse(data)
    with contextlib.suppress(PeerProtocolError):
        check_packet_untrusted(data, tag=0, zero_checksum=True)
    is_reflected_abort(data)
    StreamResets(0).receive_untrusted(data, now=0.0)
    resets = InboundResets()
    resets.receive_request_untrusted(data)
    resets.perform(0)


def test_the_last_parameters_padding_is_not_counted() -> None:
    # RFC 9260 §3.2; the padding between parameters is.
    init = INIT._replace(parameters=((1, b"x"), (2, b"y")))
    chunk = pack_init(ChunkType.INIT, init)
    assert int.from_bytes(chunk[2:4], "big") == 4 + 16 + 8 + 5
    assert len(chunk) == 4 + 16 + 8 + 8
    assert pack_parameter(1, b"x") == b"\0\1\0\5x"
