from hypothesis import given
from hypothesis import strategies as st

from rtcsend.files.shared_window import MAX_PIECES, SharedWindow


def test_an_empty_window_has_nothing() -> None:
    window = SharedWindow(capacity=10)
    assert (window.start, window.end, window.get(0)) == (0, 0, None)


def test_one_piece_is_kept_however_large_it_is() -> None:
    window = SharedWindow(capacity=3)
    window.add(b"longer")
    assert window.get(0) == b"longer"
    window.add(b"x")
    assert (window.get(0), window.get(6)) == (None, b"x")


def test_there_are_not_many_pieces_however_small_they_are() -> None:
    window = SharedWindow(capacity=1 << 20)
    for _ in range(2 * MAX_PIECES):
        window.add(b"x")
    assert window.end - window.start == MAX_PIECES


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=30),
    capacity=st.integers(min_value=1, max_value=60),
)
def test_it_has_the_newest_part_of_the_stream(pieces: list[bytes], capacity: int) -> None:
    window = SharedWindow(capacity=capacity)
    stream = b""
    for piece in pieces:
        window.add(piece)
        stream += piece
        assert window.end == len(stream)
        assert window.end - window.start <= max(capacity, len(piece))
        for position in range(len(stream) + 2):
            kept = window.get(position)
            if position < window.start or position >= window.end:
                assert kept is None
            else:
                assert kept is not None
                assert stream[position:].startswith(bytes(kept))
