"""Every state of the sending side against every message, and the arithmetic of the window."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import (
    ConnectionLost,
    Declined,
    DigestMismatch,
    InternalError,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.transfer.frames import MAX_PAYLOAD, parse_frame_untrusted
from rtcsend.transfer.messages import MIN_WINDOW, ProposedEntry
from rtcsend.transfer.sender import (
    Accepted,
    Completed,
    SenderEvent,
    SenderMachine,
    SenderState,
    Skipped,
    Written,
)

SIZE = 200
SENT = 100  # bytes of it, in the state "sending"
DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32

ACCEPT = '{"type":"accept","entries":[0],"window":65536,"limit":0}'
SKIP = '{"type":"accept","entries":[],"window":65536,"limit":0}'
ABORT = '{"type":"abort","code":"declined","reason":"No."}'


def written(count: int) -> str:
    return json.dumps({"type": "written", "entry": 0, "bytes": count})


def complete(digest: str = DIGEST) -> str:
    return json.dumps({"type": "complete", "entry": 0, "digest": digest})


def new_machine(size: int = SIZE) -> SenderMachine:
    machine = SenderMachine(ProposedEntry(path="x", kind="file", size=size), sender="ada", now=0.0)
    machine.messages_to_send()
    return machine


def send(machine: SenderMachine, count: int) -> None:
    while count:
        size = min(count, MAX_PAYLOAD)
        machine.frame(memoryview(bytes(size)), now=0.0)
        count -= size


def proposed() -> SenderMachine:
    return new_machine()


def sending() -> SenderMachine:
    machine = new_machine()
    machine.receive_control_untrusted(ACCEPT, now=0.0)
    send(machine, SENT)
    return machine


def ended() -> SenderMachine:
    machine = sending()
    send(machine, SIZE - SENT)
    machine.end(DIGEST, now=0.0)
    return machine


def completed() -> SenderMachine:
    machine = ended()
    machine.receive_control_untrusted(complete(), now=0.0)
    return machine


def skipped() -> SenderMachine:
    machine = new_machine()
    machine.receive_control_untrusted(SKIP, now=0.0)
    return machine


STATES = {
    "proposed": proposed,
    "sending": sending,
    "ended": ended,
    "completed": completed,
    "skipped": skipped,
}
MESSAGES = {
    "accept": ACCEPT,
    "accept nothing": SKIP,
    "written 0": written(0),
    "written some": written(SENT),
    "written all": written(SIZE),
    "written too much": written(SIZE + 1),
    "complete": complete(),
    "complete, another digest": complete(OTHER_DIGEST),
    "ping": '{"type":"ping"}',
    "abort": ABORT,
    "proposal": '{"type":"proposal","entries":[{"path":"x","kind":"file","size":1}],"sender":""}',
    "end": json.dumps({"type": "end", "entry": 0, "digest": DIGEST}),
    "bye": '{"type":"bye"}',
    "unknown": '{"type":"pong"}',
    "empty": "",
}
ALLOWED: dict[tuple[str, str], SenderEvent | None] = {
    ("proposed", "accept"): Accepted(limit=0),
    ("proposed", "accept nothing"): Skipped(),
    ("sending", "written 0"): Written(bytes=0),
    ("sending", "written some"): Written(bytes=SENT),
    ("ended", "written 0"): Written(bytes=0),
    ("ended", "written some"): Written(bytes=SENT),
    ("ended", "written all"): Written(bytes=SIZE),
    ("ended", "complete"): Completed(),
    **{(state, "ping"): None for state in STATES},
}
RAISED: dict[tuple[str, str], type[RtcsendError]] = {
    ("ended", "complete, another digest"): DigestMismatch,
    **{(state, "abort"): Declined for state in STATES},
}


def drain(machine: SenderMachine) -> list[SenderEvent]:
    events = []
    while event := machine.next_event():
        events.append(event)
    return events


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("state", STATES)
def test_every_state_and_message(state: str, message: str) -> None:
    machine = STATES[state]()
    drain(machine)
    key = state, message
    if key in ALLOWED:
        machine.receive_control_untrusted(MESSAGES[message], now=1.0)
        expected = ALLOWED[key]
        assert drain(machine) == ([] if expected is None else [expected])
        return
    before = machine.state
    with pytest.raises(RtcsendError) as caught:
        machine.receive_control_untrusted(MESSAGES[message], now=1.0)
    assert type(caught.value) is RAISED.get(key, PeerProtocolError)
    assert machine.state is before
    assert drain(machine) == []


def test_every_state_is_in_the_table() -> None:
    assert {make().state for make in STATES.values()} == set(SenderState)


def test_the_proposal_comes_first_and_once() -> None:
    entry = ProposedEntry(path="film.iso", kind="file", size=5)
    machine = SenderMachine(entry, sender="ada", now=0.0)
    assert [json.loads(text) for text in machine.messages_to_send()] == [
        {
            "type": "proposal",
            "entries": [{"path": "film.iso", "kind": "file", "size": 5}],
            "sender": "ada",
        }
    ]
    assert machine.messages_to_send() == []


def test_the_limit_is_told() -> None:
    machine = new_machine()
    machine.receive_control_untrusted(ACCEPT.replace('"limit":0', '"limit":125'), now=0.0)
    assert drain(machine) == [Accepted(limit=125)]


def test_frames_follow_each_other() -> None:
    machine = new_machine(size=3)
    machine.receive_control_untrusted(ACCEPT, now=0.0)
    first = parse_frame_untrusted(machine.frame(memoryview(b"ab"), now=0.0))
    second = parse_frame_untrusted(machine.frame(memoryview(b"c"), now=0.0))
    assert (first.entry, first.offset, bytes(first.payload)) == (0, 0, b"ab")
    assert (second.entry, second.offset, bytes(second.payload)) == (0, 2, b"c")


def test_the_end_is_told_with_its_digest() -> None:
    machine = ended()
    assert [json.loads(text) for text in machine.messages_to_send()] == [
        {"type": "end", "entry": 0, "digest": DIGEST}
    ]


def test_an_empty_file_ends_at_once() -> None:
    machine = new_machine(size=0)
    machine.receive_control_untrusted(ACCEPT, now=0.0)
    assert machine.sendable == 0
    machine.end(DIGEST, now=0.0)
    machine.receive_control_untrusted(complete(), now=0.0)
    assert machine.state is SenderState.COMPLETE


@pytest.mark.parametrize("state", STATES)
def test_nothing_may_be_sent_but_in_one_state(state: str) -> None:
    machine = STATES[state]()
    if state == "sending":
        assert machine.sendable == SIZE - SENT
        return
    assert machine.sendable == 0
    with pytest.raises(InternalError):
        machine.frame(memoryview(b"x"), now=0.0)
    with pytest.raises(InternalError):
        machine.end(DIGEST, now=0.0)


def test_the_end_may_not_come_early() -> None:
    with pytest.raises(InternalError):
        sending().end(DIGEST, now=0.0)


def test_the_window_closes_and_opens() -> None:
    machine = new_machine(size=10 * MIN_WINDOW)
    machine.receive_control_untrusted(ACCEPT, now=0.0)
    assert machine.sendable == MIN_WINDOW
    send(machine, MIN_WINDOW)
    assert machine.sendable == 0
    with pytest.raises(InternalError):
        machine.frame(memoryview(b"x"), now=0.0)
    machine.receive_control_untrusted(written(1), now=0.0)
    assert machine.sendable == 1
    machine.receive_control_untrusted(written(MIN_WINDOW), now=0.0)
    assert machine.sendable == MIN_WINDOW


@pytest.mark.parametrize("count", [SENT + 1, SIZE, SIZE + 1, 2**53 - 1])
def test_what_was_not_sent_cannot_be_acknowledged(count: int) -> None:
    with pytest.raises(PeerProtocolError):
        sending().receive_control_untrusted(written(count), now=0.0)


def test_acknowledgements_may_repeat_and_never_shrink() -> None:
    machine = sending()
    for count in (50, 50, 51):
        machine.receive_control_untrusted(written(count), now=0.0)
    with pytest.raises(PeerProtocolError):
        machine.receive_control_untrusted(written(50), now=0.0)


@given(
    size=st.integers(0, 400_000),
    window=st.integers(MIN_WINDOW, 300_000),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=80),
)
def test_window_arithmetic(size: int, window: int, steps: list[tuple[bool, float]]) -> None:
    machine = new_machine(size=size)
    accept = json.dumps({"type": "accept", "entries": [0], "window": window, "limit": 0})
    machine.receive_control_untrusted(accept, now=0.0)
    sent = done = 0
    for is_frame, share in steps:
        assert machine.sendable == min(window - (sent - done), size - sent) >= 0
        if is_frame and (count := round(share * min(machine.sendable, MAX_PAYLOAD))):
            frame = parse_frame_untrusted(machine.frame(memoryview(bytes(count)), now=0.0))
            assert frame.offset == sent
            sent += count
        elif not is_frame:
            done += int(share * (sent - done))
            machine.receive_control_untrusted(written(done), now=0.0)


def test_bye() -> None:
    machine = completed()
    machine.messages_to_send()
    machine.bye(now=0.0)
    assert machine.messages_to_send() == ['{"type":"bye"}']


def test_pings_fill_the_gaps_and_silence_ends_it() -> None:
    machine = new_machine()
    for ping in (4.0, 8.0, 12.0, 16.0):
        assert machine.get_timer() == ping
        machine.handle_timer(now=ping)
        assert machine.messages_to_send() == ['{"type":"ping"}']
    with pytest.raises(ConnectionLost):
        machine.handle_timer(now=machine.get_timer())


def test_frames_are_signs_of_life_too() -> None:
    machine = new_machine()
    machine.receive_control_untrusted(ACCEPT, now=3.0)
    assert machine.get_timer() == 4.0
    machine.frame(memoryview(b"x"), now=3.5)
    assert machine.get_timer() == 7.5
    machine.handle_timer(now=4.0)
    assert machine.messages_to_send() == []


def test_whatever_comes_is_a_sign_of_life() -> None:
    machine = new_machine()
    for second in range(1, 100):
        machine.receive_control_untrusted('{"type":"ping"}', now=float(second))
        machine.handle_timer(now=float(second))


@given(st.text(max_size=100))
def test_any_text_in_any_state(text: str) -> None:
    for make in STATES.values():
        with pytest.raises(PeerProtocolError):
            make().receive_control_untrusted(text, now=0.0)
