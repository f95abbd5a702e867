"""The check list alone, and two of them over a network that is a table of delays."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtcsend.peer.checklist import (
    HOPE,
    IMPROVE_FOR,
    LEAST_GAIN,
    MAX_PAIRS_OF_A_GRADE,
    MAX_SELECTIONS,
    PACE,
    RELAY_PATIENCE,
    RETRY_AFTER,
    SAMPLE_INTERVAL,
    SAMPLES,
    SETTLE,
    CheckList,
)
from rtcsend.peer.priorities import Grade

LAN, REFLEXIVE, TUNNEL = Grade.LAN, Grade.REFLEXIVE, Grade.TUNNEL
BY_UDP, BY_TCP, BY_TLS = Grade.RELAY_UDP, Grade.RELAY_TCP, Grade.RELAY_TLS


def checks(*, controlling: bool = True, own: bool = True) -> CheckList[str]:
    made: CheckList[str] = CheckList(is_controlling=controlling)
    made.may_move = own
    return made


def put(into: CheckList[str], **grades: Grade) -> None:
    for number, (key, grade) in enumerate(grades.items()):
        into.put(key, grade=grade, priority=1000 - number)


def started(into: CheckList[str], *, until: float, since: float = 0.0) -> list[str]:
    """Return what is checked in a while, in order."""
    found, now = [], since
    while now <= until:
        if (key := into.next_check(now=now)) is not None:
            found.append(key)
        now += PACE
    return found


# Order


def test_the_best_of_each_kind_has_its_turn_before_the_second_of_any() -> None:
    found = checks()
    put(found, a=LAN, b=LAN, c=LAN, d=REFLEXIVE, e=REFLEXIVE, f=BY_UDP, g=TUNNEL)
    order = started(found, until=1.0)
    assert order[:4] == ["a", "d", "g", "f"]
    assert sorted(order) == list("abcdefg")


def test_dozens_of_dead_addresses_do_not_stand_before_the_one_that_works() -> None:
    found = checks()
    for number in range(200):
        found.put(f"dead{number}", grade=LAN, priority=2000 - number)
    found.put("works", grade=REFLEXIVE, priority=1)
    assert "works" in started(found, until=2 * PACE)
    assert len(started(found, until=10.0, since=1.0)) <= MAX_PAIRS_OF_A_GRADE


def test_of_too_many_the_best_stay() -> None:
    found = checks()
    for number in range(MAX_PAIRS_OF_A_GRADE):
        found.put(f"{number}", grade=LAN, priority=number)
    found.put("best", grade=LAN, priority=1000)
    found.put("worst", grade=LAN, priority=0)
    order = started(found, until=10.0)
    assert order[0] == "best"
    assert {"0", "worst"}.isdisjoint(order)
    found.put("later", grade=LAN, priority=1000)
    assert "later" not in started(found, until=20.0, since=10.1), "all of them are under way"


def test_what_the_other_side_has_checked_comes_first() -> None:
    found = checks()
    put(found, a=LAN, b=LAN, c=LAN)
    assert not found.trigger("c")
    found.trigger("c")
    assert started(found, until=1.0) == ["c", "a", "b"]
    assert found.trigger("a"), "it is under way: send it again"
    found.on_silence("a", now=0.2)
    assert not found.trigger("a"), "it has failed: try it again"
    assert started(found, until=2.0, since=1.1) == ["a"]
    assert not found.trigger("nobody")


def test_checks_keep_their_pace() -> None:
    found = checks()
    put(found, a=LAN, b=LAN)
    assert found.get_timer(now=0.0) == 0.0
    assert found.next_check(now=0.0) == "a"
    assert found.next_check(now=PACE / 2) is None
    assert found.get_timer(now=PACE / 2) == PACE
    assert found.next_check(now=PACE) == "b"


# Selection between our own


def test_the_first_that_works_is_taken_and_left_for_a_better_one() -> None:
    found = checks()
    put(found, host=LAN, mapped=REFLEXIVE, relay=BY_UDP, tcp=BY_TCP)
    started(found, until=0.1)
    taken = []
    for key in ("tcp", "relay", "mapped", "host"):
        found.on_answer(key, rtt=0.01, now=0.2)
        taken.append(found.selected)
    assert taken == ["tcp", "relay", "mapped", "host"]
    found.on_answer("mapped", rtt=0.0001, now=0.3)
    assert found.selected == "host"
    assert found.selections == 4


def test_a_better_one_that_comes_too_late_is_left() -> None:
    found = checks()
    put(found, relay=BY_UDP, host=LAN)
    started(found, until=0.1)
    found.on_answer("relay", rtt=0.01, now=1.0)
    assert found.get_timer(now=2.0) == 1.0 + IMPROVE_FOR
    assert not found.is_improving(now=1.0 + IMPROVE_FOR)
    found.put("late", grade=LAN, priority=1)
    assert started(found, until=20.0, since=1.1 + IMPROVE_FOR) == []
    found.on_answer("host", rtt=0.01, now=1.1 + IMPROVE_FOR)
    assert found.selected == "relay"


def test_a_better_one_that_has_failed_is_tried_again_for_a_while() -> None:
    found = checks()
    put(found, host=LAN, relay=BY_UDP, tcp=BY_TCP)
    started(found, until=0.1)
    found.on_answer("relay", rtt=0.01, now=0.2)
    found.on_silence("host", now=5.0)
    found.on_silence("tcp", now=5.0)
    assert found.get_timer(now=5.0) == 5.0 + RETRY_AFTER
    assert started(found, until=5.0 + 2 * RETRY_AFTER, since=5.0) == ["host"]
    found.on_silence("host", now=14.9)
    assert started(found, until=30.0, since=0.3 + IMPROVE_FOR) == []


def test_worse_ones_are_not_checked_any_more() -> None:
    found = checks()
    put(found, host=LAN, mapped=REFLEXIVE, relay=BY_UDP)
    assert found.next_check(now=0.0) == "host"
    found.on_answer("host", rtt=0.01, now=0.01)
    assert started(found, until=1.0, since=0.01) == []
    assert found.is_wanted("host")
    assert not found.is_wanted("relay")
    assert not found.is_wanted("nobody")
    put(found, another=LAN)
    assert started(found, until=2.0, since=1.0)[0] == "another"


def answer(found: CheckList[str], key: str, *, times: int, rtt: float, now: float) -> None:
    for _ in range(times):
        found.on_answer(key, rtt=rtt, now=now)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (0.040, 0.020, "second"),
        (0.040, 0.035, "first"),  # less than the margin
        (0.012, 0.012 - LEAST_GAIN / 1.1, "first"),
        (0.020, 0.040, "first"),
    ],
)
def test_of_equals_the_clearly_faster_one_is_taken(first: float, second: float, taken: str) -> None:
    found = checks()
    put(found, first=LAN, second=LAN)
    started(found, until=0.02)
    found.on_answer("first", rtt=first, now=0.1)
    found.on_answer("second", rtt=second, now=0.1)
    assert found.selected == "first", "one round trip says nothing"
    rtts = {"first": first, "second": second}
    now, measured = 0.1, []
    while now < 3.0:
        if (key := found.next_check(now=now)) is not None:
            measured.append(key)
            found.on_answer(key, rtt=rtts[key], now=now + 0.01)
        now += SAMPLE_INTERVAL / 4
    assert sorted(measured) == ["first"] * (SAMPLES - 1) + ["second"] * (SAMPLES - 1)
    assert found.selected == taken


def test_the_round_trip_is_the_least_of_the_samples() -> None:
    found = checks()
    put(found, first=LAN)
    assert found.pending() == 1
    started(found, until=0.02)
    assert found.pending() == 1
    assert found.rtt_of("first") is None
    for rtt in (0.3, 0.1, 0.2):
        found.on_answer("first", rtt=rtt, now=0.1)
    assert found.rtt_of("first") == 0.1
    assert found.rtt_of("nobody") is None
    assert found.pending() == 0


def test_a_measurement_that_fails_changes_nothing() -> None:
    found = checks()
    put(found, first=LAN, second=LAN)
    started(found, until=0.02)
    found.on_answer("first", rtt=0.1, now=0.1)
    found.on_answer("second", rtt=0.01, now=0.1)
    for now in (0.2, 0.3, 0.4, 0.5, 0.6):
        if (key := found.next_check(now=now)) is not None:
            found.on_silence(key, now=now)
    assert found.selected == "first"
    assert found.next_check(now=9.0) is None


# The controlled side


def test_the_controlled_side_sends_on_what_works_until_it_is_told() -> None:
    found = checks(controlling=False)
    put(found, host=LAN, relay=BY_UDP)
    started(found, until=0.1)
    found.on_answer("relay", rtt=0.1, now=0.2)
    assert found.selected == "relay"
    found.on_answer("host", rtt=0.1, now=0.3)
    assert found.selected == "host", "a better guess"
    found.on_nomination("relay", now=0.4)
    assert found.selected == "relay"
    found.on_answer("host", rtt=0.0001, now=0.5)
    assert found.selected == "relay", "it has been told"
    found.on_nomination("host", now=0.6)
    assert found.selected == "host", "and told again"


def test_a_nomination_waits_for_the_own_check() -> None:
    found = checks(controlling=False)
    put(found, host=LAN, relay=BY_UDP)
    found.on_nomination("host", now=0.0)
    assert found.selected is None
    started(found, until=0.1)
    found.on_answer("relay", rtt=0.1, now=0.2)
    found.on_answer("host", rtt=0.1, now=0.3)
    assert found.selected == "host"


def test_an_overtaken_nomination_is_not_obeyed_but_a_later_one_is() -> None:
    found = checks(controlling=False)
    put(found, host=LAN, relay=BY_UDP)
    started(found, until=0.1)
    for key in ("host", "relay"):
        found.on_answer(key, rtt=0.1, now=0.2)
    found.on_nomination("host", now=0.3)
    found.on_nomination("relay", now=0.3 + SETTLE / 2)
    assert found.selected == "host"
    found.on_nomination("relay", now=0.3 + 2 * SETTLE)
    assert found.selected == "relay"


def test_who_is_told_again_and_again_stays_in_the_end() -> None:
    found = checks(controlling=False)
    put(found, here=LAN, there=LAN)
    started(found, until=0.1)
    for key in ("here", "there"):
        found.on_answer(key, rtt=0.1, now=0.2)
    for number in range(3 * MAX_SELECTIONS):
        found.on_nomination("here" if number % 2 else "there", now=1.0 + number)
    assert found.selections == MAX_SELECTIONS


def test_the_controlling_side_is_not_told() -> None:
    found = checks()
    put(found, host=LAN, relay=BY_UDP)
    started(found, until=0.1)
    for key in ("host", "relay"):
        found.on_answer(key, rtt=0.1, now=0.2)
    found.on_nomination("relay", now=9.0)
    found.on_nomination("nobody", now=9.0)
    assert found.selected == "host"


# With others


def test_to_others_a_pair_is_nominated_once() -> None:
    found = checks(own=False)
    put(found, host=LAN, mapped=REFLEXIVE)
    started(found, until=0.1)
    found.on_answer("mapped", rtt=0.1, now=0.2)
    found.on_answer("host", rtt=0.1, now=0.3)
    assert found.selected == "mapped"
    assert started(found, until=1.0, since=0.4) == []


def test_a_relay_waits_for_the_direct_ways_of_others() -> None:
    found = checks(own=False)
    put(found, host=LAN, relay=BY_UDP)
    started(found, until=0.1)
    found.on_answer("relay", rtt=0.1, now=0.2)
    assert found.selected is None
    assert found.get_timer(now=0.2) == 0.2 + RELAY_PATIENCE
    found.next_check(now=0.2 + RELAY_PATIENCE)
    assert found.selected == "relay"


def test_a_relay_does_not_wait_for_nothing() -> None:
    found = checks(own=False)
    put(found, host=LAN, relay=BY_UDP)
    started(found, until=0.1)
    found.on_silence("host", now=0.2)
    found.on_answer("relay", rtt=0.1, now=0.2)
    assert found.selected == "relay"


# Failure


def test_there_is_hope_until_all_have_failed_and_no_more_will_come() -> None:
    found = checks()
    assert not found.is_hopeless(now=99.0, is_complete=True), "it has not begun"
    put(found, a=LAN, b=LAN)
    started(found, until=0.1)
    found.on_silence("a", now=0.2)
    assert not found.is_hopeless(now=9.0, is_complete=True)
    found.on_silence("b", now=0.2)
    assert not found.is_hopeless(now=9.0, is_complete=False)
    assert not found.is_hopeless(now=HOPE / 2, is_complete=True), "from where nobody expects it"
    assert found.is_hopeless(now=9.0, is_complete=True)
    found.trigger("a")
    assert not found.is_hopeless(now=9.0, is_complete=True)


def test_without_any_candidate_there_is_no_hope() -> None:
    found = checks()
    found.next_check(now=0.0)
    assert found.is_hopeless(now=0.0, is_complete=True)
    assert not found.is_hopeless(now=0.0, is_complete=False)


# Both sides


@dataclass
class End:
    """One side, whose checks take as long as the table says; None: for ever."""

    checks: CheckList[str]
    delays: dict[str, float | None]
    due: list[tuple[float, str, str]] = field(default_factory=list)
    told: str | None = None


def run_both(ends: tuple[End, End], *, until: float) -> None:
    """Let two sides check the pairs of one table against each other, on virtual time."""
    now = 0.0
    while now < until:
        for end, other in (ends, ends[::-1]):
            for event in [event for event in sorted(end.due) if event[0] <= now]:
                end.due.remove(event)
                _, kind, key = event
                delay = end.delays[key]
                if kind == "answer" and delay is not None:
                    end.checks.on_answer(key, rtt=delay, now=now)
                elif kind == "heard":
                    end.checks.trigger(key)
                else:
                    end.checks.on_nomination(key, now=now)
            checked = end.checks.next_check(now=now)
            if checked is not None and (delay := end.delays[checked]) is not None:
                end.due.append((now + delay, "answer", checked))
                other.due.append((now + delay / 2, "heard", checked))
            selected = end.checks.selected
            if end.checks.is_controlling and selected not in (None, end.told):
                assert selected is not None
                end.told = selected
                delay = end.delays[selected]
                assert delay is not None
                other.due.append((now + delay / 2, "nominated", selected))
        now += 0.004


PAIRS = st.lists(
    st.tuples(st.sampled_from(list(Grade)), st.one_of(st.none(), st.floats(0.002, 0.4))),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)  # hundreds of steps, on a machine that may be busy
@given(PAIRS, st.integers(0, 100))
@example([(BY_TLS, None), (BY_TCP, 0.015625), (BY_TCP, 0.03125)], 0)
def test_both_sides_end_on_the_best_pair_that_works(
    pairs: list[tuple[Grade, float | None]], head_start: int
) -> None:
    delays = {f"{number}": delay for number, (_, delay) in enumerate(pairs)}
    ends = End(checks(), delays), End(checks(controlling=False), delays)
    for number, (worth, _) in enumerate(pairs):
        for end in ends:
            end.checks.put(f"{number}", grade=worth, priority=number)
    ends[1].due.append((head_start / 1000, "heard", "0"))
    run_both(ends, until=2.0)
    working = [grade for grade, delay in pairs if delay is not None]
    selected = ends[0].checks.selected
    assert ends[1].checks.selected == selected
    if not working:
        assert selected is None
        return
    assert selected is not None
    assert pairs[int(selected)][0] is max(working)
    least = min((d for g, d in pairs if g is max(working) and d is not None), default=math.inf)
    taken = delays[selected]
    assert taken is not None
    assert taken <= max(least / 0.7, least + LEAST_GAIN) + 1e-9, "about the fastest of them"
