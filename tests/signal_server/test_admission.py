"""Who is let in, on virtual time: every second is the test's own."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UsageError
from signal_server.admission import SPARE_CONNECTIONS, Admission
from signal_server.limits import Limits
from signal_server.messages import MAX_FRAME
from signal_server.outputs import CLOSE_TRY_LATER, RequestRefused
from signal_server.tally import SPARE_PER_MINUTE


def new(*, auth_tokens: tuple[str, ...] = (), **limits: Any) -> Admission:
    return Admission(Limits(**limits), auth_tokens=auth_tokens)


def refusal(call: Callable[[], object]) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        call()
    return caught.value


def test_sockets_of_one_source() -> None:
    admission = new(sockets_per_source=2)
    for _ in range(2):
        admission.open_socket("a", now=0.0)
    refused = refusal(lambda: admission.open_socket("a", now=0.0))
    assert (refused.code, refused.close) == ("rate-limited", CLOSE_TRY_LATER)
    assert refused.message.retry_after == 30
    admission.open_socket("b", now=0.0)
    admission.close_socket("a")
    admission.open_socket("a", now=0.0)


def test_frames_of_one_source() -> None:
    admission = new(frames_per_minute=60)
    assert admission.pace("a", 60, now=0.0) == 0.0
    assert admission.pace("a", 5, now=0.0) == 5.0
    assert admission.pace("b", 5, now=0.0) == 0.0
    assert admission.pace("a", 0, now=5.0) == 0.0
    networks = [f"2001:db8:0:{n:x}::/64" for n in range(9)]
    assert [admission.pace(network, 60, now=0.0) for network in networks] == [0.0] * 8 + [7.5]


def test_new_sockets_a_minute() -> None:
    admission = new(new_sockets_per_minute=2)
    for _ in range(2):
        admission.open_socket("a", now=0.0)
        admission.close_socket("a")
    refused = refusal(lambda: admission.open_socket("a", now=10.0))
    assert refused.message.retry_after == 20
    admission.open_socket("a", now=30.0)


def test_a_site_has_eight_times_as_much() -> None:
    networks = [f"2001:db8:0:{n:x}::/64" for n in range(20)]
    admission = new(sockets_per_source=1, failed_claims=0)
    for network in networks[:8]:
        admission.open_socket(network, now=0.0)
    assert refusal(lambda: admission.open_socket(networks[8], now=0.0)).code == "rate-limited"
    admission.open_socket("2001:db8:1::/64", now=0.0)
    admission.close_socket(networks[0])
    admission.open_socket(networks[8], now=0.0)
    assert [admission.accept(network, now=0.0) for network in networks] == [True] * 16 + [False] * 4

    # One who asks too much does not use up what the others have.
    admission = new(claims_per_minute=1)
    for network in [networks[0]] * 50:
        with contextlib.suppress(RequestRefused):
            admission.claim(network, now=0.0)
    for network in networks[1:8]:
        admission.claim(network, now=0.0)
    refusal(lambda: admission.claim(networks[8], now=0.0))

    # Who guesses from many networks of one site gets no more than eight do.
    admission = new(failed_claims=1)
    now, tries = 0.0, 0
    for number in range(65_536):
        network = f"2001:db8:0:{number:x}::/64"
        try:
            admission.claim(network, now=now)
        except RequestRefused as refused:
            now += refused.retry_after or 0.0
            if now > 3_600.0:
                break
            admission.claim(network, now=now)
        admission.claim_failed(network, now=now)
        tries += 1
    assert 400 < tries < 8 * 60 + 2 * 8 + 20


def test_a_flood_is_cut() -> None:
    admission = new(sockets_per_source=2)
    assert [admission.accept("a", now=0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert admission.accept("b", now=0.0)
    admission.closed("a")
    assert admission.accept("a", now=0.0)
    # All clients of a proxy come from one address.
    assert all(admission.accept("proxy", now=0.0, exempt=True) for _ in range(100))


def test_a_flood_of_short_connections_is_cut_too() -> None:
    admission = new(new_sockets_per_minute=30)
    most = 2 * 30 + SPARE_PER_MINUTE
    for _ in range(most):
        assert admission.accept("a", now=0.0)
        admission.closed("a")
    assert not admission.accept("a", now=0.0)
    assert admission.accept("b", now=0.0)
    assert admission.accept("proxy", now=0.0, exempt=True)
    assert admission.accept("a", now=60.0 / most + 0.001)  # one more
    assert not admission.accept("a", now=60.0 / most + 0.001)


def test_connections_in_all() -> None:
    admission = new(max_sockets=1)
    accepted = [admission.accept(str(n), now=0.0) for n in range(SPARE_CONNECTIONS + 3)]
    assert accepted.count(True) == SPARE_CONNECTIONS + 1
    admission.closed("0")
    assert admission.accept("x", now=0.0, exempt=True)
    assert not admission.accept("x", now=0.0, exempt=True)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "2001:db8::/64"])), max_size=60)
)
def test_counts_come_back_to_nothing(steps: list[tuple[bool, str]]) -> None:
    admission = new(sockets_per_source=3, max_sockets=5)
    open_ones = []
    for opening, source in steps:
        if opening and admission.accept(source, now=0.0):
            open_ones.append(source)
        elif open_ones:
            admission.closed(open_ones.pop())
    for source in open_ones:
        admission.closed(source)
    assert len(admission._sources.connections) == len(admission._sites.connections) == 0
    assert admission._counters.connections == 0


def test_nameplates_claims_and_meetings_a_minute() -> None:
    admission = new(nameplates_per_minute=1, claims_per_minute=1, meetings_per_minute=1)
    calls: list[Callable[[float], None]] = [
        lambda now: admission.allocate("a", auth=None, now=now),
        lambda now: admission.claim("a", now=now),
        lambda now: admission.meet("a", now=now),
    ]
    for call in calls:
        call(0.0)
        refused = refusal(functools.partial(call, 15.0))
        assert (refused.code, refused.close) == ("rate-limited", None)
        assert refused.message.retry_after == 45
        call(60.0)


def test_guessing_gets_slower() -> None:
    admission = new(failed_claims=1)
    for _ in range(2):
        admission.claim("a", now=0.0)
        admission.claim_failed("a", now=0.0)
    # Right ones are refused as well, or waiting would cost a guesser nothing.
    refused = refusal(lambda: admission.claim("a", now=0.5))
    assert refused.code == "rate-limited"
    assert refused.message.retry_after == 5
    admission.claim("b", now=0.5)
    admission.claim("a", now=5.0)
    admission.claim_failed("a", now=5.0)
    assert refusal(lambda: admission.claim("a", now=5.0)).message.retry_after == 10


def test_only_holders_of_the_token_allocate() -> None:
    admission = new(auth_tokens=("open sesame", "other"))
    for wrong in (None, "", "open sesam", "open sesame ", "ünïcode"):
        refused = refusal(functools.partial(admission.allocate, "a", auth=wrong, now=0.0))
        assert (refused.code, refused.close) == ("unauthorized", None)
    for right in ("open sesame", "other"):
        admission.allocate("a", auth=right, now=0.0)
    admission.claim("a", now=0.0)
    admission.set_auth_tokens(["new"])
    assert refusal(lambda: admission.allocate("a", auth="other", now=0.0)).code == "unauthorized"
    admission.set_auth_tokens([])
    admission.allocate("a", auth=None, now=0.0)


def test_only_who_was_brought_together_meets() -> None:
    admission = new(auth_tokens=("secret",))
    permit = admission.permit()
    assert permit is not None
    admission.meet("a", permit=permit, now=0.0)
    assert refusal(lambda: admission.meet("a", permit=None, now=0.0)).code == "unauthorized"
    assert new().permit() is None


def test_who_has_the_token_meets_without_a_permit() -> None:
    admission = new(auth_tokens=("secret",), nameplates_per_minute=2)
    admission.meet("a", auth="secret", now=0.0)
    admission.meet("a", permit=admission.permit(), auth="wrong", now=0.0)
    codes = [refusal(lambda: admission.meet("b", auth="guess", now=0.0)).code for _ in range(3)]
    assert codes == ["unauthorized", "unauthorized", "rate-limited"]


def test_guessing_the_token_is_limited_like_allocating() -> None:
    admission = new(auth_tokens=("secret",), nameplates_per_minute=2)
    codes = [refusal(lambda: admission.allocate("a", auth="guess", now=0.0)).code for _ in range(3)]
    assert codes == ["unauthorized", "unauthorized", "rate-limited"]


def test_while_draining_what_is_there_can_be_finished() -> None:
    admission = new()
    admission.draining = True
    refused = refusal(lambda: admission.allocate("a", auth=None, now=0.0))
    assert refused.code == "full"
    assert refused.message.retry_after == 5
    admission.claim("a", now=0.0)
    admission.meet("a", now=0.0)


@pytest.mark.parametrize(
    "limits",
    [{"max_sockets": -1}, {"away_seconds": float("nan")}, {"away_seconds": float("inf")},
     {"max_frame": 100}, {"max_frame": MAX_FRAME + 1}],
)  # fmt: skip
def test_limits_that_cannot_be(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        Limits(**limits)
