"""Every state of the receiving side against every message, and every lie about the data."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import (
    ConnectionLost,
    InternalError,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.transfer.frames import MAX_PAYLOAD, serialize_frame
from rtcsend.transfer.messages import ProposalMessage, ProposedEntry, parse_control_untrusted
from rtcsend.transfer.receiver import (
    RECEIVE_WINDOW,
    WRITTEN_STEP,
    AllReceived,
    Proposed,
    ReceiverEvent,
    ReceiverMachine,
    ReceiverState,
    SenderKnows,
)

SIZE = 200
RECEIVED = 100  # bytes of it, in the state "receiving"
DIGEST = "ab" * 32

ABORT = '{"type":"abort","code":"interrupted","reason":"Ctrl-C."}'
END = json.dumps({"type": "end", "entry": 0, "digest": DIGEST})
BYE = '{"type":"bye"}'


def proposal(size: int = SIZE) -> str:
    entries = [{"path": "x", "kind": "file", "size": size}]
    return json.dumps({"type": "proposal", "entries": entries, "sender": "ada"})


def frame(offset: int, count: int, *, entry: int = 0) -> bytes:
    return serialize_frame(entry=entry, offset=offset, payload=bytes(count))


def awaiting() -> ReceiverMachine:
    return ReceiverMachine(now=0.0)


def deciding(size: int = SIZE) -> ReceiverMachine:
    machine = awaiting()
    machine.receive_control_untrusted(proposal(size), now=0.0)
    return machine


def receiving(size: int = SIZE, received: int = RECEIVED) -> ReceiverMachine:
    machine = deciding(size)
    machine.accept(limit=None, now=0.0)
    receive(machine, 0, received)
    return machine


def receive(machine: ReceiverMachine, offset: int, count: int) -> None:
    while count:
        size = min(count, MAX_PAYLOAD)
        machine.receive_frame_untrusted(frame(offset, size), now=0.0)
        offset, count = offset + size, count - size


def receiving_after_end() -> ReceiverMachine:
    machine = receiving()
    machine.receive_control_untrusted(END, now=0.0)
    return machine


def verifying() -> ReceiverMachine:
    machine = receiving_after_end()
    receive(machine, RECEIVED, SIZE - RECEIVED)
    return machine


def completed() -> ReceiverMachine:
    machine = verifying()
    machine.complete(DIGEST, now=0.0)
    return machine


def closed() -> ReceiverMachine:
    machine = completed()
    machine.receive_control_untrusted(BYE, now=0.0)
    return machine


def skipped() -> ReceiverMachine:
    machine = deciding()
    machine.skip(now=0.0)
    return machine


STATES: dict[str, Callable[[], ReceiverMachine]] = {
    "awaiting": awaiting,
    "deciding": deciding,
    "receiving": receiving,
    "receiving, end seen": receiving_after_end,
    "verifying": verifying,
    "completed": completed,
    "closed": closed,
    "skipped": skipped,
}
MESSAGES: dict[str, str | bytes] = {
    "proposal": proposal(),
    "end": END,
    "bye": BYE,
    "ping": '{"type":"ping"}',
    "abort": ABORT,
    "accept": '{"type":"accept","entries":[0],"window":65536,"limit":0}',
    "written": '{"type":"written","entry":0,"bytes":0}',
    "complete": json.dumps({"type": "complete", "entry": 0, "digest": DIGEST}),
    "unknown": '{"type":"pong"}',
    "empty": "",
    "first frame": frame(0, RECEIVED),
    "next frame": frame(RECEIVED, SIZE - RECEIVED),
    "next frame, too long": frame(RECEIVED, SIZE - RECEIVED + 1),
    "a frame left out": frame(RECEIVED + 1, 1),
    "a frame again": frame(RECEIVED - 1, 1),
    "a frame of another entry": frame(RECEIVED, 1, entry=1),
    "a frame after the last": frame(SIZE, 1),
    "no frame": b"\x01",
}
PROPOSED = Proposed(
    proposal=ProposalMessage(
        entries=(ProposedEntry(path="x", kind="file", size=SIZE),), sender="ada"
    )
)
ALLOWED: dict[tuple[str, str], ReceiverEvent | None] = {
    ("awaiting", "proposal"): PROPOSED,
    ("receiving", "next frame"): None,
    ("receiving", "end"): None,
    ("receiving, end seen", "next frame"): AllReceived(digest=DIGEST),
    ("completed", "bye"): SenderKnows(),
    ("closed", "bye"): SenderKnows(),  # a shell reads no further than the first
    ("skipped", "bye"): SenderKnows(),
    **{(state, "ping"): None for state in STATES},
}


def feed(machine: ReceiverMachine, message: str | bytes) -> None:
    if isinstance(message, bytes):
        machine.receive_frame_untrusted(message, now=1.0)
    else:
        machine.receive_control_untrusted(message, now=1.0)


def drain(machine: ReceiverMachine) -> list[ReceiverEvent]:
    events = []
    while event := machine.next_event():
        events.append(event)
    return events


def said(machine: ReceiverMachine) -> list[object]:
    return [json.loads(text) for text in machine.messages_to_send()]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("state", STATES)
def test_every_state_and_message(state: str, message: str) -> None:
    machine = STATES[state]()
    drain(machine)
    key = state, message
    if key in ALLOWED:
        feed(machine, MESSAGES[message])
        expected = ALLOWED[key]
        assert drain(machine) == ([] if expected is None else [expected])
        return
    before = machine.state
    with pytest.raises(RtcsendError) as caught:
        feed(machine, MESSAGES[message])
    assert type(caught.value) is (PeerAborted if message == "abort" else PeerProtocolError)
    assert machine.state is before
    assert drain(machine) == []


def test_every_state_is_in_the_table() -> None:
    assert {make().state for make in STATES.values()} == set(ReceiverState)


LOCAL: dict[str, tuple[str, Callable[[ReceiverMachine], None]]] = {
    "accept": ("deciding", lambda machine: machine.accept(limit=None, now=0.0)),
    "skip": ("deciding", lambda machine: machine.skip(now=0.0)),
    "complete": ("verifying", lambda machine: machine.complete(DIGEST, now=0.0)),
}


@pytest.mark.parametrize("call", LOCAL)
@pytest.mark.parametrize("state", STATES)
def test_local_calls_have_their_state(state: str, call: str) -> None:
    allowed, do = LOCAL[call]
    machine = STATES[state]()
    if state == allowed:
        do(machine)
        return
    with pytest.raises(InternalError):
        do(machine)


@pytest.mark.parametrize(("limit", "told"), [(None, 0), (0, 0), (5_000, 5_000)])
def test_accept(limit: int | None, told: int) -> None:
    machine = deciding()
    machine.accept(limit=limit, now=0.0)
    assert said(machine) == [
        {"type": "accept", "entries": [0], "window": RECEIVE_WINDOW, "limit": told}
    ]
    assert machine.messages_to_send() == []


def test_skip() -> None:
    machine = skipped()
    assert said(machine) == [
        {"type": "accept", "entries": [], "window": RECEIVE_WINDOW, "limit": 0}
    ]
    assert machine.is_over


@pytest.mark.parametrize("state", STATES)
def test_what_a_closed_connection_means(state: str) -> None:
    assert STATES[state]().is_over == (state in {"completed", "closed", "skipped"})


def test_the_payload_comes_out() -> None:
    machine = receiving(received=0)
    message = serialize_frame(entry=0, offset=0, payload=b"payload")
    assert bytes(machine.receive_frame_untrusted(message, now=0.0)) == b"payload"


@pytest.mark.parametrize("end_first", [True, False])
def test_the_end_and_the_last_frame_race(end_first: bool) -> None:
    machine = receiving()
    drain(machine)
    messages: list[str | bytes] = [END, frame(RECEIVED, SIZE - RECEIVED)]
    for message in messages if end_first else reversed(messages):
        assert drain(machine) == []
        assert machine.state is ReceiverState.RECEIVING
        feed(machine, message)
    assert drain(machine) == [AllReceived(digest=DIGEST)]
    assert machine.state is ReceiverState.VERIFYING


def test_an_empty_file() -> None:
    machine = receiving(size=0, received=0)
    drain(machine)
    with pytest.raises(PeerProtocolError):
        machine.receive_frame_untrusted(frame(0, 1), now=0.0)
    machine.receive_control_untrusted(END, now=0.0)
    assert drain(machine) == [AllReceived(digest=DIGEST)]
    machine.complete(DIGEST, now=0.0)
    assert said(machine)[-1] == {"type": "complete", "entry": 0, "digest": DIGEST}


def test_one_byte_more_than_proposed() -> None:
    receiving(received=0).receive_frame_untrusted(frame(0, SIZE), now=0.0)
    with pytest.raises(PeerProtocolError, match="proposed"):
        receiving(received=0).receive_frame_untrusted(frame(0, SIZE + 1), now=0.0)


@pytest.mark.parametrize("acknowledged", [0, WRITTEN_STEP, RECEIVE_WINDOW])
def test_one_byte_over_the_window(acknowledged: int) -> None:
    machine = receiving(size=10 * RECEIVE_WINDOW, received=acknowledged)
    machine.written(acknowledged, now=0.0)
    receive(machine, acknowledged, RECEIVE_WINDOW)
    with pytest.raises(PeerProtocolError, match="window"):
        machine.receive_frame_untrusted(frame(acknowledged + RECEIVE_WINDOW, 1), now=0.0)


def test_the_window_opens_by_what_was_acknowledged_not_by_what_was_written() -> None:
    machine = receiving(size=10 * RECEIVE_WINDOW, received=RECEIVE_WINDOW)
    machine.written(WRITTEN_STEP - 1, now=0.0)
    with pytest.raises(PeerProtocolError, match="window"):
        machine.receive_frame_untrusted(frame(RECEIVE_WINDOW, 1), now=0.0)
    machine.acknowledge(now=0.0)
    receive(machine, RECEIVE_WINDOW, WRITTEN_STEP - 1)


def test_acknowledgements_come_by_steps_or_when_asked_for() -> None:
    machine = receiving(size=10 * WRITTEN_STEP, received=4 * WRITTEN_STEP)
    said(machine)
    machine.acknowledge(now=0.0)  # nothing is written yet
    machine.written(WRITTEN_STEP - 1, now=0.0)
    assert said(machine) == []
    machine.written(WRITTEN_STEP, now=0.0)
    assert said(machine) == [{"type": "written", "entry": 0, "bytes": WRITTEN_STEP}]
    machine.written(WRITTEN_STEP + 1, now=0.0)
    assert said(machine) == []
    machine.acknowledge(now=0.0)
    machine.acknowledge(now=0.0)
    assert said(machine) == [{"type": "written", "entry": 0, "bytes": WRITTEN_STEP + 1}]


def test_a_step_is_well_within_the_window() -> None:
    assert WRITTEN_STEP * 4 <= RECEIVE_WINDOW


def test_pings_fill_the_gaps_and_silence_ends_it() -> None:
    machine = awaiting()
    for ping in (4.0, 8.0, 12.0, 16.0):
        assert machine.get_timer() == ping
        machine.handle_timer(now=ping)
        assert machine.messages_to_send() == ['{"type":"ping"}']
    with pytest.raises(ConnectionLost):
        machine.handle_timer(now=machine.get_timer())


def test_frames_are_signs_of_life_too() -> None:
    machine = receiving()
    for second in range(100):
        now = float(second)
        machine.receive_frame_untrusted(frame(RECEIVED + second, 1), now=now)
        machine.handle_timer(now=now)


@given(st.text(max_size=100), st.binary(max_size=40))
def test_anything_in_any_state(text: str, message: bytes) -> None:
    for make in STATES.values():
        with pytest.raises(PeerProtocolError):
            make().receive_control_untrusted(text, now=0.0)
        with pytest.raises(PeerProtocolError):
            make().receive_frame_untrusted(message, now=0.0)


def test_all_that_is_said_is_understood() -> None:
    machine = completed()
    for text in machine.messages_to_send():
        parse_control_untrusted(text)
