"""Every state of the sending side against every message, and the arithmetic of the window."""

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.blocks import block_digest
from rtcsend.errors import (
    ConnectionLost,
    DigestMismatch,
    InternalError,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.events import Stalled
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.transfer.frames import MAX_PAYLOAD, parse_frame_untrusted
from rtcsend.transfer.liveness import SILENCE_LIMIT
from rtcsend.transfer.machine_events import (
    Accepted,
    Completed,
    DigestsCame,
    SenderEvent,
    Skipped,
    Written,
)
from rtcsend.transfer.messages import MIN_WINDOW, ProposalMessage, parse_control_untrusted
from rtcsend.transfer.sender import CHECKING_INTERVAL, SenderMachine
from rtcsend.transfer.states import SENDER_TRANSITIONS, SenderMove, SenderState
from tests.transfer.wire import (
    ABORT,
    BYE,
    DIGEST,
    PING,
    SKIP_ALL,
    accept,
    checking,
    complete,
    end,
    entries,
    file,
    have,
    listed,
    page,
    proposal,
    proposal_of,
    skip,
    written,
)

SIZE = 200
SENT = 100  # bytes of it, in the state "sending"
OTHER_DIGEST = "cd" * 32

ACCEPT = accept(SIZE, MIN_WINDOW)
BLOCK = 1 << 20


def new_machine(
    size: int = SIZE, *, reached: int = 0, limit: int = 0, is_known: bool = False
) -> SenderMachine:
    manifest = listed(file(size, "x"))
    return machine_of(manifest, reached=reached, limit=limit, is_known=is_known)


def machine_of(
    manifest: Manifest, *, reached: int = 0, limit: int = 0, is_known: bool = False
) -> SenderMachine:
    """Return a machine that has said all of its proposal."""
    proposal = parse_control_untrusted(proposal_of(manifest))
    assert isinstance(proposal, ProposalMessage)
    machine = SenderMachine(
        proposal,
        manifest,
        selection=Selection(manifest) if is_known else None,
        reached=reached,
        limit=limit,
        now=0.0,
    )
    said(machine)
    return machine


def said(machine: SenderMachine) -> list[Any]:
    return [json.loads(text) for text in iter(machine.next_message, None)]


def send(machine: SenderMachine, count: int) -> None:
    machine.frames(memoryview(bytes(count)), size=MAX_PAYLOAD, now=0.0)


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


def closed() -> SenderMachine:
    machine = completed()
    machine.bye(now=0.0)
    return machine


def skipped() -> SenderMachine:
    machine = new_machine()
    machine.receive_control_untrusted(SKIP_ALL, now=0.0)
    return machine


SELECTION = Selection(listed(file(SIZE, "x")))

STATES = {
    "proposed": proposed,
    "sending": sending,
    "ended": ended,
    "completed": completed,
    "closed": closed,
    "skipped": skipped,
}
MESSAGES = {
    "accept": ACCEPT,
    "accept nothing": SKIP_ALL,
    "accept, beyond what was sent": accept(SIZE, start=1),
    "accept, more blocks than there are": accept(SIZE, blocks=2),
    "accept, more entries than there are": accept(SIZE, count=2),
    "accept, other sizes": accept(SIZE - 1),
    "skip": skip(0, 1),
    "skip what is not there": skip(1, 2),
    "digests": have(0, bytes(32)),
    "written 0": written(0),
    "written some": written(SENT),
    "written all": written(SIZE),
    "written too much": written(SIZE + 1),
    "complete": complete(),
    "complete, another digest": complete(OTHER_DIGEST),
    "ping": PING,
    "abort": ABORT,
    "proposal": proposal(1),
    "entries": page(1),
    "checking": checking(1, sent=0),
    "end": end(0),
    "bye": BYE,
    "unknown": '{"type":"pong"}',
    "empty": "",
}
ALLOWED: dict[tuple[str, str], SenderEvent | None] = {
    ("proposed", "accept"): Accepted(selection=SELECTION, start=0, limit=0),
    ("proposed", "skip"): None,
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
    **{(state, "abort"): PeerAborted for state in STATES},
}


def drain(machine: SenderMachine) -> list[SenderEvent | Stalled]:
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


@pytest.mark.parametrize("is_known", [False, True])
def test_the_proposal_comes_first_and_once(is_known: bool) -> None:
    manifest = listed(*(file(5, f"{number:05}") for number in range(2_000)))
    proposal = parse_control_untrusted(proposal_of(manifest))
    assert isinstance(proposal, ProposalMessage)
    selection = Selection(manifest) if is_known else None
    machine = SenderMachine(proposal, manifest, selection=selection, reached=0, limit=0, now=0.0)
    first, *others = said(machine)
    assert first == json.loads(proposal_of(manifest, repeated=is_known))
    pages = [] if is_known else [manifest.page(number) for number in range(manifest.pages)]
    assert others == [json.loads(entries(*page)) for page in pages]
    assert said(machine) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"), [(0, 0, 0), (0, 1_250, 1_250), (1_250, 0, 1_250), (50, 1_250, 50)]
)
def test_the_lower_limit_counts(ours: int, theirs: int, agreed: int) -> None:
    machine = new_machine(limit=ours)
    machine.receive_control_untrusted(accept(SIZE, limit=theirs), now=0.0)
    assert drain(machine) == [Accepted(selection=SELECTION, start=0, limit=agreed)]


