"""Both shells together: whole transfers, slow disks, limits, and the ways it can break."""

import asyncio
import json
import tracemalloc

import pytest

from rtcsend.errors import (
    CannotRead,
    CannotWrite,
    ConnectionLost,
    Declined,
    DigestMismatch,
    PeerAborted,
    PeerProtocolError,
)
from rtcsend.events import Done, Resumed, Stalled
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.ports import Offer, Sink
from rtcsend.transfer.receiver import RECEIVE_WINDOW
from rtcsend.transfer.reporting import REPORT_INTERVAL
from tests.fakes.channels import Network
from tests.transfer.fakes import FakeSink, FakeSource, Pair, transfer, virtual
from tests.transfer.wire import file

MIB = BLOCK = 1 << 20
CONTENT = bytes(range(251)) * 20_000  # 5 MB that no shift or swap of frames leaves the same


def kinds(texts: list[str]) -> list[str]:
    return [str(json.loads(text)["type"]) for text in texts]


def check_progress(counts: list[int], *, total: int, seconds: float) -> None:
    assert counts == sorted(counts)
    assert counts[-1] == total
    assert counts.count(total) == 1
    assert len(counts) <= seconds / REPORT_INTERVAL + 3


@pytest.mark.parametrize(
    "size", [0, 1, 65_535, 65_536, 65_537, BLOCK - 1, BLOCK, BLOCK + 1, len(CONTENT)]
)
@pytest.mark.parametrize("payload_size", [1_184, 65_520, 65_536])
def test_a_file_arrives(size: int, payload_size: int) -> None:
    sink = FakeSink()
    pair = transfer(lambda: Pair(FakeSource(CONTENT[:size]), sink, payload_size=payload_size))
    assert sink.is_finished
    assert sink.content == CONTENT[:size]
    assert pair.receiver.done.paths == ("/downloads/film.iso",)
    assert pair.sender.done.paths == ("film.iso",)
    for side in (pair.sender, pair.receiver):
        assert (side.done.files, side.done.bytes) == (1, size)
        assert side.done.blake3
        assert side.done.blake3 == pair.sender.done.blake3
        check_progress(side.progress, total=size, seconds=side.ended_at)


def test_the_proposal_says_what_it_is() -> None:
    pair = transfer(lambda: Pair(FakeSource(b"abc"), FakeSink()))
    (offer,) = pair.offers
    assert offer.sender == "ada-laptop"
    assert list(offer.manifest.entries()) == [file(3)]
    proposal = json.loads(pair.sender_end.controls_sent[0])
    assert proposal["transfer"] == bytes(range(16)).hex()


def test_who_says_what_and_in_which_order() -> None:
    pair = transfer(lambda: Pair(FakeSource(b"abc"), FakeSink()))
    assert kinds(pair.sender_end.controls_sent) == ["proposal", "entries", "end", "bye"]
    assert kinds(pair.receiver_end.controls_sent) == ["accept", "complete"]


def test_both_end_soon_after_each_other() -> None:
    pair = transfer(lambda: Pair(FakeSource(CONTENT), FakeSink()))
    assert pair.sender.ended_at < 0.2
    assert pair.receiver.ended_at < 0.2


@pytest.mark.parametrize(("control_delay", "data_delay"), [(0.5, 0.0), (0.0, 0.5), (2.0, 2.0)])
def test_the_channels_may_race(control_delay: float, data_delay: float) -> None:
    network = Network(control_delay=control_delay, data_delay=data_delay)
    sink = FakeSink()
    pair = transfer(lambda: Pair(FakeSource(CONTENT), sink, network=network))
    assert sink.content == CONTENT
    assert pair.sender.done.bytes == len(CONTENT)


def test_a_huge_file() -> None:
    size = 1_000_000_007
    pair = transfer(lambda: Pair(FakeSource(size=size), FakeSink(keeps=False)))
    assert pair.sender.done.bytes == pair.receiver.done.bytes == size
    assert pair.peak_waiting <= RECEIVE_WINDOW
    for side in (pair.sender, pair.receiver):
        check_progress(side.progress, total=size, seconds=side.ended_at)


