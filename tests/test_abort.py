import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend import errors
from rtcsend.abort import MAX_REASON_LENGTH, abort_message, error_from_abort_untrusted
from rtcsend.errors import (
    CannotRead,
    CannotWrite,
    ConnectionLost,
    Declined,
    DigestMismatch,
    IncompatiblePeer,
    InternalError,
    Interrupted,
    NoRoute,
    NoSuchCode,
    PeerAborted,
    PeerNeverCame,
    PeerProtocolError,
    Refused,
    RendezvousUnreachable,
    RtcsendError,
    TargetExists,
    Terminated,
    UnsafePath,
    UsageError,
    WrongCode,
)
from rtcsend.strict_json import JsonObject, parse_object_untrusted

# What one side ends with, and what the other side then ends with.
OTHER_SIDE: dict[type[RtcsendError], type[RtcsendError]] = {
    InternalError: PeerAborted,
    UsageError: PeerAborted,
    RendezvousUnreachable: PeerAborted,
    Refused: PeerAborted,
    NoSuchCode: PeerAborted,
    PeerNeverCame: PeerAborted,
    WrongCode: WrongCode,
    IncompatiblePeer: IncompatiblePeer,
    NoRoute: NoRoute,
    ConnectionLost: ConnectionLost,
    Declined: Declined,
    PeerAborted: PeerAborted,
    DigestMismatch: DigestMismatch,
    PeerProtocolError: PeerProtocolError,
    CannotRead: PeerAborted,
    CannotWrite: CannotWrite,
    UnsafePath: Declined,
    TargetExists: Declined,
    Interrupted: PeerAborted,
    Terminated: PeerAborted,
}


def leaves(cls: type[RtcsendError]) -> Iterator[type[RtcsendError]]:
    subclasses = [c for c in cls.__subclasses__() if c.__module__ == errors.__name__]
    if not subclasses:
        yield cls
    for subclass in subclasses:
        yield from leaves(subclass)


def over_the_wire(error: RtcsendError) -> RtcsendError:
    text = json.dumps(abort_message(error))
    return error_from_abort_untrusted(parse_object_untrusted(text, max_size=10_000))


def test_the_table_names_every_error() -> None:
    assert set(OTHER_SIDE) == set(leaves(RtcsendError))


@pytest.mark.parametrize("cls", OTHER_SIDE, ids=lambda cls: cls.slug)
def test_what_the_other_side_ends_with(cls: type[RtcsendError]) -> None:
    error = over_the_wire(cls("This is why."))
    assert type(error) is OTHER_SIDE[cls]
    assert error.told_by_peer
    if cls not in {Interrupted, Terminated}:
        assert "This is why." in error.message


@pytest.mark.parametrize("cls", OTHER_SIDE, ids=lambda cls: cls.slug)
def test_the_private_sentence_stays_here(cls: type[RtcsendError]) -> None:
    private = cls("/home/ada/secret is full.", hint="Look at /home/ada.", for_peer="No space.")
    text = json.dumps(abort_message(private))
    assert "ada" not in text
    assert "No space." in text


def test_who_was_stopped_is_said_in_our_words() -> None:
    error = over_the_wire(Interrupted("\x1b[31mWhatever the other side says."))
    assert error.message == "The other side was stopped by its user."


def test_the_reason_is_one_line_of_bounded_length() -> None:
    message = abort_message(Declined("x" * 10_000))
    assert len(message["reason"]) == MAX_REASON_LENGTH
    assert type(error_from_abort_untrusted(message)) is Declined
    assert over_the_wire(Declined(" a\r\n\tb\x0b\u2028c ")).message == "a b c"
    assert over_the_wire(Declined("")).message == "The other side stopped."


def test_an_unknown_slug_is_an_abort() -> None:
    error = error_from_abort_untrusted({"code": "moon-phase", "reason": "Waxing."})
    assert type(error) is PeerAborted
    assert "Waxing." in error.message


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"code": "declined"},
        {"reason": "x"},
        {"code": None, "reason": "x"},
        {"code": 40, "reason": "x"},
        {"code": ["declined"], "reason": "x"},
        {"code": "d" * 65, "reason": "x"},
        {"code": "declined", "reason": None},
        {"code": "declined", "reason": 1},
        {"code": "declined", "reason": ["x"]},
        {"code": "declined", "reason": "x" * (MAX_REASON_LENGTH + 1)},
    ],
)
def test_malformed_aborts_are_refused(message: JsonObject) -> None:
    with pytest.raises(PeerProtocolError) as caught:
        error_from_abort_untrusted(message)
    assert not caught.value.told_by_peer


values = st.none() | st.integers() | st.text() | st.lists(st.text())


@given(st.fixed_dictionaries({}, optional={"code": values, "reason": values}))
def test_any_message_is_an_error_that_was_told_or_refused(message: JsonObject) -> None:
    try:
        error = error_from_abort_untrusted(message)
    except PeerProtocolError as refusal:
        error = refusal
    assert isinstance(error, RtcsendError)
    assert "\n" not in error.message
    assert len(error.message) <= MAX_REASON_LENGTH + 100