def test_frames_follow_each_other() -> None:
    machine = new_machine(size=5)
    machine.receive_control_untrusted(accept(5), now=0.0)
    frames = machine.frames(memoryview(b"abcd"), size=3, now=0.0)
    frames += machine.frames(memoryview(b"e"), size=3, now=0.0)
    parsed = [parse_frame_untrusted(frame) for frame in frames]
    assert [(frame.offset, bytes(frame.payload)) for frame in parsed] == [
        (0, b"abc"),
        (3, b"d"),
        (4, b"e"),
    ]


def test_the_end_is_told_with_its_digest() -> None:
    machine = ended()
    assert said(machine) == [json.loads(end(SIZE))]


def test_an_empty_file_ends_at_once() -> None:
    machine = new_machine(size=0)
    machine.receive_control_untrusted(accept(0), now=0.0)
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
        machine.frames(memoryview(b"x"), size=1, now=0.0)
    with pytest.raises(InternalError):
        machine.end(DIGEST, now=0.0)


def test_the_end_may_not_come_early() -> None:
    with pytest.raises(InternalError):
        sending().end(DIGEST, now=0.0)


def test_the_window_closes_and_opens() -> None:
    machine = new_machine(size=10 * MIN_WINDOW)
    machine.receive_control_untrusted(accept(10 * MIN_WINDOW, MIN_WINDOW), now=0.0)
    assert machine.sendable == MIN_WINDOW
    send(machine, MIN_WINDOW)
    assert machine.sendable == 0
    with pytest.raises(InternalError):
        machine.frames(memoryview(b"x"), size=1, now=0.0)
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
    machine.receive_control_untrusted(accept(size, window), now=0.0)
    sent = done = 0
    for is_frame, share in steps:
        assert machine.sendable == min(window - (sent - done), size - sent) >= 0
        if is_frame and (count := round(share * min(machine.sendable, MAX_PAYLOAD))):
            (frame,) = machine.frames(memoryview(bytes(count)), size=MAX_PAYLOAD, now=0.0)
            assert parse_frame_untrusted(frame).offset == sent
            sent += count
        elif not is_frame:
            done += int(share * (sent - done))
            machine.receive_control_untrusted(written(done), now=0.0)


def test_bye() -> None:
    machine = completed()
    said(machine)
    machine.bye(now=0.0)
    assert said(machine) == [{"type": "bye"}]
    assert machine.state is SenderState.CLOSED
    with pytest.raises(InternalError):
        machine.bye(now=0.0)


def test_pings_fill_the_gaps_and_silence_ends_it() -> None:
    machine = new_machine()
    pings = []
    with pytest.raises(ConnectionLost):  # noqa: PT012 - the loop is the time that passes
        while True:
            now = machine.get_timer()
            machine.handle_timer(now=now)
            pings += [now] * len(said(machine))
    assert pings == [2.0, 4.0, 6.0, 8.0]
    assert machine.get_timer() == SILENCE_LIMIT
    assert [type(event) for event in drain(machine)] == [Stalled]


