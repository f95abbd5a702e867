"""When a SACK is sent: what waits, and what does not."""

import pytest

from rtcsend.datapath.sctp.inbound import Inbound
from rtcsend.datapath.sctp.sack_schedule import SACK_DELAY, SackSchedule
from rtcsend.datapath.sctp.wire import FLAG_BEGIN, FLAG_END, FLAG_IMMEDIATE

WHOLE = FLAG_BEGIN | FLAG_END


def after(
    packets: list[tuple[int, int]], *, own_peer: bool = True, srtt: float = 0.0
) -> float | None:
    """Return when a SACK is due after one batch of (TSN, flags) at the time 0."""
    inbound, schedule = Inbound(0, max_message_size=1000), SackSchedule(own_peer=own_peer)
    for tsn, flags in packets:
        inbound.receive((tsn, flags, 0, 53, b"data"), [])
        inbound.packets_unacknowledged += 1
    schedule.on_batch(inbound, srtt=srtt, now=0.0)
    return schedule.get_timer()


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([], None),
        ([(0, WHOLE)], SACK_DELAY),
        ([(0, WHOLE), (1, WHOLE)], 0.0),
        ([(0, WHOLE | FLAG_IMMEDIATE)], 0.0),
        ([(1, WHOLE)], 0.0),
        ([(0, WHOLE), (0, WHOLE)], 0.0),
    ],
)
def test_a_batch_of_one_waits_unless_it_is_urgent(
    packets: list[tuple[int, int]], expected: float | None
) -> None:
    assert after(packets) == expected


@pytest.mark.parametrize(("srtt", "expected"), [(0.001, 0.00025), (0.04, 0.01), (0.5, SACK_DELAY)])
def test_on_a_short_path_the_wait_is_short(srtt: float, expected: float) -> None:
    assert after([(0, WHOLE)], srtt=srtt) == pytest.approx(expected)


def test_nothing_waits_for_others() -> None:
    assert after([(0, WHOLE)], own_peer=False) == 0.0


def test_what_is_due_is_due_once() -> None:
    schedule, inbound = SackSchedule(own_peer=True), Inbound(0, max_message_size=1000)
    schedule.on_window_opened(inbound, now=1.0)
    assert inbound.sack_due
    assert [schedule.take_due(now=now) for now in (0.9, 1.0, 1.1)] == [False, True, False]
