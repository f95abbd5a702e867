import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.serving.admission import FIRST_PAUSE, LONGEST_PAUSE, WRONG_GUESSES, Admission


def test_as_many_get_in_as_were_asked_for() -> None:
    admission = Admission(receivers=2, forever=False)
    for _ in range(2):
        assert admission.has_room
        admission.came()
        admission.proved()
    admission.left()
    assert (admission.has_room, admission.is_over, admission.is_burnt) == (False, True, False)


def test_a_wrong_guess_takes_nobody_s_place() -> None:
    admission = Admission(receivers=3, forever=False)
    admission.came()
    admission.failed(now=7.0)
    assert (admission.wrong, admission.opens_at) == (1, 0.0)
    for _ in range(3):
        admission.came()
        admission.proved()
    assert admission.is_over
    assert not admission.is_burnt


@pytest.mark.parametrize(("receivers", "bears"), [(1, 1), (2, 2), (3, 3), (4, 4), (64, 4)])
def test_a_code_bears_no_more_guesses_than_codes_for_each_would(receivers: int, bears: int) -> None:
    admission = Admission(receivers=receivers, forever=False)
    for _ in range(bears):
        assert admission.has_room
        admission.came()
        admission.failed(now=0.0)
    assert admission.is_burnt
    assert not admission.has_room


def test_for_ever_a_place_is_free_again_and_wrong_guesses_cost_time() -> None:
    admission = Admission(receivers=1, forever=True)
    for _ in range(100):
        admission.came()
        admission.proved()
        assert not admission.has_room
        admission.left()
        assert admission.has_room
    pauses = []
    for _ in range(4):
        for _ in range(WRONG_GUESSES):
            admission.came()
            admission.failed(now=1000.0)
            pauses.append(admission.opens_at - 1000.0)
        assert admission.is_burnt
        admission.renew()
        assert admission.has_room
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert pauses == sorted(pauses)


@given(
    receivers=st.integers(min_value=1, max_value=64),
    forever=st.booleans(),
    moves=st.lists(st.sampled_from(["came", "proved", "failed", "left"]), max_size=200),
)
def test_nobody_gets_more_guesses_or_places_whatever_happens_when(
    receivers: int, forever: bool, moves: list[str]
) -> None:
    admission = Admission(receivers=receivers, forever=forever)
    pending = inside = guesses = 0
    for move in moves:
        if move == "came" and admission.has_room:
            admission.came()
            pending += 1
        elif move == "proved" and pending:
            admission.proved()
            pending, inside = pending - 1, inside + 1
        elif move == "failed" and pending:
            admission.failed(now=0.0)
            pending, guesses = pending - 1, guesses + 1
        elif move == "left" and inside:
            admission.left()
            inside -= 1
        # Also if all who are at the door turn out to guess.
        assert guesses + pending <= WRONG_GUESSES
        assert guesses + pending <= receivers or forever
        assert inside + pending <= receivers
        assert forever or admission.proven <= receivers