def test_what_the_layers_below_hear_is_a_sign_of_life() -> None:
    machine = new_machine()
    for second in range(1, 100):
        machine.heard(now=second - 0.5)
        machine.handle_timer(now=float(second))


def test_frames_are_signs_of_life_too() -> None:
    machine = new_machine()
    machine.receive_control_untrusted(ACCEPT, now=1.0)
    machine.frames(memoryview(b"x"), size=1, now=1.5)
    machine.handle_timer(now=2.0)
    assert said(machine) == []
    machine.handle_timer(now=3.5)
    assert said(machine) == [{"type": "ping"}]


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


# What an earlier connection has brought


def test_it_goes_on_where_the_receiver_says() -> None:
    machine = new_machine(size=3 * BLOCK, reached=2 * BLOCK)
    machine.receive_control_untrusted(accept(3 * BLOCK, start=BLOCK + 5), now=0.0)
    (accepted,) = drain(machine)
    assert isinstance(accepted, Accepted)
    assert accepted.start == BLOCK + 5
    (frame,) = machine.frames(memoryview(b"abc"), size=3, now=0.0)
    assert parse_frame_untrusted(frame).offset == BLOCK + 5
    assert (machine.position, machine.reached, machine.sent) == (BLOCK + 8, 2 * BLOCK, 3)
    machine.receive_control_untrusted(written(3), now=0.0)
    with pytest.raises(PeerProtocolError):
        machine.receive_control_untrusted(written(4), now=0.0)


def test_a_receiver_that_has_all_is_told_the_end_at_once() -> None:
    machine = new_machine(reached=SIZE)
    machine.receive_control_untrusted(accept(SIZE, start=SIZE), now=0.0)
    machine.end(DIGEST, now=0.0)
    assert said(machine) == [json.loads(end(0))]
    machine.receive_control_untrusted(complete(), now=0.0)
    assert machine.state is SenderState.COMPLETE


@pytest.mark.parametrize("start", [6, SIZE, SIZE + 1, 2**53 - 1])
def test_what_was_never_sent_is_not_there(start: int) -> None:
    with pytest.raises(PeerProtocolError, match="never sent"):
        new_machine(reached=5).receive_control_untrusted(accept(SIZE, start=start), now=0.0)


# What an earlier run has left

ONE, TWO = bytes(BLOCK), b"2" * BLOCK
LAST = b"3" * 100
FILE_SIZE = 2 * BLOCK + 100


def resuming(blocks: int = 3, start: int = 0) -> SenderMachine:
    machine = new_machine(size=FILE_SIZE, reached=start)
    machine.receive_control_untrusted(accept(FILE_SIZE, start=start, blocks=blocks), now=0.0)
    drain(machine)
    return machine


def test_blocks_that_are_the_same_are_kept() -> None:
    machine = resuming()
    awaits = [machine.awaits_digest]
    machine.receive_control_untrusted(have(0, block_digest(ONE), block_digest(ONE)), now=0.0)
    assert drain(machine) == [DigestsCame()]
    awaits.append(machine.awaits_digest)
    assert machine.pass_over(memoryview(ONE), now=0.0) == len(ONE)
    assert machine.pass_over(memoryview(TWO), now=0.0) == 0
    assert machine.unsent(memoryview(TWO)) == BLOCK
    frames = machine.frames(memoryview(TWO), size=MAX_PAYLOAD, now=0.0)
    assert parse_frame_untrusted(frames[0]).offset == BLOCK
    assert [*awaits, machine.awaits_digest] == [True, False, True]
    machine.receive_control_untrusted(have(2, block_digest(LAST)), now=0.0)
    assert machine.pass_over(memoryview(LAST), now=0.0) == len(LAST)
    machine.end(DIGEST, now=0.0)
    assert machine.kept == BLOCK + 100
    assert said(machine) == [json.loads(end(BLOCK))]


def test_a_block_that_was_begun_is_sent_to_its_end() -> None:
    machine = resuming(blocks=2, start=5)
    awaits = [machine.awaits_digest]
    assert machine.pass_over(memoryview(ONE)[5:], now=0.0) == 0
    assert machine.unsent(memoryview(ONE)[5:]) == BLOCK - 5
    machine.frames(memoryview(ONE)[5:], size=MAX_PAYLOAD, now=0.0)
    assert [*awaits, machine.awaits_digest] == [False, True]
    machine.receive_control_untrusted(have(1, block_digest(TWO)), now=0.0)
    assert machine.pass_over(memoryview(TWO), now=0.0) == len(TWO)


