"""The history of what was in flight."""

from rtcsend.datapath.congestion.flight_log import (
    ENTRIES_PER_RTT,
    MAX_ENTRIES,
    FlightLog,
    SentState,
)


def test_an_empty_log_knows_nothing() -> None:
    assert FlightLog().at(1.0) is None


def test_the_state_is_that_of_the_batch_or_the_one_before_it() -> None:
    log = FlightLog()
    for second in range(1, 5):
        log.note(SentState(second, 0, 0), now=float(second), srtt=0.1)
    for second in range(1, 5):
        state = log.at(second + 0.5)
        assert state is not None
        assert state.flight == second
        # What is computed as now - rtt may miss the time of sending by a rounding error.
        assert log.at(7.3 - (7.3 - second)) == state


def test_what_is_older_than_the_log_is_answered_with_the_oldest() -> None:
    log = FlightLog()
    log.note(SentState(7, 0, 0), now=5.0, srtt=0.1)
    assert log.at(1.0) == SentState(7, 0, 0)


def test_the_log_is_bounded_and_keeps_the_newest() -> None:
    log = FlightLog()
    for index in range(10 * MAX_ENTRIES):
        log.note(SentState(index, 0, 0), now=float(index), srtt=0.0)
    assert len(log) <= MAX_ENTRIES
    assert log.at(1e9) == SentState(10 * MAX_ENTRIES - 1, 0, 0)


def test_batches_within_a_small_part_of_a_round_trip_share_an_entry() -> None:
    log = FlightLog()
    for index in range(1000):  # one round trip
        log.note(SentState(index, 0, 0), now=index / 1000, srtt=1.0)
    assert len(log) <= ENTRIES_PER_RTT