@pytest.mark.parametrize("payload_size", [8_192, 65_536])
def test_memory_is_bounded_whatever_the_size(payload_size: int) -> None:
    source, sink = FakeSource(size=48 * MIB), FakeSink(keeps=False, bytes_per_s=MIB)
    tracemalloc.start()
    try:
        pair = transfer(lambda: Pair(source, sink, payload_size=payload_size))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pair.sender.done.bytes == 48 * MIB
    assert peak < 1.5 * RECEIVE_WINDOW


def test_a_disk_ten_times_slower_than_the_network() -> None:
    size = 100 * MIB
    pair = transfer(
        lambda: Pair(
            FakeSource(size=size),
            FakeSink(keeps=False, bytes_per_s=1 * MIB),
            network=Network(bytes_per_s=10 * MIB),
        )
    )
    assert pair.receiver.done.bytes == pair.sender.done.bytes == size
    assert 100 <= pair.receiver.ended_at < 110
    assert RECEIVE_WINDOW - MIB <= pair.peak_waiting <= RECEIVE_WINDOW


def test_a_disk_that_stands_still_for_a_minute() -> None:
    sink = FakeSink(keeps=False, blocks_at=20 * MIB, blocks_for=60.0)
    pair = transfer(lambda: Pair(FakeSource(size=80 * MIB), sink))
    assert pair.sender.done.bytes == 80 * MIB
    assert pair.receiver.ended_at > 60
    assert pair.peak_waiting <= RECEIVE_WINDOW
    for end in (pair.sender_end, pair.receiver_end):
        assert 60 / 2 - 3 <= kinds(end.controls_sent).count("ping") <= 60 / 2 + 3


def test_syncing_may_take_longer_than_silence_may() -> None:
    pair = transfer(lambda: Pair(FakeSource(b"abc"), FakeSink(finish_takes=100.0)))
    assert pair.sender.done.bytes == 3
    assert pair.sender.done.seconds > 100


def test_a_person_may_take_longer_than_silence_may() -> None:
    sink = FakeSink()

    async def decide(offer: Offer) -> Sink:
        sink.expects(offer.manifest)
        await asyncio.sleep(1_000.0)
        return sink

    pair = transfer(lambda: Pair(FakeSource(b"abc"), None, decides=decide))
    assert pair.sender.done.bytes == 3
    assert pair.sender.done.seconds < 1  # the waiting is not counted


def test_a_slow_path_is_reported_before_a_block_is_full() -> None:
    network = Network(bytes_per_s=100_000)
    pair = transfer(lambda: Pair(FakeSource(CONTENT[:BLOCK]), FakeSink(), network=network))
    assert len(pair.sender.progress) > 10
    assert pair.sender.progress[0] < BLOCK / 2


@pytest.mark.parametrize(
    ("sender_limit", "receiver_limit", "rate"),
    [(MIB, None, 1), (None, MIB, 1), (2 * MIB, MIB, 1), (MIB, 2 * MIB, 1), (None, 4 * MIB, 4)],
)
def test_limits(sender_limit: int | None, receiver_limit: int | None, rate: int) -> None:
    pair = transfer(
        lambda: Pair(
            FakeSource(size=40 * MIB),
            FakeSink(keeps=False),
            sender_limit=sender_limit,
            receiver_limit=receiver_limit,
        )
    )
    assert pair.sender.done.seconds == pytest.approx(40 / rate, rel=0.05)


def test_a_crawl_is_no_silence() -> None:
    pair = transfer(lambda: Pair(FakeSource(CONTENT[:70_000]), FakeSink(), sender_limit=1_000))
    assert pair.sender.done.seconds == pytest.approx(70.0, rel=0.05)


def test_skipped() -> None:
    pair = transfer(lambda: Pair(FakeSource(CONTENT), None))
    nothing = Done(files=0, bytes=0, moved=0, seconds=0.0, blake3="", paths=())
    assert pair.sender.done == pair.receiver.done == nothing
    assert kinds(pair.sender_end.controls_sent) == ["proposal", "entries", "bye"]
    assert pair.sender.events == pair.receiver.events == []
    assert pair.receiver_end.payload_received == 0
    assert max(pair.sender.ended_at, pair.receiver.ended_at) < 1