def test_what_is_kept_is_told_now_and_then() -> None:
    machine = resuming(blocks=2)
    machine.receive_control_untrusted(have(0, block_digest(ONE), block_digest(TWO)), now=0.0)
    machine.pass_over(memoryview(ONE), now=0.1)
    assert said(machine) == []
    machine.pass_over(memoryview(TWO), now=CHECKING_INTERVAL)
    assert said(machine) == [json.loads(checking(2 * BLOCK, sent=0))]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([have(0, bytes(128))], id="more than offered"),
        pytest.param([have(0, bytes(32)), have(0, bytes(32))], id="again"),
        pytest.param([have(2, bytes(32)), have(1, bytes(32))], id="back"),
        pytest.param([have(0)], id="nothing new"),
        pytest.param([have(4)], id="nothing, beyond the end"),
        pytest.param([have(0, bytes(96)), have(3, bytes(32))], id="one more"),
    ],
)
def test_digests_of_other_blocks_than_offered(texts: list[str]) -> None:
    machine = resuming()
    for text in texts[:-1]:
        machine.receive_control_untrusted(text, now=0.0)
    with pytest.raises(PeerProtocolError, match="other blocks"):
        machine.receive_control_untrusted(texts[-1], now=0.0)


def test_digests_that_nobody_offered() -> None:
    with pytest.raises(PeerProtocolError):
        sending().receive_control_untrusted(have(0, bytes(32)), now=0.0)


# Many files

TREE = listed(*(file(size, f"{at}") for at, size in enumerate((5, 0, BLOCK + 3, 2, BLOCK, 0))))
TREE_SIZE = 2 * BLOCK + 10
CONTENTS = [bytes([at]) * size for at, size in enumerate((5, 0, BLOCK + 3, 2, BLOCK, 0))]
STREAM = memoryview(b"".join(CONTENTS))
# Its blocks: the file of 5 bytes, two, the file of 2 bytes, one.
BLOCK_STARTS = [0, 5, 5 + BLOCK, 8 + BLOCK, 10 + BLOCK, TREE_SIZE]
DIGESTS = [block_digest(STREAM[one:two]) for one, two in pairwise(BLOCK_STARTS)]


def walk(machine: SenderMachine, *, end: int = TREE_SIZE) -> list[tuple[str, int]]:
    """Send what is left of the stream in one piece; return what was kept and sent, in bytes."""
    steps = []
    while machine.position < end and not machine.awaits_digest:
        if passed := machine.pass_over(STREAM[machine.position : end], now=0.0):
            steps.append(("kept", passed))
        elif count := machine.unsent(STREAM[machine.position : end]):
            machine.frames(STREAM[machine.position :][:count], size=MAX_PAYLOAD, now=0.0)
            steps.append(("sent", count))
    return steps


def tree(blocks: int, *, start: int = 0) -> SenderMachine:
    machine = machine_of(TREE, reached=start)
    answer = accept(TREE_SIZE, 1 << 30, count=6, start=start, blocks=blocks)
    machine.receive_control_untrusted(answer, now=0.0)
    return machine


def test_a_piece_of_many_files_goes_at_once() -> None:
    machine = tree(0)
    assert walk(machine) == [("sent", TREE_SIZE)]
    machine.end(DIGEST, now=0.0)


def test_of_many_files_some_are_there() -> None:
    machine = tree(5)
    machine.receive_control_untrusted(have(0, DIGESTS[0], bytes(32)), now=0.0)
    assert walk(machine) == [("kept", 5), ("sent", BLOCK)]
    machine.receive_control_untrusted(have(3, DIGESTS[3]), now=0.0)  # nothing said of block 2
    assert walk(machine) == [("sent", 3), ("kept", 2)]
    machine.receive_control_untrusted(have(5), now=0.0)
    assert walk(machine) == [("sent", BLOCK)]
    machine.end(DIGEST, now=0.0)
    assert machine.kept == 7


