"""A table on virtual time: what happens when, and what is asked then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import ConnectionLost
from rtcsend.transfer.liveness import PING_INTERVAL, SILENCE_LIMIT, Liveness


def test_a_silent_peer_has_room_for_several_pings() -> None:
    assert SILENCE_LIMIT >= 3 * PING_INTERVAL


@pytest.mark.parametrize(
    ("heard", "said", "now", "due", "timer"),
    [
        pytest.param(0, 0, 0, False, 2, id="nothing yet"),
        pytest.param(0, 0, 1.99, False, 2, id="just before"),
        pytest.param(0, 0, 2, True, 2, id="due"),
        pytest.param(0, 1, 2, False, 3, id="said something else meanwhile"),
        pytest.param(0, 1, 3, True, 3, id="due after that"),
        pytest.param(0, 8, 8.9, False, 9, id="we talk, they do not"),
        pytest.param(8.5, 8, 9.9, False, 10, id="they came back"),
        pytest.param(8.5, 0, 17.4, True, 2, id="both overdue: the ping comes first"),
    ],
)
def test_pings(heard: float, said: float, now: float, due: bool, timer: float) -> None:
    liveness = Liveness(now=0.0)
    liveness.heard(now=heard)
    liveness.said(now=said)
    assert liveness.is_ping_due(now=now) is due
    assert liveness.get_timer() == timer


@pytest.mark.parametrize(("heard", "now"), [(0, 9), (0, 1000), (5, 14)])
def test_silence(heard: float, now: float) -> None:
    liveness = Liveness(now=0.0)
    liveness.heard(now=heard)
    assert liveness.get_timer() <= now
    with pytest.raises(ConnectionLost, match="9 seconds"):
        liveness.is_ping_due(now=now)


def test_who_follows_the_timer_pings_in_time_and_ends_in_time() -> None:
    liveness = Liveness(now=100.0)
    for ping in (102.0, 104.0, 106.0, 108.0):
        assert liveness.get_timer() == ping
        assert liveness.is_ping_due(now=ping)
        liveness.said(now=ping)
    assert liveness.get_timer() == 109.0
    with pytest.raises(ConnectionLost):
        liveness.is_ping_due(now=109.0)


@given(said=st.floats(0, 1e9), heard=st.floats(0, 1e9))
def test_at_the_time_of_the_timer_there_is_something_to_do(said: float, heard: float) -> None:
    """Also for the last bit of a float: else a shell would spin until the clock moves on."""
    liveness = Liveness(now=0.0)
    liveness.said(now=said)
    liveness.heard(now=heard)
    try:
        is_due = liveness.is_ping_due(now=liveness.get_timer())
    except ConnectionLost:
        is_due = True
    assert is_due


def test_what_was_heard_earlier_changes_nothing() -> None:
    liveness = Liveness(now=5.0)
    liveness.heard(now=float("-inf"))
    assert liveness.heard_at == 5.0
