import pytest

from rtcsend.errors import Declined, PeerNeverCame, RtcsendError
from rtcsend.events import Done
from rtcsend.serving.outcome import Outcome, combined


def done(
    *,
    seconds: float = 2.0,
    moved: int = 100,
    files: int = 1,
    blake3: str = "ab",
    ended_at: float = 12.0,
) -> Done:
    return Done(
        files=files,
        bytes=100 * files,
        moved=moved,
        wire=moved // 2,
        seconds=seconds,
        blake3=blake3,
        paths=("x",),
        ended_at=ended_at,
    )


def test_all_have_got_it() -> None:
    outcomes = [
        Outcome(receiver=1, done=done(seconds=2.0, ended_at=12.0)),
        Outcome(receiver=2, done=done(seconds=5.0, moved=40, ended_at=14.0)),
    ]
    assert combined(outcomes) == Done(
        files=1, bytes=100, moved=140, wire=70, seconds=5.0, blake3="ab", paths=("x",)
    )


def test_who_skips_everything_changes_no_digest() -> None:
    nothing = Done(files=0, bytes=0, moved=0, seconds=0.0, blake3="", paths=())
    outcomes = [
        Outcome(receiver=1, done=nothing),
        Outcome(receiver=2, done=done(seconds=2.0)),
    ]
    assert (combined(outcomes).blake3, combined(outcomes).seconds) == ("ab", 2.0)
    assert combined(outcomes[:1]) == nothing


def test_who_has_part_of_a_tree_has_another_digest_and_then_there_is_none() -> None:
    outcomes = [
        Outcome(receiver=1, done=done(files=2, blake3="cd")),
        Outcome(receiver=2, done=done(files=3)),
    ]
    assert (combined(outcomes).blake3, combined(outcomes).files) == ("", 3)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (
            {2: Declined("The receiver declined.")},
            "Of 3 receivers 2 got everything. Receiver 2 has not: the receiver declined.",
        ),
        (
            {2: Declined("The receiver declined."), 3: PeerNeverCame("He did not come.")},
            "Of 3 receivers 1 got everything. Receivers 2, 3 have not: the receiver declined.",
        ),
        (
            dict.fromkeys((1, 2, 3), Declined("No.")),
            "Of 3 receivers none got everything. Receivers 1, 2, 3 have not: no.",
        ),
    ],
)
def test_the_first_that_failed_is_the_end(errors: dict[int, RtcsendError], message: str) -> None:
    outcomes = [
        Outcome(receiver=number, error=errors[number])
        if number in errors
        else Outcome(receiver=number, done=done())
        for number in (1, 2, 3)
    ]
    with pytest.raises(Declined) as caught:
        combined(outcomes)
    assert caught.value.message == message
    assert caught.value.hint == Declined.default_hint