@given(st.sets(st.integers(0, 4)), st.integers(0, 5), st.integers(0, 5))
def test_whatever_is_there_is_kept(there: set[int], blocks: int, first: int) -> None:
    machine = tree(blocks, start=BLOCK_STARTS[first])
    for block in sorted(there):
        if first <= block < blocks:
            machine.receive_control_untrusted(have(block, DIGESTS[block]), now=0.0)
    if machine.awaits_digest or machine.offered > machine.position:
        with suppress(PeerProtocolError):  # the last one was said
            machine.receive_control_untrusted(have(blocks), now=0.0)
    kept = sum(count for step, count in walk(machine) if step == "kept")
    assert machine.position == TREE_SIZE
    lengths = [two - one for one, two in pairwise(BLOCK_STARTS)]
    assert kept == sum(lengths[block] for block in there if first <= block < blocks)


def test_what_is_not_wanted_is_not_in_the_stream() -> None:
    machine = machine_of(TREE)
    machine.receive_control_untrusted(skip(0, 1), now=0.0)
    machine.receive_control_untrusted(skip(3, 5), now=0.0)
    machine.receive_control_untrusted(accept(BLOCK + 3, count=3), now=0.0)
    (accepted,) = drain(machine)
    assert isinstance(accepted, Accepted)
    assert list(accepted.selection.skipped()) == [(0, 1), (3, 5)]
    assert machine.sendable == BLOCK + 3


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([skip(0, 1), skip(1, 2)], id="not joined"),
        pytest.param([skip(2, 3), skip(0, 1)], id="back"),
        pytest.param([skip(0, 7)], id="too many"),
        pytest.param([skip(0, 6), accept(TREE_SIZE, count=6)], id="and all accepted"),
        pytest.param([skip(0, 1), accept(TREE_SIZE, count=5)], id="another sum"),
        pytest.param([skip(0, 1), accept(TREE_SIZE - 5, count=6)], id="another number"),
        pytest.param([accept(TREE_SIZE, count=6, blocks=6)], id="more blocks"),
    ],
)
def test_a_selection_that_does_not_add_up(texts: list[str]) -> None:
    machine = machine_of(TREE)
    for text in texts[:-1]:
        machine.receive_control_untrusted(text, now=0.0)
    with pytest.raises(PeerProtocolError):
        machine.receive_control_untrusted(texts[-1], now=0.0)


@pytest.mark.parametrize("text", [accept(5), skip(0, 1), SKIP_ALL])
def test_an_answer_before_all_is_proposed(text: str) -> None:
    manifest = listed(file(5))
    proposal = parse_control_untrusted(proposal_of(manifest))
    assert isinstance(proposal, ProposalMessage)
    machine = SenderMachine(proposal, manifest, selection=None, reached=0, limit=0, now=0.0)
    machine.next_message()
    with pytest.raises(PeerProtocolError, match="not heard"):
        machine.receive_control_untrusted(text, now=0.0)


def test_another_selection_than_before() -> None:
    machine = machine_of(TREE, is_known=True)
    machine.receive_control_untrusted(skip(0, 1), now=0.0)
    with pytest.raises(PeerProtocolError, match="than before"):
        machine.receive_control_untrusted(accept(TREE_SIZE - 5, count=5), now=0.0)


def test_digests_that_have_served_are_forgotten() -> None:
    sizes = [1] * 3_000
    machine = machine_of(listed(*(file(size, f"{at:04}") for at, size in enumerate(sizes))))
    machine.receive_control_untrusted(accept(3_000, count=3_000, blocks=3_000), now=0.0)
    piece = memoryview(bytes(1_000))
    for first in range(0, 3_000, 1_000):
        digests = [block_digest(b"\0")] * 1_000
        machine.receive_control_untrusted(have(first, *digests), now=0.0)
        assert machine.pass_over(piece, now=0.0) == 1_000
    assert machine.kept == 3_000


# A receiver that lives, and does not go on


def live(machine: SenderMachine, seconds: int, *says: Callable[[int], str]) -> list[str]:
    """Let time pass, with a ping a second; return the reasons of stalls."""
    reasons = []
    for second in range(1, seconds + 1):
        for text in [PING, *(say(second) for say in says)]:
            machine.receive_control_untrusted(text, now=float(second))
        machine.handle_timer(now=float(second))
        said(machine)
        reasons += [event.reason for event in drain(machine) if isinstance(event, Stalled)]
    return reasons


