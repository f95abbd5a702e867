"""Messages into chunks: turns, cuts, and the bit that asks for a SACK."""

from rtcsend.datapath.sctp.send_queue import Run, SendQueue, payload_for
from rtcsend.datapath.sctp.wire import DATA_HEADER, FLAG_BEGIN, FLAG_END, HEADER_SIZE
from tests.datapath.sctp.sending import cut, singles


def test_streams_take_turns_and_messages_are_cut() -> None:
    queue = SendQueue(7)
    queue.add(1, 53, bytes(250))
    queue.add(1, 53, b"later")
    queue.add(2, 51, b"soon")
    assert (queue.size, queue.size_of(1), queue.size_of(2)) == (259, 255, 4)
    first = cut(queue, 150, 0.0)
    assert (queue.size, queue.size_of(1)) == (59, 55)
    assert queue.is_half_sent
    rest = cut(queue, 1000, 0.0)
    seen = []
    for chunk in singles(first + rest):
        _, flags, length, tsn, stream, sequence, ppid = DATA_HEADER.unpack_from(
            chunk.packet, HEADER_SIZE
        )
        assert length == 16 + chunk.size
        assert len(chunk.packet) % 4 == 0
        seen.append((tsn, flags, stream, sequence, ppid, chunk.size))
    assert seen == [
        (7, FLAG_BEGIN, 1, 0, 53, 100),
        (8, 0, 1, 0, 53, 100),
        (9, FLAG_END, 1, 0, 53, 50),
        (10, FLAG_BEGIN | FLAG_END, 2, 0, 51, 4),
        (11, FLAG_BEGIN | FLAG_END, 1, 1, 53, 5),
    ]
    assert (queue.size, queue.size_of(1), queue.next_tsn) == (0, 0, 12)
    assert not queue.is_half_sent


def test_the_numbers_of_a_run_wrap() -> None:
    queue = SendQueue(2**32 - 2)
    queue.add(1, 53, bytes(500))
    (run,) = cut(queue, 500, 0.0)
    assert isinstance(run, Run)
    numbers = [DATA_HEADER.unpack_from(one.packet, HEADER_SIZE)[3] for one in run.chunks()]
    assert numbers == [2**32 - 2, 2**32 - 1, 0, 1, 2]
    assert queue.next_tsn == 3


def test_a_chunk_that_asks_for_a_sack_is_otherwise_the_same() -> None:
    queue = SendQueue(0)
    queue.add(1, 53, b"data")
    (chunk,) = singles(cut(queue, 100, 0.0))
    before = chunk.packet
    chunk.ask_for_sack()
    flags = FLAG_BEGIN | FLAG_END | 8
    assert chunk.packet == before[:13] + bytes([flags]) + before[14:]


def test_a_stream_that_ends_takes_what_waits_with_it() -> None:
    queue = SendQueue(0)
    queue.add(1, 53, bytes(250))
    queue.add(1, 53, b"later")
    queue.add(2, 53, b"stays")
    cut(queue, 100, 0.0)
    queue.forget(1)
    queue.forget(9)
    assert (queue.size, queue.size_of(1), queue.size_of(2)) == (155, 150, 5)
    assert sum(chunk.size for chunk in singles(cut(queue, 1000, 0.0))) == 155


def test_a_packet_is_filled_up_to_a_multiple_of_four() -> None:
    assert [payload_for(size) for size in (1_160, 1_161, 1_163, 1_164)] == [1132, 1132, 1132, 1136]
