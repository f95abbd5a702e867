"""What leaves together: equal packets, and not too many."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.batches import batches
from rtcsend.datapath.gso import ENTRY_COST, HIGH_WATER, SendQueue, Unsent
from rtcsend.datapath.records import OUTPUT_SIZE
from tests.fakes.sctp_link import Conditions, Pair
from tests.fakes.wide_open import WideOpen

LARGEST = 15_900  # bytes; a packet in the largest record
AROUND = 37  # bytes; what DTLS 1.2 with AES-GCM adds
MAX_DATAGRAM = 65_507  # bytes; what UDP carries over IPv4, segments or not


def made(packets: list[bytes], *, runs: bool = False) -> list[list[bytes]]:
    """Return the packets of each batch; neighbours of one size may stand together at first."""
    groups = [list(group) for _, group in groupby(packets, len)]
    joined = [(b"".join(group), len(group[0])) for group in groups]
    each = [(packet, len(packet)) for packet in packets]
    return [
        [data[at : at + size] for data, start, stop in parts for at in range(start, stop, size)]
        for parts, size in batches(joined if runs else each, around=AROUND)
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([3, 3, 3], [[3, 3, 3]]),
        ([3, 3, 2, 3, 3, 1], [[3, 3], [2], [3, 3], [1]]),
        ([1, 3], [[1], [3]]),
        ([3, 1, 1], [[3], [1, 1]]),
        ([LARGEST] * 6, [[LARGEST] * 4, [LARGEST] * 2]),
        ([40_000] * 2, [[40_000]] * 2),
    ],
)
def test_equal_packets_go_together(sizes: list[int], expected: list[list[int]]) -> None:
    packets = [bytes(size) for size in sizes]
    assert [[len(packet) for packet in batch] for batch in made(packets)] == expected


@given(st.lists(st.sampled_from([40, 1_160, 1_160, 1_160, LARGEST, LARGEST, LARGEST]), max_size=99))
def test_order_sizes_and_bounds(sizes: list[int]) -> None:
    packets = [index.to_bytes(2, "big") * (size // 2) for index, size in enumerate(sizes)]
    assert [packet for batch in made(packets) for packet in batch] == packets
    for batch in made(packets):
        assert len({len(packet) for packet in batch}) == 1
        assert sum(map(len, batch)) + AROUND * len(batch) <= MAX_DATAGRAM
    assert made(packets, runs=True) == made(packets), "it does not matter how they stood"


def test_a_sealed_batch_fits_into_the_output_of_dtls() -> None:
    assert MAX_DATAGRAM < OUTPUT_SIZE


@pytest.mark.parametrize("mtu", [1_500, 9_100, 65_000])
def test_what_leaves_at_once_finds_room_below(mtu: int) -> None:
    """Who asked for room, and got it, loses nothing for want of it, however full the window."""
    pair = Pair(1, Conditions(delay=0.0005, rate=1e9, mtu=mtu), controller=WideOpen)
    sender = pair.ends[0].association
    pair.run(5.0)
    for _ in range(160):
        sender.send(1, 53, bytes(65_536))
    packets = sender.batches_to_send(now=pair.now)
    sent = sum(len(data) for data, _ in packets)
    assert sent >= 256 << 10, "nothing held it back"
    queue = SendQueue()
    _queue(queue, HIGH_WATER - ENTRY_COST, 1_000)
    for parts, size in batches(packets, around=AROUND):
        count = sum((stop - start) // size for _, start, stop in parts)
        sealed = count * (size + AROUND)
        assert queue.fits(sealed, batch=True), sent
        _queue(queue, sealed, size)


def _queue(queue: SendQueue, size: int, segment: int) -> None:
    data = memoryview(bytes(size))
    queue.append(Unsent(data=data, segment_size=segment, address=None, is_batch=True))
