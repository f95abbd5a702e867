"""Packets to records and back, over a real DTLS connection in memory."""

import pytest

from rtcsend.datapath.records import MAX_INPUT, OUTPUT_SIZE, Records
from tests.datapath.dtls import connected

PACKET = 15_900  # bytes


@pytest.fixture
def ends() -> tuple[Records, Records]:
    """Two ends of a connection after its handshake."""
    one, other = connected()
    return Records(one), Records(other)


def seal(records: Records, packets: list[bytes]) -> bytes:
    return bytes(records.seal([(packet, 0, len(packet)) for packet in packets], len(packets[0])))


def opened(records: Records, sealed: bytes | bytearray | memoryview, size: int) -> list[bytes]:
    """Return the packets, of what one call takes each time."""
    packets = []
    step = MAX_INPUT // size * size
    for start in range(0, len(sealed), step):
        for joined, each in records.open(memoryview(sealed)[start : start + step], size):
            assert len(joined) % each == 0
            packets += [bytes(joined[at : at + each]) for at in range(0, len(joined), each)]
    return packets


def test_what_is_sealed_is_opened(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * 1_160 for number in range(40)]
    sealed = seal(one, packets)
    size = len(sealed) // len(packets)
    assert size > 1_160
    assert opened(other, sealed, size) == packets


def test_more_than_one_output_buffer_is_sealed_whole(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * PACKET for number in range(3 * OUTPUT_SIZE // PACKET)]
    sealed = seal(one, packets)
    assert len(sealed) > 2 * OUTPUT_SIZE
    size = len(sealed) // len(packets)
    assert size * len(packets) == len(sealed)
    assert opened(other, sealed, size) == packets
    assert one.pending() == b""


def test_a_forged_record_costs_itself(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * 1_160 for number in range(5)]
    sealed = bytearray(seal(one, packets))
    size = len(sealed) // len(packets)
    sealed[2 * size + 100] ^= 1
    assert opened(other, sealed, size) == packets[:2] + packets[3:]
    assert not other.closed


def test_packets_that_stand_together_are_sealed_one_by_one(ends: tuple[Records, Records]) -> None:
    one, other = ends
    joined = b"".join(bytes([number]) * 100 for number in range(6))
    sealed = one.seal([(joined, 100, 300), (b"x" * 100, 0, 100), (joined, 500, 600)], 100)
    expected = [joined[100:200], joined[200:300], b"x" * 100, joined[500:]]
    assert opened(other, sealed, len(sealed) // 4) == expected


def test_packets_of_several_sizes_are_opened_in_runs(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [b"a" * 50, b"b" * 50, b"c" * 60, b"d" * 50]
    sealed = b"".join(seal(one, [packet]) for packet in packets)
    runs = other.open(memoryview(sealed), len(sealed))
    assert [(bytes(joined), size) for joined, size in runs] == [
        (b"a" * 50 + b"b" * 50, 50),
        (b"c" * 60, 60),
        (b"d" * 50, 50),
    ]