def test_a_person_may_take_any_time() -> None:
    assert live(proposed(), 5_000) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: new_machine(is_known=True), "does not answer"),
        (sending, "writes nothing"),
        (ended, "writes nothing"),
        (resuming, "reads what it has"),
    ],
)
def test_a_receiver_that_does_not_move(make: Callable[[], SenderMachine], reason: str) -> None:
    machine = make()
    reasons = live(machine, 119)
    assert len(reasons) == 24
    assert all(reason in told for told in reasons)
    with pytest.raises(PeerProtocolError, match="does not go on"):
        live(machine, 125)


HELD = '{"type":"ping","held":true}'


@pytest.mark.parametrize("make", [sending, ended])
def test_an_output_that_is_held_there_is_nobodys_fault(make: Callable[[], SenderMachine]) -> None:
    machine = make()
    reasons = live(machine, 5_000, lambda _second: HELD)
    assert set(reasons) == {"Nobody takes what the other side writes."}
    rests = [machine.is_at_rest]
    machine.receive_control_untrusted(PING, now=5_000.0)
    assert [*rests, machine.is_at_rest] == [True, False]
    with pytest.raises(PeerProtocolError, match="writes nothing"):
        live(machine, 5_300)


def test_what_is_written_ends_that_it_is_held() -> None:
    machine = sending()
    machine.receive_control_untrusted(HELD, now=0.0)
    machine.receive_control_untrusted(written(1), now=0.0)
    assert not machine.is_at_rest


def test_one_byte_a_second_is_no_movement() -> None:
    machine = new_machine(size=BLOCK)
    machine.receive_control_untrusted(accept(BLOCK), now=0.0)
    send(machine, MIN_WINDOW)
    with pytest.raises(PeerProtocolError, match="does not go on"):
        live(machine, 130, written)


def test_what_was_agreed_to_be_slow_may_be_slow() -> None:
    machine = new_machine(size=BLOCK, limit=10)
    machine.receive_control_untrusted(accept(BLOCK), now=0.0)
    send(machine, MIN_WINDOW)
    live(machine, 500, lambda second: written(10 * second))


def test_syncing_may_take_half_an_hour() -> None:
    machine = ended()
    machine.receive_control_untrusted(written(SIZE), now=0.0)
    assert "storing" in live(machine, 1_800)[0]


def test_a_slow_file_here_is_nobodys_fault_there() -> None:
    machine = sending()
    machine.receive_control_untrusted(written(SENT), now=0.0)
    assert "slow to read" in live(machine, 1_000)[0]


# The table


def test_the_table_says_what_the_machine_does() -> None:
    made: dict[SenderMove, Callable[[SenderMachine], object]] = {
        SenderMove.SKIP: lambda machine: machine.receive_control_untrusted(skip(0, 1), now=0.0),
        SenderMove.ACCEPTED: lambda machine: machine.receive_control_untrusted(ACCEPT, now=0.0),
        SenderMove.SKIPPED: lambda machine: machine.receive_control_untrusted(SKIP_ALL, now=0.0),
        SenderMove.WRITTEN: lambda machine: machine.receive_control_untrusted(written(0), now=0.0),
        SenderMove.COMPLETE: lambda machine: machine.receive_control_untrusted(complete(), now=0.0),
        SenderMove.BYE: lambda machine: machine.bye(now=0.0),
    }
    for name, make in STATES.items():
        for move, act in made.items():
            machine = make()
            key = machine.state, move
            if key == (SenderState.ENDED, SenderMove.WRITTEN) or key in SENDER_TRANSITIONS:
                act(machine)
                assert machine.state is SENDER_TRANSITIONS[key], (name, move)
            else:
                with pytest.raises((PeerProtocolError, InternalError)):
                    act(machine)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for state, _ in SENDER_TRANSITIONS} == set(SenderState) - {SenderState.CLOSED}
    reached = set(SENDER_TRANSITIONS.values())
    assert reached == set(SenderState)
    assert {move for _, move in SENDER_TRANSITIONS} == set(SenderMove)
