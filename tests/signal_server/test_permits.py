import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.rendezvous.messages import AUTH
from signal_server.permits import LIFETIME, Permits

NOW = 1_800_000_000.0


def given_by(*tokens: str) -> str:
    permit = Permits(tokens).give(now=NOW)
    assert permit is not None
    assert AUTH.fullmatch(permit)
    return permit


def test_without_tokens_everybody_may_meet() -> None:
    assert Permits(()).give(now=NOW) is None
    assert Permits(()).is_good_untrusted(None, now=NOW)


def test_a_permit_is_good_for_a_time_and_for_any_server_with_the_token() -> None:
    permit = given_by("one", "two")
    for tokens in (("one",), ("two", "one")):
        assert Permits(tokens).is_good_untrusted(permit, now=NOW + LIFETIME - 1)
        assert not Permits(tokens).is_good_untrusted(permit, now=NOW + LIFETIME)
    assert not Permits(("two",)).is_good_untrusted(permit, now=NOW)


@pytest.mark.parametrize("change", ["later", "unsigned", "of another", "cut", "none"])
def test_what_was_changed_is_not_good(change: str) -> None:
    until, _, signature = given_by("one").partition(".")
    permit = {
        "later": f"{int(until) + 1}.{signature}",
        "unsigned": until,
        "of another": f"{until}.{given_by('two').partition('.')[2]}",
        "cut": f"{until}.{signature[:-1]}",
        "none": None,
    }[change]
    assert not Permits(("one",)).is_good_untrusted(permit, now=NOW)


@given(st.text() | st.from_regex(r"[0-9]{1,30}\..{43}", fullmatch=True))
def test_any_other_text_is_not_good(text: str) -> None:
    assert not Permits(("one",)).is_good_untrusted(text, now=0.0)
