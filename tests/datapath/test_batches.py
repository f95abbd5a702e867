"""What leaves together: equal packets, and not too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.batched import MAX_BATCH, batches
from rtcsend.datapath.records import OUTPUT_SIZE
from rtcsend.datapath.sctp.pmtud import BASE_PLPMTU

LARGEST = 15_900  # bytes; a packet in the largest record


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([3, 3, 3], [[3, 3, 3]]),
        ([3, 3, 2, 3, 3, 1], [[3, 3], [2], [3, 3], [1]]),
        ([1, 3], [[1], [3]]),
        ([3, 1, 1], [[3], [1, 1]]),
        ([MAX_BATCH + 1] * 2, [[MAX_BATCH + 1]] * 2),
    ],
)
def test_equal_packets_go_together(sizes: list[int], expected: list[list[int]]) -> None:
    packets = [bytes(size) for size in sizes]
    assert [[len(packet) for packet in batch] for batch in batches(packets)] == expected


@given(st.lists(st.sampled_from([40, 1_160, 1_160, 1_160, LARGEST, LARGEST, LARGEST]), max_size=99))
def test_order_sizes_and_bounds(sizes: list[int]) -> None:
    packets = [index.to_bytes(2, "big") * (size // 2) for index, size in enumerate(sizes)]
    made = list(batches(packets))
    assert [packet for batch in made for packet in batch] == packets
    for batch in made:
        assert len({len(packet) for packet in batch}) == 1
        assert sum(map(len, batch)) <= MAX_BATCH


def test_a_sealed_batch_fits_into_the_output_of_dtls() -> None:
    around = 100  # bytes; no cipher suite adds more to a record
    assert MAX_BATCH + around * (MAX_BATCH // BASE_PLPMTU + 1) < OUTPUT_SIZE
