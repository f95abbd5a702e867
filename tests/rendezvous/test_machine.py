import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import InternalError
from rtcsend.rendezvous.frames import parse_client_message_untrusted, serialize
from rtcsend.rendezvous.machine import ClientMachine, State
from rtcsend.rendezvous.machine_events import (
    Attached,
    Failed,
    MachineEvent,
    MessageReceived,
    PeerPresence,
    TurnedAway,
    Welcomed,
)
from rtcsend.rendezvous.messages import (
    MAX_BODY,
    Allocate,
    Allocated,
    BadMessage,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    IceServer,
    Meet,
    Message,
    Peer,
    PeerState,
    Release,
    Report,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
)
from rtcsend.rendezvous.unacknowledged import MAX_UNACKNOWLEDGED

SIDE = "A" * 22
TOKEN = "t" * 22
MAILBOX = "m" * 22
WELCOME = Welcome(server="s")


def feed(machine: ClientMachine, *messages: ServerMessage) -> list[MachineEvent]:
    for message in messages:
        machine.receive_frame_untrusted(serialize(message))
    events = []
    while (event := machine.next_event()) is not None:
        events.append(event)
    return events


def sent(machine: ClientMachine) -> list[ClientMessage]:
    return [parse_client_message_untrusted(frame) for frame in machine.frames_to_send()]


def machine_welcomed() -> ClientMachine:
    machine = ClientMachine(side=SIDE)
    machine.connected()
    assert feed(machine, WELCOME) == [Welcomed(WELCOME)]
    return machine


def machine_attached() -> ClientMachine:
    machine = machine_welcomed()
    machine.request(Claim(nameplate="7"))
    sent(machine)
    assert feed(machine, Claimed(token=TOKEN)) == [Attached("7")]
    return machine


def reconnect(machine: ClientMachine) -> list[ClientMessage]:
    machine.disconnected()
    machine.connected()
    feed(machine, WELCOME)
    return sent(machine)


def state_of(machine: ClientMachine) -> State:
    """Return the state; a socket is settled when the state waits for nothing."""
    assert machine.settled is (machine.state in (State.IDLE, State.ATTACHED, State.ENDED))
    return machine.state


def test_a_socket_without_a_welcome_is_not_settled() -> None:
    machine = ClientMachine(side=SIDE)
    machine.connected()
    assert not machine.settled


def test_allocate() -> None:
    machine = ClientMachine(side=SIDE)
    machine.request(Allocate())
    machine.connected()
    assert sent(machine) == []  # the welcome comes first
    feed(machine, WELCOME)
    assert sent(machine) == [Allocate(side=SIDE)]
    assert sent(machine) == []  # once
    assert feed(machine, Allocated(nameplate="7", token=TOKEN)) == [Attached("7")]
    assert state_of(machine) is State.ATTACHED


@pytest.mark.parametrize("request_", [Allocate(nameplate="7"), Claim(nameplate="7")])
def test_an_unanswered_request_is_repeated_with_its_side(request_: Allocate | Claim) -> None:
    machine = machine_welcomed()
    machine.request(request_)
    first = sent(machine)
    assert reconnect(machine) == first
    assert first == [type(request_)(nameplate="7", side=SIDE)]


def test_what_was_not_sent_before_the_drop_is_made_again() -> None:
    machine = machine_welcomed()
    machine.request(Claim(nameplate="7"))
    machine.send(b"early")
    assert reconnect(machine) == [Claim(nameplate="7", side=SIDE)]
    feed(machine, Claimed(token=TOKEN))
    assert sent(machine) == [Message(b"early")]


@pytest.mark.parametrize(
    ("request_", "answer", "resume"),
    [
        (Allocate(), Allocated(nameplate="42", token=TOKEN), Resume(nameplate="42", token=TOKEN)),
        (Claim(nameplate="7"), Claimed(token=TOKEN), Resume(nameplate="7", token=TOKEN)),
        (Meet(mailbox=MAILBOX), Claimed(token=TOKEN), Resume(mailbox=MAILBOX, token=TOKEN)),
    ],
)
def test_an_answered_request_is_resumed(
    request_: Allocate | Claim | Meet, answer: Allocated | Claimed, resume: Resume
) -> None:
    machine = machine_welcomed()
    machine.request(request_)
    feed(machine, answer)
    assert reconnect(machine) == [resume]
    assert state_of(machine) is State.RESUMING
    feed(machine, Resumed())
    assert state_of(machine) is State.ATTACHED


