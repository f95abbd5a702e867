import errno

import pytest

from rtcsend.peer.path_health import MAX_SLEEP, PathHealth


class Look:
    """Looks at a path every second, on clocks that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.uptime = 5_000.0
        self.health = PathHealth(now=self.now, uptime=self.uptime)

    def after(
        self, seconds: float = 1.0, *, asleep: float = 0.0, error: int | None = None
    ) -> str | None:
        self.now += seconds
        self.uptime += seconds + asleep
        return self.health.maybe_lost(now=self.now, uptime=self.uptime, error=error)


def test_a_good_path() -> None:
    look = Look()
    assert [look.after() for _ in range(100)] == [None] * 100


def test_short_delays_are_nothing() -> None:
    look = Look()
    assert look.after(MAX_SLEEP) is None
    assert look.after(1.0, asleep=MAX_SLEEP) is None
    assert look.after() is None


@pytest.mark.parametrize(("seconds", "asleep"), [(1.0, 6.0), (7.1, 0.0), (1.0, 7200.0)])
def test_a_sleep(seconds: float, asleep: float) -> None:
    look = Look()
    reason = look.after(seconds, asleep=asleep)
    assert reason is not None
    assert "asleep" in reason
    assert look.after() is None  # the next path has not slept


def test_a_clock_that_goes_back_is_no_sleep() -> None:
    assert Look().after(asleep=-3600.0) is None


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errno.EADDRNOTAVAIL, "address"),
        (errno.ENETUNREACH, "no way"),
        (errno.EHOSTUNREACH, "no way"),
        (errno.ENETDOWN, "down"),
    ],
)
def test_an_error_that_stays(error: int, word: str) -> None:
    look = Look()
    assert look.after(error=error) is None
    reason = look.after(error=error)
    assert reason is not None
    assert word in reason


def test_an_error_that_goes() -> None:
    look = Look()
    for _ in range(5):
        assert look.after(error=errno.ENETUNREACH) is None
        assert look.after() is None


def test_two_errors_in_a_row_count_together() -> None:
    look = Look()
    assert look.after(error=errno.EADDRNOTAVAIL) is None
    assert look.after(error=errno.ENETUNREACH) is not None


def test_an_error_that_says_nothing_about_the_path() -> None:
    look = Look()
    assert [look.after(error=errno.EMFILE) for _ in range(5)] == [None] * 5