def test_declined() -> None:
    async def decide(_offer: Offer) -> Sink | None:
        raise Declined("film.iso was declined.")

    pair = transfer(lambda: Pair(FakeSource(CONTENT), None, decides=decide))
    assert type(pair.receiver.error) is type(pair.sender.error) is Declined
    assert pair.sender.error.told_by_peer
    assert not pair.receiver.error.told_by_peer
    assert pair.receiver_end.payload_received == 0


def test_the_disk_fails_in_the_middle() -> None:
    failure = CannotWrite("No space left in /home/ada.", for_peer="No space left.")
    sink = FakeSink(fails_at=2 * MIB, failure=failure)
    pair = transfer(lambda: Pair(FakeSource(CONTENT), sink))
    assert pair.receiver.error is failure
    assert type(pair.sender.error) is CannotWrite
    assert str(pair.sender.error) == "No space left."
    assert not sink.is_finished


def test_when_the_disk_fails_the_channels_are_still_open() -> None:
    sink = FakeSink(fails_at=0, failure=CannotWrite("No space left."))

    async def main() -> None:
        pair = Pair(FakeSource(CONTENT), sink)
        other_side = asyncio.create_task(pair.send())
        with pytest.raises(CannotWrite):
            await pair.receive()
        await pair.receiver_end.send_control('{"type":"ping"}')
        assert not other_side.done()
        pair.receiver_end.close()
        with pytest.raises(ConnectionLost):
            await other_side

    virtual(main)


def test_the_source_fails_in_the_middle() -> None:
    sink = FakeSink()
    pair = transfer(lambda: Pair(FakeSource(CONTENT, fails_at=2 * MIB), sink))
    assert type(pair.sender.error) is CannotRead
    assert type(pair.receiver.error) is PeerAborted
    assert "changed while it was sent" in str(pair.receiver.error)
    assert not sink.is_finished


def test_the_bytes_change_on_the_way() -> None:
    class LyingSource(FakeSource):
        async def digest(self) -> str:
            return "ab" * 32

    sink = FakeSink()
    pair = transfer(lambda: Pair(LyingSource(CONTENT), sink))
    assert type(pair.receiver.error) is type(pair.sender.error) is DigestMismatch
    assert not sink.is_finished


def test_checksums_of_the_files_come_with_the_end() -> None:
    source, sink = FakeSource(CONTENT[:9], sizes=[4, 5]), FakeSink()
    source.says_sums = FileSums(bytes(8), b"12345678" * 2)
    transfer(lambda: Pair(source, sink))
    assert sink.heard_sums == source.says_sums


@pytest.mark.parametrize("moment", [0.005, 0.05, 1.0, 5.0])
def test_a_silent_peer_is_missed_on_both_sides(moment: float) -> None:
    async def main() -> Pair:
        pair = Pair(FakeSource(size=200 * MIB), FakeSink(keeps=False, bytes_per_s=10 * MIB))
        for end in (pair.sender_end, pair.receiver_end):
            asyncio.get_running_loop().call_at(moment, end.cut)
        await pair.run()
        return pair

    pair = virtual(main)
    for side in (pair.sender, pair.receiver):
        assert type(side.error) is ConnectionLost
        assert moment + 8 < side.ended_at < moment + 12


def test_one_direction_dies() -> None:
    async def main() -> Pair:
        pair = Pair(FakeSource(size=200 * MIB), FakeSink(keeps=False, bytes_per_s=10 * MIB))
        asyncio.get_running_loop().call_at(1.0, pair.receiver_end.cut)
        await pair.run()
        return pair

    pair = virtual(main)
    assert type(pair.sender.error) is ConnectionLost
    assert type(pair.receiver.error) is ConnectionLost
    assert pair.receiver.error.told_by_peer  # the sender could still say so


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.015, 0.025, 1.0, 5.0])
def test_the_connection_breaks(moment: float) -> None:
    async def main() -> Pair:
        pair = Pair(FakeSource(size=200 * MIB), FakeSink(keeps=False, bytes_per_s=10 * MIB))
        asyncio.get_running_loop().call_at(moment, pair.sender_end.break_down)
        await pair.run()
        return pair

    pair = virtual(main)
    for side in (pair.sender, pair.receiver):
        assert type(side.error) is ConnectionLost
        assert side.ended_at == pytest.approx(moment)