def test_resume_sends_only_what_the_server_has_not() -> None:
    machine = machine_attached()
    for body in (b"0", b"1", b"2"):
        machine.send(body)
    sent(machine)
    machine.disconnected()
    machine.send(b"3")
    assert machine.frames_to_send() == []
    feed_count = reconnect(machine)
    assert feed_count == [Resume(nameplate="7", token=TOKEN)]
    feed(machine, Resumed(received=2))
    assert sent(machine) == [Message(b"2"), Message(b"3")]
    reconnect(machine)
    feed(machine, Resumed(received=4))
    assert sent(machine) == []


def test_resume_says_how_much_came_in() -> None:
    machine = machine_attached()
    assert feed(machine, Message(b"a"), Message(b"b")) == [
        MessageReceived(b"a"),
        MessageReceived(b"b"),
    ]
    assert reconnect(machine) == [Resume(nameplate="7", token=TOKEN, received=2)]


@pytest.mark.parametrize("received", [1, 4])
def test_an_impossible_count_is_refused(received: int) -> None:
    machine = machine_attached()
    for body in (b"0", b"1", b"2"):
        machine.send(body)
    reconnect(machine)
    feed(machine, Resumed(received=2))
    reconnect(machine)
    with pytest.raises(BadMessage, match="count"):
        feed(machine, Resumed(received=received))


@pytest.mark.parametrize(
    ("states", "events"),
    [
        (["joined"], ["joined"]),
        (["joined", "joined", "back"], ["joined"]),
        (["joined", "away", "back"], ["joined", "away", "back"]),
        (["joined", "away", "joined"], ["joined", "away", "back"]),
        (["joined", "away", "away"], ["joined", "away"]),
        (["away"], ["joined", "away"]),
        (["back"], ["joined"]),
        (["left"], ["left"]),
        (["joined", "left", "left", "back"], ["joined", "left"]),
    ],
)
def test_presence_becomes_changes(states: list[PeerState], events: list[str]) -> None:
    machine = machine_attached()
    found = feed(machine, *(Peer(state) for state in states))
    assert [event.state for event in found if isinstance(event, PeerPresence)] == events
    assert machine.peer_left is ("left" in states)


def test_a_refused_request_can_be_followed_by_another() -> None:
    machine = machine_welcomed()
    machine.request(Claim(nameplate="7"))
    machine.send(b"for nobody")
    error = ErrorMessage(code="not-found", message="")
    assert feed(machine, error) == [Failed(error, attached=False)]
    sent(machine)
    machine.request(Claim(nameplate="8"))
    assert sent(machine) == [Claim(nameplate="8", side=SIDE)]
    feed(machine, Claimed(token=TOKEN))
    assert sent(machine) == []


def test_an_error_ends_what_was_attached() -> None:
    machine = machine_attached()
    reconnect(machine)
    error = ErrorMessage(code="expired", message="")
    assert feed(machine, error) == [Failed(error, attached=True)]
    assert machine.state is State.ENDED


def test_an_error_instead_of_a_welcome_changes_nothing() -> None:
    machine = machine_attached()
    machine.disconnected()
    machine.connected()
    error = ErrorMessage(code="full", message="")
    assert feed(machine, error) == [TurnedAway(error)]
    assert reconnect(machine) == [Resume(nameplate="7", token=TOKEN)]


def machine_waiting() -> ClientMachine:
    """Return one that has a nameplate, and to which nobody has come."""
    machine = machine_welcomed()
    machine.request(Allocate(auth="sesame"))
    sent(machine)
    feed(machine, Allocated(nameplate="7", token=TOKEN))
    machine.send(b"first")
    sent(machine)
    return machine


EXPIRED = ErrorMessage(code="expired", message="")


