"""Names that two machines derive, and nobody else."""

import itertools
import os

from hypothesis import given
from hypothesis import strategies as st

from rtcsend.pairing.doors import (
    CLOCK_SKEW,
    DAY,
    Direction,
    day_of,
    days_of,
    next_change,
    room_name,
)
from rtcsend.pairing.keys import derive_session_keys
from rtcsend.rendezvous.messages import is_mailbox

ONE = Direction(secret=bytes(32), sender=b"s" * 32, receiver=b"r" * 32)
BACK = Direction(secret=bytes(32), sender=b"r" * 32, receiver=b"s" * 32)
OTHER = Direction(secret=b"x" * 32, sender=b"s" * 32, receiver=b"r" * 32)
TIMES = st.floats(min_value=0, max_value=2**40)


def test_all_names_are_mailboxes_and_differ() -> None:
    note = ONE.make_note(os.urandom)
    names = [
        room_name(derive_session_keys(bytes(32))),
        *(each.door_of_day(day) for each in (ONE, BACK, OTHER) for day in (20_000, 20_001)),
        *(each.door_of_note(note) for each in (ONE, BACK, OTHER)),
    ]
    assert len(set(names)) == len(names)
    assert all(map(is_mailbox, names))


def test_a_note_is_known_by_the_pair_alone_in_its_direction() -> None:
    note = ONE.make_note(os.urandom)
    assert ONE.is_note_untrusted(note)
    assert not BACK.is_note_untrusted(note)
    assert not OTHER.is_note_untrusted(note)
    assert ONE.make_note(os.urandom) != note


@given(st.text(max_size=60))
def test_nothing_else_is_a_note(text: str) -> None:
    assert not ONE.is_note_untrusted(text)


def test_no_character_of_a_note_can_be_changed() -> None:
    note = ONE.make_note(os.urandom)
    for at, letter in itertools.product(range(len(note)), "Ab"):
        changed = note[:at] + letter + note[at + 1 :]
        assert changed == note or not ONE.is_note_untrusted(changed)


@given(TIMES, st.floats(min_value=-CLOCK_SKEW, max_value=CLOCK_SKEW))
def test_a_sender_comes_to_a_door_where_the_receiver_waits(now: float, skew: float) -> None:
    if now + skew >= 0:
        assert day_of(now + skew) in days_of(now)


@given(TIMES)
def test_names_hold_until_the_next_change(now: float) -> None:
    seconds = next_change(now)
    assert 0 < seconds <= DAY
    for later in (0.0, 0.5, 0.999):
        at = now + seconds * later
        assert (day_of(at), days_of(at)) == (day_of(now), days_of(now))


def test_around_midnight_there_are_two_doors() -> None:
    midnight = 20_000 * DAY
    assert days_of(midnight + DAY / 2) == (20_000,)
    assert days_of(midnight + CLOCK_SKEW - 1) == (19_999, 20_000)
    assert days_of(midnight - CLOCK_SKEW) == (19_999, 20_000)
    assert days_of(midnight + CLOCK_SKEW) == (20_000,)


def test_a_direction_shows_no_secret() -> None:
    assert "secret" not in repr(OTHER)
    assert "xxxx" not in repr(OTHER)
