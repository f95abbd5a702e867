"""How large a packet the path takes: found exactly, and lost without harm."""

import math

import pytest

from rtcsend.datapath.congestion.bbr import Bbr
from rtcsend.datapath.sctp.path import MAX_NARROW_PAUSE
from rtcsend.datapath.sctp.pmtud import (
    BASE_PLPMTU,
    BLACK_HOLE_PAUSE,
    MAX_PROBES,
    RAISE_INTERVAL,
    SIZES,
    PathMtu,
)
from rtcsend.datapath.sctp.serial import add
from tests.fakes.sctp_link import Conditions, Pair

EXPECTED = [
    (1_160, 1_160),
    (1_239, 1_160),
    (1_240, 1_240),
    (1_359, 1_240),
    (1_360, 1_360),
    (1_399, 1_360),
    (1_400, 1_400),
    (1_500, 1_432),
    (3_900, 3_900),
    (9_000, 8_872),
    (15_899, 8_872),
    (15_900, 15_900),
    (65_000, 15_900),
]


def search(path: PathMtu, *, takes: int, until: float) -> list[int]:
    """Play a path that answers at once; return the sizes that were asked."""
    asked, now = [], 0.0
    while (at := path.get_timer()) is not None and at <= until:
        now = max(now, at)
        size = path.probe_to_send(now=now, rtt=0.01)
        if size is not None:
            asked.append(size)
            if size <= takes:
                path.on_probe_acknowledged(size, now=now)
    return asked


@pytest.mark.parametrize(("takes", "expected"), EXPECTED)
def test_the_search(takes: int, expected: int) -> None:
    path = PathMtu(maximum=15_900, now=0.0)
    asked = search(path, takes=takes, until=100.0)
    assert path.size == expected
    assert asked[: len([size for size in SIZES if size <= expected])] == [
        size for size in SIZES if size <= expected
    ]
    assert len([size for size in asked if size > expected]) in {0, MAX_PROBES}


def test_nothing_over_the_maximum() -> None:
    path = PathMtu(maximum=1_400, now=0.0)
    assert max(search(path, takes=65_000, until=10_000.0)) == 1_400
    assert path.size == 1_400
    assert path.get_timer() is None
    assert PathMtu(maximum=1_000, now=0.0).size == 1_000


def test_a_path_that_grew_is_asked_again_later() -> None:
    path = PathMtu(maximum=15_900, now=0.0)
    search(path, takes=1_300, until=RAISE_INTERVAL - 1)
    assert path.size == 1_240
    search(path, takes=65_000, until=RAISE_INTERVAL + 10)
    assert path.size == 15_900


def test_a_black_hole_falls_back_and_is_asked_again() -> None:
    path = PathMtu(maximum=15_900, now=0.0)
    search(path, takes=65_000, until=1.0)
    path.on_black_hole(now=2.0)
    assert path.size == BASE_PLPMTU
    assert path.get_timer() == 2.0 + BLACK_HOLE_PAUSE
    path.on_probe_acknowledged(15_900, now=2.1)  # it was sent before
    assert path.size == BASE_PLPMTU
    before = path.get_timer()
    path.on_black_hole(now=3.0)  # at the base it is not the size
    assert path.get_timer() == before


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.parametrize(("takes", "expected"), EXPECTED)
def test_pairs_find_it_and_use_it(takes: int, expected: int, own_peer: bool) -> None:
    pair = Pair(1, Conditions(mtu=takes, delay=0.01), own_peer=own_peer)
    sender, receiver = pair.ends
    pair.run(5.0)
    sender.to_send = [(0.0, 1, bytes(200_000))]
    assert pair.run(20.0, lambda: bool(receiver.received))
    maximum = 15_900 if own_peer else 1_400
    for end in pair.ends:
        assert end.association._path.mtu.size == min(expected, maximum)
        assert end.link.largest <= maximum
    largest = max(SIZES)
    assert sender.link.retransmissions == 0, "a probe that is lost costs no data"
    packets = len(sender.link.transmissions)
    assert packets == math.ceil(200_000 / (min(expected, maximum, largest) - 28 & ~3))