def test_a_server_that_forgot_a_nameplate_is_asked_for_it_again() -> None:
    machine = machine_waiting()
    assert reconnect(machine) == [Resume(nameplate="7", token=TOKEN)]
    assert feed(machine, EXPIRED) == []
    assert sent(machine) == [Allocate(nameplate="7", side=SIDE, auth="sesame")]
    assert not machine.settled
    # Also when that socket drops, and when the new server is busy for the moment.
    again = [Allocate(nameplate="7", side=SIDE, auth="sesame")]
    assert reconnect(machine) == again
    busy = ErrorMessage(code="rate-limited", message="", retry_after=5)
    assert feed(machine, busy) == [TurnedAway(busy)]
    assert reconnect(machine) == again
    assert feed(machine, Allocated(nameplate="7", token="n" * 22)) == [Attached("7")]
    assert sent(machine) == [Message(b"first")]
    assert reconnect(machine) == [Resume(nameplate="7", token="n" * 22)]


def test_a_nameplate_that_somebody_else_has_by_then_is_lost() -> None:
    machine = machine_waiting()
    reconnect(machine)
    feed(machine, EXPIRED)
    crowded = ErrorMessage(code="crowded", message="")
    assert feed(machine, crowded) == [Failed(crowded, attached=True)]
    assert machine.state is State.ENDED


def test_what_the_forgetful_server_had_already_is_sent_again() -> None:
    # The sender's first pairing message waits there for whoever comes.
    machine = machine_waiting()
    reconnect(machine)
    assert feed(machine, Resumed(received=1)) == [Attached("7")]
    assert sent(machine) == []
    reconnect(machine)
    feed(machine, EXPIRED)
    assert sent(machine) == [Allocate(nameplate="7", side=SIDE, auth="sesame")]
    feed(machine, Allocated(nameplate="7", token="n" * 22))
    assert sent(machine) == [Message(b"first")]


@pytest.mark.parametrize("seen", ["peer", "message", "peer, and acknowledged"])
def test_what_has_begun_cannot_begin_again(seen: str) -> None:
    machine = machine_waiting()
    if seen.startswith("peer"):
        feed(machine, Peer("joined"))
    elif seen == "message":
        feed(machine, Message(b"hi"))
    reconnect(machine)
    if seen.endswith("acknowledged"):
        feed(machine, Resumed(received=1))
        reconnect(machine)
    assert feed(machine, EXPIRED) == [Failed(EXPIRED, attached=True)]


def test_a_nameplate_that_nobody_claimed_for_too_long_is_over() -> None:
    machine = machine_waiting()
    assert feed(machine, EXPIRED) == [Failed(EXPIRED, attached=True)]
    assert machine.state is State.ENDED


def test_relays_come_with_the_other_side_and_stay() -> None:
    machine = machine_attached()
    assert not machine.relays
    first, second = (IceServer(("turn:h",), "u", text) for text in ("c", "d"))
    feed(machine, Peer("joined", (first,)))
    assert machine.relays == (first,)
    feed(machine, Peer("away"))
    assert machine.relays == (first,)
    feed(machine, Peer("back", (second,)))
    assert machine.relays == (second,)


def test_a_permit_is_kept_for_a_meeting() -> None:
    machine = machine_attached()
    feed(machine, Peer("joined", (), "permit-1"))
    feed(machine, Peer("away"))
    assert machine.permit == "permit-1"
    machine = machine_welcomed()
    machine.request(Meet(mailbox=MAILBOX, permit="permit-1"))
    assert sent(machine) == [Meet(mailbox=MAILBOX, side=SIDE, permit="permit-1")]


def test_a_report_is_sent_at_once_or_never() -> None:
    machine = machine_attached()
    machine.report("relayed")
    assert sent(machine) == [Report("relayed")]
    machine.disconnected()
    machine.report("direct")
    assert reconnect(machine) == [Resume(nameplate="7", token=TOKEN)]
    feed(machine, Resumed())
    assert sent(machine) == []


