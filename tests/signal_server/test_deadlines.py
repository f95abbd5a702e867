import math

from hypothesis import given
from hypothesis import strategies as st

from signal_server.deadlines import Deadlines


def test_the_earliest_comes_first() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("late", 2.0)
    deadlines.set("early", 1.0)
    assert deadlines.next() == 1.0
    assert deadlines.pop_due(now=0.9) is None
    assert deadlines.pop_due(now=2.0) == "early"
    assert deadlines.pop_due(now=2.0) == "late"
    assert deadlines.pop_due(now=2.0) is None
    assert deadlines.next() is None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 9)), max_size=200),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_whoever_arms_a_timer_when_he_is_told_is_never_late(
    changes: list[tuple[int, int | None]], goes_off: list[int]
) -> None:
    armed_for = math.inf

    def arm() -> None:
        nonlocal armed_for
        armed_for = min(armed_for, deadlines.next() or armed_for)

    deadlines: Deadlines[int] = Deadlines(arm)
    for number, (key, when) in enumerate(changes):
        if number in goes_off:  # early or not, and nothing is taken
            armed_for = math.inf
            arm()
        deadlines.set(key, None if when is None else 1.0 + when)
        assert armed_for <= (deadlines.next() or math.inf)


def test_a_new_deadline_replaces_the_old_one() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert deadlines.next() == 5.0
    deadlines.set("a", None)
    assert deadlines.next() is None
    deadlines.set("a", None)


def test_keys_are_never_compared() -> None:
    deadlines: Deadlines[object] = Deadlines()
    first, second = object(), object()
    deadlines.set(first, 1.0)
    deadlines.set(second, 1.0)
    assert [deadlines.pop_due(now=1.0), deadlines.pop_due(now=1.0)] == [first, second]


times = st.none() | st.integers(0, 20).map(float)


@given(st.lists(st.one_of(st.tuples(st.integers(0, 4), times), st.integers(0, 20)), max_size=300))
def test_like_a_plain_dictionary(steps: list[tuple[int, float | None] | int]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, float] = {}
    for step in steps:
        if isinstance(step, int):
            while (key := deadlines.pop_due(now=step)) is not None:
                assert model.pop(key) <= step
            assert all(when > step for when in model.values())
        else:
            deadlines.set(*step)
            model.pop(step[0], None)
            if step[1] is not None:
                model[step[0]] = step[1]
        assert deadlines.next() == min(model.values(), default=None)
    assert len(deadlines._heap) <= 2 * len(model) + 65


def test_setting_one_over_and_over_takes_no_memory() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for second in range(10_000):
        deadlines.set("a", float(10_000 - second))
    assert len(deadlines._heap) < 100