@pytest.mark.parametrize("small_messages", [False, True])
@pytest.mark.parametrize("to", [1_160, 1_200])
def test_a_path_that_shrinks_is_survived(to: int, small_messages: bool) -> None:
    """Also when small messages get through all the time, so that no timeout says it."""
    pair = Pair(2, Conditions(mtu=1_500, rate=1e6, shrinks_at=1.0, shrinks_to=to))
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(100_000)) for _ in range(15)]
    if small_messages:
        sender.to_send += [(0.05 * number, 2, b"small") for number in range(400)]
        sender.to_send.sort(key=lambda item: item[0])
    needed: list[bool] = []
    pair.taps.append(lambda _, _packet: needed.append(sender.association.needs_fragmentation))
    done = pair.run(60.0, lambda: len(receiver.received.get(1, [])) == 15)
    assert done
    assert any(needed)
    assert sender.association._path.mtu.size == BASE_PLPMTU
    pair.run(pair.now + 30)
    assert not sender.association.needs_fragmentation
    assert not sender.association._outbound.outstanding


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.parametrize("small_messages", [False, True])
def test_a_path_that_does_not_take_the_base_size_is_survived(
    small_messages: bool, own_peer: bool
) -> None:
    """Over IPv4 there are such: IP cuts the packets, and now and then is asked not to."""
    pair = Pair(2, Conditions(mtu=1_000, rate=1e5), own_peer=own_peer, controller=Bbr)
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(65_536)) for _ in range(25)]
    if small_messages:
        sender.to_send += [(0.05 * number, 2, b"small") for number in range(400)]
        sender.to_send.sort(key=lambda item: item[0])
    asked: list[float] = []
    pair.taps.append(
        lambda end, packet: asked.append(pair.now) if end == 0 and len(packet) > 1_200 else None
    )
    assert pair.run(120.0, lambda: len(receiver.received.get(1, [])) == 25)
    assert pair.now <= 2 * 25 * 65_536 / 1e5
    assert asked, "whether it takes more by now"
    pair.run(pair.now + 2 * MAX_NARROW_PAUSE)
    assert not sender.association.needs_fragmentation
    assert sender.closed is None


def test_an_outage_does_not_keep_packets_small() -> None:
    """It looks like a path that takes none of them, until it is over."""
    pair = Pair(2, Conditions(rate=1e6, silence=(1.0, 6.0)))
    sender, receiver = pair.ends
    sender.to_send = [(0.1 * number, 1, bytes(2_000)) for number in range(300)]
    assert pair.run(60.0, lambda: len(receiver.received.get(1, [])) == 300)
    assert not sender.association.needs_fragmentation
    assert sender.association._path.mtu.size == 1_432


@pytest.mark.parametrize("to", [1_200, 1_000])
def test_one_large_packet_among_small_ones_is_not_lost_for_ever(to: int) -> None:
    """Every timeout is prevented by the small ones, which arrive."""
    mtu = 1_500 if to == 1_200 else to
    pair = Pair(3, Conditions(mtu=mtu, shrinks_at=2.0, shrinks_to=to))
    sender, receiver = pair.ends
    sender.to_send = [(0.01 * number, 2, b"small") for number in range(1_500)]
    sender.to_send.append((3.0, 1, bytes(1_300)))
    sender.to_send.sort(key=lambda item: item[0])
    assert pair.run(6.0, lambda: 1 in receiver.received)
    assert sender.association._path.mtu.size == BASE_PLPMTU
    assert pair.run(30.0, lambda: len(receiver.received.get(2, [])) == 1_500)


@pytest.mark.parametrize("period", [0.05, 0.1, 0.15])
def test_a_path_that_shrinks_under_who_never_stops_sending(period: float) -> None:
    """Nothing is acknowledged, and something is sent before each timeout, with a wide window."""
    pair = Pair(5, Conditions(rate=1e8, shrinks_at=4.0, shrinks_to=1_200), controller=Bbr)
    sender, receiver = pair.ends
    bulk = 60
    sender.to_send = [(0.0, 1, bytes(60_000)) for _ in range(bulk)]
    sender.to_send += [(4.0 + period * number, 1, bytes(1_300)) for number in range(300)]
    assert pair.run(7.0, lambda: len(receiver.received.get(1, [])) >= bulk + 10)
    assert pair.run(60.0, lambda: len(receiver.received[1]) == bulk + 300)


def test_after_two_terabytes_packets_are_not_taken_for_too_large() -> None:
    """Half of all TSNs have gone by since the start, when nothing was too large either."""
    pair = Pair(4, Conditions())
    sender, receiver = (end.association for end in pair.ends)
    pair.run(5.0)
    outbound, inbound = sender._outbound, receiver._tcb.inbound
    assert inbound is not None
    sent = 2**31 + 10
    outbound.queue.next_tsn = add(outbound.queue.next_tsn, sent)
    outbound.outstanding._first_tsn = add(outbound.outstanding._first_tsn, sent)
    outbound.outstanding.first_order += sent
    inbound.cumulative_tsn = add(inbound.cumulative_tsn, sent)
    assert not sender.needs_fragmentation
    pair.ends[0].to_send = [(pair.now, 1, bytes(100_000))]
    assert pair.run(10.0, lambda: 1 in pair.ends[1].received)
    assert not sender.needs_fragmentation