@pytest.mark.parametrize("who", ["sender", "receiver"])
@pytest.mark.parametrize("moment", [0.001, 0.015, 0.5, 5.0])
def test_cancelling_leaves_nothing_behind(who: str, moment: float) -> None:
    async def main() -> None:
        pair = Pair(FakeSource(size=200 * MIB), FakeSink(keeps=False, bytes_per_s=10 * MIB))
        sending = asyncio.create_task(pair.send())
        receiving = asyncio.create_task(pair.receive())
        await asyncio.sleep(moment)
        cancelled, other = (sending, receiving) if who == "sender" else (receiving, sending)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert asyncio.all_tasks() - {asyncio.current_task()} >= {other}
        pair.sender_end.break_down()
        with pytest.raises(ConnectionLost):
            await other

    virtual(main)


def test_a_slow_path_with_a_deep_queue_is_alive() -> None:
    network = Network(control_delay=1.0, data_delay=1.0, bytes_per_s=140_000)
    pair = transfer(lambda: Pair(FakeSource(CONTENT), FakeSink(), network=network))
    assert pair.sender.done.bytes == len(CONTENT)
    assert not [event for event in pair.sender.events if isinstance(event, Stalled)]


def test_a_stall_is_told_within_five_seconds_and_again() -> None:
    sink = FakeSink(keeps=False, blocks_at=20 * MIB, blocks_for=30.0)
    pair = transfer(lambda: Pair(FakeSource(size=80 * MIB), sink))
    for side, reason in ((pair.sender, "writes nothing"), (pair.receiver, "disk here")):
        told = [event for event in side.events if isinstance(event, Stalled)]
        assert [event.seconds for event in told][:3] == [4, 9, 14]
        assert all(reason in event.reason for event in told)


def test_a_receiver_that_never_writes_again_is_given_up() -> None:
    sink = FakeSink(keeps=False, blocks_at=20 * MIB, blocks_for=1_000.0)
    pair = transfer(lambda: Pair(FakeSource(size=80 * MIB), sink))
    assert type(pair.sender.error) is PeerProtocolError
    assert 120 < pair.sender.ended_at < 250


@pytest.mark.parametrize("at", [20 * MIB, 79 * MIB])  # amid the data, and behind the end
def test_an_output_that_stands_still_on_purpose_is_waited_for(at: int) -> None:
    """`rtcsend receive -o - | less`, and its user has gone to lunch."""
    sink = FakeSink(keeps=False, blocks_at=at, blocks_for=5_000.0, holds=True)
    pair = transfer(lambda: Pair(FakeSource(size=80 * MIB), sink))
    assert pair.sender.done.bytes == pair.receiver.done.bytes == 80 * MIB
    assert pair.sender.ended_at > 5_000
    for side, reason in (
        (pair.sender, "Nobody takes what the other side writes."),
        (pair.receiver, "Nobody takes what is written here."),
    ):
        told = [event for event in side.events if isinstance(event, Stalled)]
        assert reason in {event.reason for event in told}


def test_a_file_that_is_there_does_not_travel() -> None:
    earlier = bytearray(CONTENT)
    earlier[3 * MIB + 5] ^= 1
    sink = FakeSink(size=len(CONTENT), earlier=bytes(earlier))
    pair = transfer(lambda: Pair(FakeSource(CONTENT), sink))
    assert sink.content == CONTENT
    assert pair.receiver_end.payload_received == MIB
    kept = len(CONTENT) - MIB
    for side in (pair.sender, pair.receiver):
        assert [event.bytes for event in side.events if isinstance(event, Resumed)] == [kept]