def test_release_goes_behind_what_was_sent() -> None:
    machine = machine_attached()
    machine.send(b"last")
    assert machine.release()
    assert sent(machine) == [Message(b"last"), Release()]
    assert feed(machine, Message(b"crossed")) == []
    assert not machine.release()


def test_release_before_the_answer_is_told() -> None:
    machine = machine_welcomed()
    machine.request(Allocate())
    assert machine.release()
    assert sent(machine) == [Allocate(side=SIDE), Release()]


def test_release_without_a_mailbox_or_a_socket_tells_nobody() -> None:
    assert not machine_welcomed().release()
    machine = machine_attached()
    machine.disconnected()
    assert not machine.release()


@pytest.mark.parametrize("kind", ["count", "bytes"])
def test_what_is_kept_is_bounded(kind: str) -> None:
    machine = machine_attached()
    body = b"" if kind == "count" else bytes(MAX_BODY)
    taken = 0
    while machine.has_room:
        machine.send(body)
        taken += 1
    assert taken == (MAX_UNACKNOWLEDGED if kind == "count" else 2**20 // MAX_BODY)
    with pytest.raises(InternalError):
        machine.send(body)
    reconnect(machine)
    feed(machine, Resumed(received=taken))
    assert machine.has_room


def test_misuse_is_an_error_of_ours() -> None:
    machine = machine_welcomed()
    with pytest.raises(InternalError):
        machine.send(b"nowhere")
    machine.request(Allocate())
    with pytest.raises(InternalError):
        machine.request(Allocate())
    with pytest.raises(InternalError):
        machine.send(bytes(MAX_BODY + 1))


BAD_BEFORE_WELCOME: list[ServerMessage] = [
    Claimed(token=TOKEN),
    Resumed(),
    Message(b""),
    Peer("joined"),
]


@pytest.mark.parametrize("message", BAD_BEFORE_WELCOME)
def test_the_first_frame_is_a_welcome(message: ServerMessage) -> None:
    machine = ClientMachine(side=SIDE)
    machine.connected()
    with pytest.raises(BadMessage, match="welcome"):
        feed(machine, message)


@pytest.mark.parametrize("message", [WELCOME, *BAD_BEFORE_WELCOME])
def test_nothing_comes_unasked(message: ServerMessage) -> None:
    with pytest.raises(BadMessage):
        feed(machine_welcomed(), message)


@pytest.mark.parametrize(
    "answer", [Claimed(token=TOKEN), Resumed(), Allocated(nameplate="8", token=TOKEN)]
)
def test_the_answer_belongs_to_the_request(answer: ServerMessage) -> None:
    machine = machine_welcomed()
    machine.request(Allocate(nameplate="7"))
    with pytest.raises(BadMessage):
        feed(machine, answer)


def test_binary_frames_are_refused() -> None:
    with pytest.raises(BadMessage, match="binary"):
        machine_welcomed().receive_frame_untrusted(serialize(WELCOME).encode())


frames = st.one_of(
    st.sampled_from(
        [
            serialize(message)
            for message in (
                WELCOME,
                Allocated(nameplate="7", token=TOKEN),
                Claimed(token=TOKEN, received=1),
                Resumed(),
                Resumed(received=1),
                Message(b"x"),
                Peer("joined"),
                Peer("left"),
                ErrorMessage(code="full", message=""),
            )
        ]
    ),
    st.text(max_size=5),
    st.binary(max_size=5),
)


@given(st.lists(st.one_of(frames, st.sampled_from([1, 2, 3, 4])), max_size=30))
def test_any_frames_raise_bad_message_only(steps: list[str | bytes | int]) -> None:
    machine = ClientMachine(side=SIDE)
    machine.connected()
    for step in steps:
        if step == 1:
            machine.connected()
        elif step == 2:
            machine.disconnected()
        elif step == 3 and machine.state is State.IDLE:
            machine.request(Claim(nameplate="7"))
        elif step == 4 and machine.state in (State.ASKING, State.ATTACHED, State.RESUMING):
            machine.send(b"y")
        elif isinstance(step, str | bytes):
            try:
                machine.receive_frame_untrusted(step)
            except BadMessage:
                return
        machine.frames_to_send()
