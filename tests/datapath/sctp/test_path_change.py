"""Another pair of candidates was selected: everything arrives, and the new path is learnt anew."""

import math
import random

import pytest

from rtcsend.datapath.congestion.base import CongestionController
from rtcsend.datapath.congestion.bbr import Bbr
from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.pmtud import BASE_PLPMTU
from tests.fakes.sctp_link import Conditions, End, Pair

RELAYED = Conditions(delay=0.05, rate=5e6)
DIRECT = Conditions(delay=0.005, rate=12.5e6)
DEAD = Conditions(silence=(0.0, math.inf))
MESSAGES = 160
SIZE = 60_000
CHANGES_AT = 0.7

controllers = pytest.mark.parametrize("controller", [Cubic, Bbr])


def change(pair: Pair, to: Conditions) -> None:
    """Both ends go another way; what is under way comes from the one before, if at all."""
    for end in pair.ends:
        end.link._conditions, end.link._free_at = to, pair.now
        end.association.path_changed(now=pair.now)


def sending(conditions: Conditions, controller: type[CongestionController]) -> Pair:
    """Return a pair whose first end is in full flow."""
    pair = Pair(1, conditions, controller=controller)
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes([number]) * SIZE) for number in range(MESSAGES)]
    assert not pair.run(CHANGES_AT, lambda: complete(receiver))
    return pair


def complete(end: End) -> bool:
    return len(end.received.get(1, ())) == MESSAGES


def check_received(end: End) -> None:
    assert end.received == {1: [bytes([number]) * SIZE for number in range(MESSAGES)]}


@controllers
def test_a_better_path_is_used_at_its_own_rate(controller: type[CongestionController]) -> None:
    pair = sending(RELAYED, controller)
    sender, receiver = pair.ends
    under_way = len(sender.association._outbound.outstanding)
    change(pair, DIRECT)
    assert pair.run(4.0, lambda: complete(receiver))
    check_received(receiver)
    assert pair.now < CHANGES_AT + 1.2 * MESSAGES * SIZE / DIRECT.rate
    assert sender.association._outbound.rtt.srtt < 2 * RELAYED.delay
    assert sender.link.retransmissions <= under_way + 2 * sender.link.dropped


@controllers
def test_a_dead_path_costs_no_timeout(controller: type[CongestionController]) -> None:
    pair = sending(RELAYED, controller)
    sender, receiver = pair.ends
    sender.link._conditions = receiver.link._conditions = DEAD
    pair.run(6.0)
    before = len(receiver.received[1])
    change(pair, DIRECT)
    assert pair.run(6.1, lambda: len(receiver.received[1]) > before)
    assert pair.run(8.0, lambda: complete(receiver))
    check_received(receiver)


def without_sacks(pair: Pair) -> None:
    """Lose SACKs for a while: the next one covers much of the flight."""
    receiver = pair.ends[1]
    receiver.link.drop = lambda _number, _packet: True
    pair.run(pair.now + 1.5 * RELAYED.delay)
    receiver.link.drop = None


def test_nothing_of_the_old_path_is_believed() -> None:
    pair = sending(RELAYED, Bbr)
    outbound = pair.ends[0].association._outbound
    assert outbound.rtt.srtt >= 2 * RELAYED.delay
    without_sacks(pair)
    change(pair, DEAD)
    pair.ends[1].link._conditions = DIRECT  # what was under way is acknowledged all the same
    assert outbound.outstanding
    assert not outbound.outstanding.flight_size
    window = outbound.controller.cwnd
    left = len(outbound.outstanding)
    pair.run(pair.now + 0.35)
    assert len(outbound.outstanding) < left - window // outbound.payload
    assert outbound.rtt.srtt == 0.0
    assert math.isinf(outbound.min_rtt.value)
    assert outbound.controller.cwnd == window
    assert outbound._delivery.delivered == 0


def test_what_the_old_path_delivers_is_no_rate_of_the_new_one() -> None:
    slow = Conditions(delay=0.002, rate=2e5)
    pair = sending(RELAYED, Bbr)
    without_sacks(pair)
    change(pair, slow)
    pair.run(pair.now + 1.0)
    controller = pair.ends[0].association._outbound.controller
    assert isinstance(controller, Bbr)
    assert 0 < controller.model.max_bw < 1.2 * slow.rate


@pytest.mark.parametrize("mtu", [1_160, 1_300, 9_000])
def test_the_packet_size_is_found_anew(mtu: int) -> None:
    pair = sending(Conditions(delay=0.02, mtu=9_000), Bbr)
    sender, receiver = pair.ends
    assert sender.association._path.mtu.size == 8_872
    change(pair, Conditions(delay=0.02, mtu=mtu))
    assert sender.association._path.mtu.size == BASE_PLPMTU
    assert sender.association.needs_fragmentation, "what is under way is too large for the path"
    assert pair.run(10.0, lambda: complete(receiver))
    check_received(receiver)
    pair.run(pair.now + 5.0)
    expected = {1_160: 1_160, 1_300: 1_240, 9_000: 8_872}[mtu]
    assert sender.association._path.mtu.size == expected


def test_a_narrow_path_says_nothing_about_the_next_one() -> None:
    pair = Pair(1, Conditions(delay=0.02, mtu=1_000, rate=1e5))
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(20_000)) for _ in range(20)]
    assert pair.run(5.0, lambda: len(receiver.received.get(1, ())) >= 2)
    assert sender.association.needs_fragmentation
    change(pair, DIRECT)
    assert sender.association._path._narrow_until is None
    assert pair.run(pair.now + 1.0, lambda: sender.association._path.mtu.size == 1_432)


def test_an_answer_of_the_old_path_says_nothing_about_the_packet_size() -> None:
    """The first size that is asked for may have been asked for on the old path as well."""
    pair = Pair(1, Conditions(delay=0.05, mtu=9_000))
    sender = pair.ends[0]
    assert pair.run(5.0, lambda: sender.association.is_established)
    pair.run(pair.now + 0.01)
    assert sender.association._path.mtu._tries == 1
    assert sender.association._path.mtu._probing == 1_240
    change(pair, Conditions(delay=0.05, mtu=1_200))
    pair.run(pair.now + 5.0)
    assert sender.association._path.mtu.size == BASE_PLPMTU


def test_before_the_association_is_established() -> None:
    pair = Pair(1)
    sender, receiver = pair.ends
    sender.to_send = [(0.0, 1, bytes(100_000))]
    pair.run(0.03)
    assert not sender.association.is_established
    change(pair, DIRECT)
    assert pair.run(5.0, lambda: bool(receiver.received))


@controllers
@pytest.mark.parametrize("seed", range(3))
def test_many_changes(seed: int, controller: type[CongestionController]) -> None:
    """Everything arrives once and in order, whatever the paths are like."""
    rng = random.Random(seed)
    pair = sending(Conditions(delay=0.02, loss=0.001), controller)
    receiver = pair.ends[1]
    for _ in range(8):
        pair.run(pair.now + rng.choice((0.01, 0.1, 0.5)), lambda: complete(receiver))
        path = Conditions(
            delay=rng.choice((0.001, 0.02, 0.2)),
            rate=rng.choice((1e6, 12.5e6)),
            loss=rng.choice((0.0, 0.001)),
            mtu=rng.choice((1_200, 1_500, 9_000)),
        )
        change(pair, path)
    assert pair.run(120.0, lambda: complete(receiver))
    check_received(receiver)
    pair.run(pair.now + 30.0)
    for end in pair.ends:
        assert not end.association._outbound.outstanding
        assert not end.association._outbound.outstanding.flight_size
        assert end.closed is None
