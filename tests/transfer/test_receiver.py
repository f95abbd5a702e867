"""Every state of the receiving side against every message, and every lie about the data."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.blocks import BLOCK_SIZE as BLOCK
from rtcsend.errors import (
    ConnectionLost,
    InternalError,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.events import Stalled
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.frames import MAX_PAYLOAD, serialize_frame
from rtcsend.transfer.liveness import SILENCE_LIMIT
from rtcsend.transfer.machine_events import (
    AllReceived,
    Kept,
    ProposalBegan,
    Proposed,
    ReceiverEvent,
    SenderKnows,
)
from rtcsend.transfer.messages import EndMessage, parse_control_untrusted, serialize_control
from rtcsend.transfer.receiver import RECEIVE_WINDOW, WRITTEN_STEP, ReceiverMachine
from rtcsend.transfer.states import RECEIVER_TRANSITIONS, ReceiverMove, ReceiverState
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
    file,
    have,
    listed,
    page,
    pages_of,
    proposal,
    proposal_of,
    skip,
    written,
)

SIZE = 200
RECEIVED = 100  # bytes of it, in the state "receiving"

END = end(SIZE)


def frame(offset: int, count: int) -> bytes:
    return serialize_frame(offset=offset, payload=bytes(count))


def awaiting(limit: int = 0) -> ReceiverMachine:
    return ReceiverMachine(earlier=None, digest=None, limit=limit, now=0.0)


def selection(size: int = SIZE, path: str = "x") -> Selection:
    return Selection(listed(file(size, path)))


def propose(machine: ReceiverMachine, size: int, path: str = "x") -> None:
    machine.receive_control_untrusted(proposal(size, path=path), now=0.0)
    machine.receive_control_untrusted(page(size, path=path), now=0.0)


def listing() -> ReceiverMachine:
    machine = awaiting()
    machine.receive_control_untrusted(proposal(SIZE, path="x"), now=0.0)
    return machine


def deciding(size: int = SIZE) -> ReceiverMachine:
    machine = awaiting()
    propose(machine, size)
    return machine


def receiving(size: int = SIZE, received: int = RECEIVED) -> ReceiverMachine:
    machine = deciding(size)
    machine.accept(selection(size), start=0, blocks=0, now=0.0)
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
    machine.skip_all(now=0.0)
    return machine


STATES: dict[str, Callable[[], ReceiverMachine]] = {
    "awaiting": awaiting,
    "listing": listing,
    "deciding": deciding,
    "receiving": receiving,
    "receiving, end seen": receiving_after_end,
    "verifying": verifying,
    "completed": completed,
    "closed": closed,
    "skipped": skipped,
}
MESSAGES: dict[str, str | bytes] = {
    "proposal": proposal(SIZE, path="x"),
    "proposal, repeated": proposal_of(listed(file(SIZE, "x")), repeated=True),
    "entries": page(SIZE, path="x"),
    "other entries": page(SIZE, path="y"),
    "skip": skip(0, 1),
    "end": END,
    "end, less than there is": end(RECEIVED - 1),
    "end, more than the window": end(RECEIVE_WINDOW + 1),
    "end, of what is kept": end(RECEIVED),
    "checking": checking(SIZE, sent=RECEIVED),
    "checking, beyond the size": checking(SIZE + 1, sent=RECEIVED),
    "checking, nothing": checking(0, sent=0),
    "bye": BYE,
    "ping": PING,
    "abort": ABORT,
    "accept": accept(SIZE),
    "have": have(0, bytes(32)),
    "written": written(0),
    "complete": complete(),
    "unknown": '{"type":"pong"}',
    "empty": "",
    "first frame": frame(0, RECEIVED),
    "next frame": frame(RECEIVED, SIZE - RECEIVED),
    "next frame, too long": frame(RECEIVED, SIZE - RECEIVED + 1),
    "a frame left out": frame(RECEIVED + 1, 1),
    "a frame again": frame(RECEIVED - 1, 1),
    "a frame after the last": frame(SIZE, 1),
    "no frame": b"\x01",
}
ALLOWED: dict[tuple[str, str], ReceiverEvent | None] = {
    ("awaiting", "proposal"): ProposalBegan(),
    ("receiving", "next frame"): None,
    ("receiving", "end"): None,
    ("receiving, end seen", "next frame"): AllReceived(digest=DIGEST),
    ("completed", "bye"): SenderKnows(),
    ("skipped", "bye"): SenderKnows(),
    **{(state, "ping"): None for state in STATES},
}


def feed(machine: ReceiverMachine, message: str | bytes) -> None:
    if isinstance(message, bytes):
        machine.receive_frame_untrusted(message, now=1.0)
    else:
        machine.receive_control_untrusted(message, now=1.0)


def drain(machine: ReceiverMachine) -> list[ReceiverEvent | Stalled]:
    events = []
    while event := machine.next_event():
        events.append(event)
    return events


def said(machine: ReceiverMachine) -> list[Any]:
    return [json.loads(text) for text in iter(machine.next_message, None)]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("state", STATES)
def test_every_state_and_message(state: str, message: str) -> None:
    machine = STATES[state]()
    drain(machine)
    key = state, message
    if key == ("listing", "entries"):
        feed(machine, MESSAGES[message])
        (proposed,) = drain(machine)
        assert isinstance(proposed, Proposed)
        assert proposed.proposal.sender == "ada"
        assert list(proposed.manifest.entries()) == [file(SIZE, "x")]
        return
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
    "accept": (
        "deciding",
        lambda machine: machine.accept(selection(), start=0, blocks=0, now=0.0),
    ),
    "skip": ("deciding", lambda machine: machine.skip_all(now=0.0)),
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


@pytest.mark.parametrize("limit", [0, 5_000])
def test_accept(limit: int) -> None:
    machine = awaiting(limit)
    propose(machine, SIZE)
    machine.accept(selection(), start=7, blocks=1, now=0.0)
    assert said(machine) == [
        json.loads(accept(SIZE, RECEIVE_WINDOW, limit=limit, start=7, blocks=1)),
    ]
    assert said(machine) == []


def test_skip() -> None:
    machine = skipped()
    assert said(machine) == [{**json.loads(SKIP_ALL), "window": RECEIVE_WINDOW}]
    assert machine.is_over


@pytest.mark.parametrize("state", STATES)
def test_what_a_closed_connection_means(state: str) -> None:
    assert STATES[state]().is_over == (state in {"completed", "closed", "skipped"})


def test_the_payload_comes_out() -> None:
    machine = receiving(received=0)
    message = serialize_frame(offset=0, payload=b"payload")
    offset, payload = machine.receive_frame_untrusted(message, now=0.0)
    assert (offset, bytes(payload)) == (0, b"payload")


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
    machine.receive_control_untrusted(end(0), now=0.0)
    assert drain(machine) == [AllReceived(digest=DIGEST)]
    machine.complete(DIGEST, now=0.0)
    assert said(machine)[-1] == {"type": "complete", "digest": DIGEST}


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
    assert said(machine) == [{"type": "written", "bytes": WRITTEN_STEP}]
    machine.written(WRITTEN_STEP + 1, now=0.0)
    assert said(machine) == []
    machine.acknowledge(now=0.0)
    machine.acknowledge(now=0.0)
    assert said(machine) == [{"type": "written", "bytes": WRITTEN_STEP + 1}]


def test_a_step_is_well_within_the_window() -> None:
    assert WRITTEN_STEP * 4 <= RECEIVE_WINDOW


def test_pings_fill_the_gaps_and_silence_ends_it() -> None:
    machine = awaiting()
    pings = []
    with pytest.raises(ConnectionLost):  # noqa: PT012 - the loop is the time that passes
        while True:
            now = machine.get_timer()
            machine.handle_timer(now=now)
            pings += [now] * len(said(machine))
    assert pings == [2.0, 4.0, 6.0, 8.0]
    assert machine.get_timer() == SILENCE_LIMIT


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
    for text in iter(machine.next_message, None):
        parse_control_untrusted(text)


# What an earlier connection has brought


def again(*, size: int = SIZE, digest: str | None = None) -> ReceiverMachine:
    """Return a machine that has heard a proposal over an earlier connection."""
    first = awaiting()
    propose(first, size)
    _, proposed = drain(first)
    assert isinstance(proposed, Proposed)
    return ReceiverMachine(earlier=proposed, digest=digest, limit=0, now=0.0)


def repeated(size: int = SIZE) -> str:
    return proposal_of(listed(file(size, "x")), repeated=True)


@pytest.mark.parametrize(
    "other",
    [
        proposal(SIZE + 1),
        proposal(SIZE, path="y"),
        proposal(SIZE, path="x", transfer="00" * 16),
        repeated(SIZE + 1),
    ],
    ids=["size", "name", "transfer", "repeated"],
)
def test_another_proposal_than_before(other: str) -> None:
    with pytest.raises(PeerProtocolError, match="something else"):
        again().receive_control_untrusted(other, now=0.0)


def test_it_goes_on_where_this_side_says() -> None:
    machine = again()
    machine.receive_control_untrusted(repeated(), now=0.0)
    machine.accept(selection(), start=RECEIVED, blocks=0, now=0.0)
    drain(machine)
    with pytest.raises(PeerProtocolError, match="wrong place"):
        machine.receive_frame_untrusted(frame(RECEIVED - 1, 1), now=0.0)
    machine.receive_frame_untrusted(frame(RECEIVED, SIZE - RECEIVED), now=0.0)
    machine.receive_control_untrusted(end(SIZE - RECEIVED), now=0.0)
    assert drain(machine) == [AllReceived(digest=DIGEST)]


@pytest.mark.parametrize("digest", [DIGEST, "cd" * 32])
def test_the_digest_is_the_same_as_before(digest: str) -> None:
    machine = again(digest=DIGEST)
    machine.receive_control_untrusted(repeated(), now=0.0)
    machine.accept(selection(), start=SIZE, blocks=0, now=0.0)
    if digest == DIGEST:
        machine.receive_control_untrusted(end(0, digest), now=0.0)
        assert machine.state is ReceiverState.VERIFYING
        return
    with pytest.raises(PeerProtocolError, match="another digest"):
        machine.receive_control_untrusted(end(0, digest), now=0.0)


# What an earlier run has left

FILE_SIZE = 4 * BLOCK + 100


def resuming(*, start: int = 0, blocks: int = 5, said_blocks: int | None = None) -> ReceiverMachine:
    """Return a machine that has offered blocks, and said the digests of some."""
    machine = again(size=FILE_SIZE)
    machine.receive_control_untrusted(repeated(FILE_SIZE), now=0.0)
    machine.accept(selection(FILE_SIZE), start=start, blocks=blocks, now=0.0)
    if count := (blocks if said_blocks is None else said_blocks):
        machine.have(0, bytes(32 * count), now=0.0)
    drain(machine)
    said(machine)
    return machine


def test_digests_are_said_in_order() -> None:
    machine = resuming(said_blocks=0)
    machine.have(0, bytes(64), now=0.0)
    machine.have(2, bytes(96), now=0.0)
    machine.have_no_more(now=0.0)
    assert said(machine) == [
        json.loads(have(0, bytes(64))),
        json.loads(have(2, bytes(96))),
    ]
    with pytest.raises(InternalError):
        machine.have(5, bytes(32), now=0.0)


def test_after_a_part_of_a_block_the_next_ones_are_offered() -> None:
    machine = resuming(start=BLOCK + 1, said_blocks=0)
    assert machine.next_offered == 2
    with pytest.raises(PeerProtocolError, match="wrong place"):
        machine.receive_frame_untrusted(frame(2 * BLOCK, 1), now=0.0)


def test_what_is_left_out_is_kept() -> None:
    machine = resuming()
    message = frame(2 * BLOCK, MAX_PAYLOAD)
    assert machine.receive_frame_untrusted(message, now=0.0).offset == 2 * BLOCK
    receive(machine, 2 * BLOCK + MAX_PAYLOAD, BLOCK - MAX_PAYLOAD)
    assert machine.kept == 2 * BLOCK
    machine.receive_control_untrusted(end(BLOCK), now=0.0)
    assert drain(machine) == [Kept(position=FILE_SIZE), AllReceived(digest=DIGEST)]
    assert machine.kept == FILE_SIZE - BLOCK


def test_everything_may_be_kept() -> None:
    machine = resuming()
    machine.receive_control_untrusted(checking(2 * BLOCK, sent=0), now=0.0)
    assert drain(machine) == [Kept(position=2 * BLOCK)]
    machine.receive_control_untrusted(end(0), now=0.0)
    assert drain(machine) == [Kept(position=FILE_SIZE), AllReceived(digest=DIGEST)]


def test_what_is_declared_waits_for_the_data_before_it() -> None:
    machine = resuming()
    machine.receive_control_untrusted(checking(3 * BLOCK, sent=BLOCK), now=0.0)
    receive(machine, 0, BLOCK - 1)
    assert drain(machine) == []
    machine.receive_control_untrusted(end(BLOCK), now=0.0)
    machine.receive_frame_untrusted(frame(BLOCK - 1, 1), now=0.0)
    assert drain(machine) == [Kept(position=FILE_SIZE), AllReceived(digest=DIGEST)]


def test_what_is_declared_late_says_nothing_new() -> None:
    machine = resuming()
    machine.receive_frame_untrusted(frame(2 * BLOCK, 1), now=0.0)
    machine.receive_control_untrusted(checking(2 * BLOCK, sent=0), now=0.0)
    assert drain(machine) == []


@pytest.mark.parametrize(
    ("machine", "messages"),
    [
        pytest.param(resuming(), [frame(BLOCK + 1, 1)], id="not a whole block"),
        pytest.param(resuming(), [frame(0, 1), frame(BLOCK, 1)], id="a block that was begun"),
        pytest.param(resuming(blocks=2), [frame(3 * BLOCK, 1)], id="not offered"),
        pytest.param(resuming(blocks=0), [frame(BLOCK, 1)], id="nothing offered"),
        pytest.param(resuming(said_blocks=2), [frame(3 * BLOCK, 1)], id="digest not yet said"),
        pytest.param(resuming(blocks=4), [end(0)], id="the end, not offered"),
        pytest.param(resuming(), [end(BLOCK), frame(0, 1), frame(1, 1), BYE], id="bye early"),
        pytest.param(resuming(), [frame(0, 9), end(8)], id="the end counts less"),
        pytest.param(resuming(), [end(8), frame(0, 9)], id="the end counted less"),
        pytest.param(
            resuming(), [checking(BLOCK, sent=0), checking(BLOCK, sent=0)], id="no increase"
        ),
        pytest.param(resuming(), [checking(2 * BLOCK, sent=0), checking(BLOCK, sent=0)], id="back"),
        pytest.param(resuming(), [checking(FILE_SIZE + 1, sent=0)], id="beyond the size"),
        pytest.param(resuming(), [checking(BLOCK + 1, sent=0)], id="checking, not a block"),
        pytest.param(resuming(blocks=1), [checking(2 * BLOCK, sent=0)], id="checking, not offered"),
        pytest.param(resuming(), [checking(BLOCK, sent=RECEIVE_WINDOW + 1)], id="too much said"),
        pytest.param(
            resuming(), [frame(0, 9), checking(BLOCK, sent=8)], id="keeps what it has sent"
        ),
        pytest.param(resuming(), [checking(BLOCK, sent=8), frame(0, 9)], id="sums do not agree"),
        pytest.param(resuming(), [end(8), checking(BLOCK, sent=8)], id="checking after the end"),
    ],
)
def test_lies_about_what_is_kept(machine: ReceiverMachine, messages: list[str | bytes]) -> None:
    for message in messages[:-1]:
        feed(machine, message)
    with pytest.raises(PeerProtocolError):
        feed(machine, messages[-1])


# Many entries, of which some are wanted, and blocks with gaps

SIZES = (5, 0, BLOCK + 3, 2, BLOCK, 0)
TREE = listed(*(file(size, f"{at}") for at, size in enumerate(SIZES)))
TREE_SIZE = 2 * BLOCK + 10


def tree(*, blocks: int = 0, skipped: list[tuple[int, int]] | None = None) -> ReceiverMachine:
    """Return a machine that has accepted a tree."""
    machine = awaiting()
    for text in [proposal_of(TREE), *pages_of(TREE)]:
        machine.receive_control_untrusted(text, now=0.0)
    wanted = Selection(TREE, skipped or [])
    machine.accept(wanted, start=0, blocks=blocks, now=0.0)
    drain(machine)
    return machine


@pytest.mark.parametrize(
    ("rows", "columns", "fits"),
    [(0, 0, True), (1, TREE.files, True), (2, TREE.files, False), (1, 0, False), (0, 1, False)],
)
def test_checksums_are_those_of_what_is_sent(rows: int, columns: int, fits: bool) -> None:
    machine = tree()
    message = EndMessage(
        digest=DIGEST, sent=TREE.bytes, rows=bytes(8 * rows), columns=bytes(8 * columns)
    )
    if not fits:
        with pytest.raises(PeerProtocolError, match="other files"):
            feed(machine, serialize_control(message))
        return
    feed(machine, serialize_control(message))
    for at in range(0, TREE.bytes, MAX_PAYLOAD):
        feed(machine, frame(at, min(MAX_PAYLOAD, TREE.bytes - at)))
    sums = FileSums(message.rows, message.columns) if rows else None
    assert AllReceived(digest=DIGEST, sums=sums) in drain(machine)


def many() -> Manifest:
    return listed(*(file(number, f"{number:05}") for number in range(2_000)))


def test_the_list_comes_in_pages() -> None:
    manifest, machine = many(), awaiting()
    machine.receive_control_untrusted(proposal_of(manifest), now=0.0)
    assert drain(machine) == [ProposalBegan()]
    *pages, last = pages_of(manifest)
    assert len(pages) > 1
    for text in pages:
        machine.receive_control_untrusted(text, now=0.0)
        assert drain(machine) == []
    machine.receive_control_untrusted(last, now=0.0)
    (proposed,) = drain(machine)
    assert isinstance(proposed, Proposed)
    assert list(proposed.manifest.entries()) == list(manifest.entries())


def test_a_list_that_comes_again_is_the_one_that_was_asked_about() -> None:
    machine = again()
    earlier = machine._earlier
    propose(machine, SIZE)
    assert drain(machine) == [ProposalBegan(), earlier]


def test_a_list_that_does_not_come() -> None:
    machine = listing()
    reasons = live(machine, 119)
    assert all("list" in reason for reason in reasons)
    assert reasons
    with pytest.raises(PeerProtocolError, match="does not go on"):
        live(machine, 125)


def test_what_is_not_wanted_is_said_before() -> None:
    machine = tree(skipped=[(0, 2), (4, 5)])
    assert said(machine) == [
        json.loads(skip(0, 2, 4, 5)),
        json.loads(accept(BLOCK + 5, RECEIVE_WINDOW, count=3)),
    ]


def test_many_gaps_take_several_messages() -> None:
    manifest = listed(*(file(1, f"{number:05}") for number in range(10_000)))
    wanted = Selection(manifest, [(number, number + 1) for number in range(0, 10_000, 2)])
    machine = awaiting()
    for text in [proposal_of(manifest), *pages_of(manifest)]:
        machine.receive_control_untrusted(text, now=0.0)
    machine.accept(wanted, start=0, blocks=0, now=0.0)
    *skips, last = list(iter(machine.next_message, None))
    for text in skips:
        parse_control_untrusted(text)
    ranges = [number for text in skips for number in json.loads(text)["ranges"]]
    assert ranges == list(range(10_000))
    assert json.loads(last) == json.loads(accept(5_000, RECEIVE_WINDOW, count=5_000))


def test_frames_span_files() -> None:
    machine = tree()
    receive(machine, 0, TREE_SIZE)
    machine.receive_control_untrusted(end(TREE_SIZE), now=0.0)
    assert machine.state is ReceiverState.VERIFYING


def test_digests_leave_gaps() -> None:
    machine = tree(blocks=5)
    said(machine)
    machine.have(0, bytes(32), now=0.0)
    machine.have(2, bytes(64), now=0.0)
    machine.have_no_more(now=0.0)
    assert said(machine) == [
        json.loads(text) for text in (have(0, bytes(32)), have(2, bytes(64)), have(5))
    ]
    machine.have_no_more(now=0.0)
    assert said(machine) == []
    machine.receive_frame_untrusted(frame(5, 10), now=0.0)  # the first block is kept
    receive(machine, 15, BLOCK - 10)
    machine.receive_frame_untrusted(frame(BLOCK + 10, 1), now=0.0)  # two more
    assert machine.kept == 10


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(frame(BLOCK + 5, 1), id="over a gap"),
        pytest.param(frame(4, 1), id="inside a small file"),
        pytest.param(checking(BLOCK + 5, sent=0), id="checking, over a gap"),
        pytest.param(checking(BLOCK, sent=0), id="checking, inside a file"),
        pytest.param(end(0), id="the end"),
    ],
)
def test_what_is_not_there_cannot_be_kept(message: str | bytes) -> None:
    machine = tree(blocks=5)
    machine.have(0, bytes(32), now=0.0)
    machine.have(2, bytes(96), now=0.0)
    with pytest.raises(PeerProtocolError):
        feed(machine, message)


# A sender that lives, and does not go on


def live(machine: ReceiverMachine, seconds: int, *says: Callable[[int], str | bytes]) -> list[str]:
    """Let time pass, with a ping a second; return the reasons of stalls."""
    reasons = []
    for second in range(1, seconds + 1):
        for message in [PING, *(say(second) for say in says)]:
            feed(machine, message)
        machine.heard(now=float(second))
        machine.handle_timer(now=float(second))
        said(machine)
        reasons += [event.reason for event in drain(machine) if isinstance(event, Stalled)]
    return reasons


def caught_up() -> ReceiverMachine:
    machine = receiving()
    machine.written(RECEIVED, now=0.0)
    return machine


@pytest.mark.parametrize("make", [caught_up, resuming])
def test_a_sender_that_does_not_move(make: Callable[[], ReceiverMachine]) -> None:
    machine = make()
    assert all("sends nothing" in reason for reason in live(machine, 119))
    with pytest.raises(PeerProtocolError, match="does not go on"):
        live(machine, 125)


def test_one_byte_a_second_is_no_movement() -> None:
    machine = receiving(size=BLOCK, received=0)
    with pytest.raises(PeerProtocolError, match="does not go on"):  # noqa: PT012
        for second in range(125):
            machine.receive_frame_untrusted(frame(second, 1), now=float(second))
            machine.written(second + 1, now=float(second))
            machine.handle_timer(now=float(second))


@pytest.mark.parametrize("make", [receiving, verifying, lambda: resuming(said_blocks=1)])
def test_a_slow_disk_here_is_nobodys_fault_there(make: Callable[[], ReceiverMachine]) -> None:
    reasons = live(make(), 1_000)
    assert reasons
    assert all("disk here" in reason for reason in reasons)


@pytest.mark.parametrize("make", [receiving, verifying])
def test_an_output_that_is_held_is_said_with_each_ping(
    make: Callable[[], ReceiverMachine],
) -> None:
    machine = make()
    machine.is_held = True
    assert set(live(machine, 1_000)) == {"Nobody takes what is written here."}
    machine.handle_timer(now=1_001.0)
    assert said(machine) == []
    machine.handle_timer(now=1_002.0)
    assert said(machine) == [{"type": "ping", "held": True}]
    machine.is_held = False
    machine.handle_timer(now=1_004.0)
    assert said(machine) == [{"type": "ping"}]


@pytest.mark.parametrize("make", [deciding, completed])
def test_where_nothing_has_to_move_nothing_stalls(make: Callable[[], ReceiverMachine]) -> None:
    assert live(make(), 1_000) == []


# The table


def test_the_table_says_what_the_machine_does() -> None:
    made: dict[ReceiverMove, Callable[[ReceiverMachine], object]] = {
        ReceiverMove.PROPOSAL: lambda machine: feed(machine, proposal(SIZE, path="x")),
        ReceiverMove.LISTED: lambda machine: feed(machine, page(SIZE, path="x")),
        ReceiverMove.ACCEPT: lambda machine: machine.accept(
            selection(), start=0, blocks=0, now=0.0
        ),
        ReceiverMove.SKIP_ALL: lambda machine: machine.skip_all(now=0.0),
        ReceiverMove.COMPLETE: lambda machine: machine.complete(DIGEST, now=0.0),
        ReceiverMove.BYE: lambda machine: feed(machine, BYE),
    }
    for name, make in STATES.items():
        for move, act in made.items():
            machine = make()
            key = machine.state, move
            if key in RECEIVER_TRANSITIONS:
                act(machine)
                assert machine.state is RECEIVER_TRANSITIONS[key], (name, move)
            else:
                with pytest.raises((PeerProtocolError, InternalError)):
                    act(machine)


def test_every_state_can_be_reached_and_left() -> None:
    left = {state for state, _ in RECEIVER_TRANSITIONS}
    assert left == set(ReceiverState) - {ReceiverState.CLOSED}
    reached = set(RECEIVER_TRANSITIONS.values())
    assert reached == set(ReceiverState) - {ReceiverState.AWAITING_PROPOSAL}
    assert {move for _, move in RECEIVER_TRANSITIONS} == set(ReceiverMove)
