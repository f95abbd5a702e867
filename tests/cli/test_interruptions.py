import pytest

from rtcsend.cli.interruptions import Interruption, Interruptions, Words
from rtcsend.events import Checking, Reconnecting, Resumed, Stalled


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Reconnecting(reason="Lost.", attempt=1),
            Words(status="Reconnecting (attempt 1)…", line="Lost.", log="Lost. Reconnecting…"),
        ),
        (
            Reconnecting(reason="No server.", attempt=3),
            Words(status="Reconnecting (attempt 3)… No server."),
        ),
        (
            Reconnecting(reason="No server.", attempt=64),
            Words(
                status="Reconnecting (attempt 64)… No server.",
                log="Reconnecting (attempt 64): No server.",
            ),
        ),
        (
            Resumed(bytes=1_200_000_000),
            Words(
                line="Going on: 1.2 GB need not be sent again.",
                log="Going on: 1.2 GB need not be sent again.",
            ),
        ),
        (Resumed(bytes=0), Words()),
        (
            Checking(bytes=10**9, total=4 * 10**9),
            Words(
                status="Checking what is there: 1.0/4.0 GB…", log="Checking what is there already…"
            ),
        ),
        (
            Stalled(seconds=4, reason="Nothing \x1b[2J comes."),
            Words(
                status="Nothing moves for 4 s. Nothing \\x1b[2J comes.",
                log="Nothing moves for 4 s. Nothing \\x1b[2J comes.",
            ),
        ),
    ],
)
def test_words(event: Interruption, words: Words) -> None:
    assert Interruptions().words(event) == words


def logged(interruptions: Interruptions, *events: Interruption) -> list[bool]:
    return [bool(interruptions.words(event).log) for event in events]


def test_repeated_news_become_rare_where_they_stay() -> None:
    stalls = [Stalled(seconds=5 * number, reason="Why.") for number in range(1, 10)]
    rare = [True, True, False, True, False, False, False, True, False]
    interruptions = Interruptions()
    assert logged(interruptions, *stalls) == rare
    interruptions.moved()
    assert logged(interruptions, *stalls) == rare
    assert logged(interruptions, Reconnecting(reason="Lost.", attempt=1), stalls[0]) == [True] * 2


def test_checking_is_said_once_a_time() -> None:
    interruptions = Interruptions()
    checks = [Checking(bytes=part, total=3) for part in range(3)]
    assert logged(interruptions, *checks) == [True, False, False]
    assert logged(interruptions, Resumed(bytes=3), checks[0]) == [True, True]
