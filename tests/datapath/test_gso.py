"""The arithmetic of batches, the sorting of first bytes, and the bounds of the queue."""

import struct
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath import gso
from rtcsend.datapath.gso import SendQueue, Unsent


def unsent(
    size: int = 10, *, is_batch: bool = False, data: bytes | None = None, segment_size: int = 1_200
) -> Unsent:
    return Unsent(
        data=memoryview(bytes(size) if data is None else data),
        segment_size=segment_size,
        address=None,
        is_batch=is_batch,
    )


def test_a_call_has_no_more_segments_than_older_kernels_take() -> None:
    """Their UDP_MAX_SEGMENTS is 64: with more, all would be sent one by one there."""
    assert gso.batch_size(100) == 64 * 100


@given(st.integers(1, gso.MAX_SEGMENT_SIZE))
def test_a_batch_is_whole_segments_within_both_limits(segment_size: int) -> None:
    size = gso.batch_size(segment_size)
    assert size % segment_size == 0
    assert 1 <= size // segment_size <= gso.MAX_SEGMENTS
    assert size <= gso.MAX_BATCH or size == segment_size
    one_more = size + segment_size
    assert one_more > gso.MAX_BATCH or one_more // segment_size > gso.MAX_SEGMENTS


def test_the_control_message_has_a_native_uint16() -> None:
    assert gso.segment_control(1_200) == [(17, 103, struct.pack("=H", 1_200))]
    assert gso.segment_control(gso.MAX_SEGMENT_SIZE)[0][2] == b"\xff\xff"


GRO = struct.pack("=i", 1_200)


@pytest.mark.parametrize(
    ("control", "received", "size"),
    [
        ([], 3_000, 3_000),
        ([], 0, 1),
        ([(17, 104, GRO)], 3_000, 1_200),
        ([(1, 29, b"x" * 16), (17, 104, GRO)], 3_000, 1_200),
        ([(17, 103, GRO)], 3_000, 3_000),  # of another kind
        ([(41, 104, GRO)], 3_000, 3_000),  # of another level
        ([(17, 104, GRO[:3])], 3_000, 3_000),  # cut short
        ([(17, 104, struct.pack("=i", 0))], 3_000, 3_000),
        ([(17, 104, struct.pack("=i", -5))], 3_000, 3_000),
        ([(17, 104, GRO)], 700, 700),  # one datagram, shorter than it says
        ([(17, 104, GRO)], 0, 1),
    ],
)
def test_coalesced_size(control: list[tuple[int, int, bytes]], received: int, size: int) -> None:
    assert gso.coalesced_size(control, received=received) == size


@given(st.binary(max_size=80))
def test_runs_cover_all_segments_in_order_and_alternate(first_bytes: bytes) -> None:
    runs = list(gso.dtls_runs(bytearray(first_bytes)))
    assert list(chain.from_iterable(range(start, stop) for _, start, stop in runs)) == list(
        range(len(first_bytes))
    )
    for is_dtls, start, stop in runs:
        assert start < stop
        assert all((20 <= byte <= 63) is is_dtls for byte in first_bytes[start:stop])
    assert all(one[0] is not other[0] for one, other in pairwise(runs))


def test_runs_at_the_edges_of_the_dtls_range() -> None:
    assert list(gso.dtls_runs(bytes([19, 20, 63, 64]))) == [
        (False, 0, 1),
        (True, 1, 3),
        (False, 3, 4),
    ]


def test_datagrams_go_before_batches_each_lane_in_order() -> None:
    queue = SendQueue()
    entries = [unsent(number + 1, is_batch=number % 2 == 0) for number in range(6)]
    for entry in entries:
        queue.append(entry)
    assert queue.holds(batches=True)
    taken = [queue.pop() for _ in entries]
    assert taken == [*entries[1::2], *entries[0::2]]
    assert not queue
    assert queue.size == 0
    with pytest.raises(IndexError):
        queue.pop()


def test_what_is_put_back_is_next() -> None:
    queue = SendQueue()
    queue.append(unsent(10, is_batch=True))
    queue.append(unsent(20, is_batch=True))
    first = queue.pop()
    rest = unsent(4, is_batch=True)
    queue.put_back(rest)
    assert first != rest
    assert queue.pop() is rest
    assert queue.size == 20 + gso.ENTRY_COST


@pytest.mark.parametrize(
    ("is_batch", "bound"),
    [(True, gso.MAX_QUEUED_BATCHES), (False, gso.MAX_QUEUED_DATAGRAMS)],
)
@pytest.mark.parametrize("size", [1, 1_200, 65_000])
def test_each_lane_has_its_own_bound(size: int, is_batch: bool, bound: int) -> None:
    queue = SendQueue()
    while queue.fits(size, batch=is_batch):
        queue.append(unsent(size, is_batch=is_batch))
    assert bound - size - gso.ENTRY_COST < queue.size <= bound
    assert queue.fits(size, batch=not is_batch)
    queue.clear()
    assert not queue
    assert queue.size == 0
    assert queue.fits(size, batch=is_batch)


def test_the_marks_are_in_order() -> None:
    assert 0 < gso.LOW_WATER < gso.HIGH_WATER < gso.MAX_QUEUED_DATAGRAMS < gso.MAX_QUEUED_BATCHES


def test_a_run_is_of_one_size_from_one_address() -> None:
    run, here, there = gso.ReadRun(), ("192.0.2.1", 1), ("192.0.2.1", 2)
    assert not run.takes(1200, here)
    run.begin(1200, here)
    run.end += 1200
    assert run.takes(1200, here)
    assert not run.takes(1199, here)
    assert not run.takes(1200, there)
    run.end += 500  # the last of a coalesced buffer
    assert not run.takes(1200, here)
    run.begin(500, here)
    assert (run.start, run.end, run.segment_size) == (1700, 1700, 500)
    run.reset()
    assert (run.start, run.end, run.address) == (0, 0, None)
