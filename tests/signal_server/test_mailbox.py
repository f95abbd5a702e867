"""The server's machine, driven by hand: every frame and every second is the test's own."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.limits import Limits
from signal_server.messages import (
    MAX_FRAME,
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    Meet,
    Message,
    Peer,
    Release,
    Report,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
    serialize,
)
from signal_server.outputs import Close, Output
from tests.fakes.rendezvous import RendezvousMachine

SIDE_A, SIDE_B, SIDE_C = "A" * 22, "B" * 22, "C" * 22
MAILBOX = "m" * 22
UNKNOWN_TOKEN = "u" * 22
WELCOME = Welcome(server="test")


class World:
    """A machine with sockets that remember what they were sent."""

    def __init__(self, **limits: Any) -> None:
        counter = itertools.count()
        self.limits = Limits(**limits)
        self.machine = RendezvousMachine(
            welcome=WELCOME,
            limits=self.limits,
            entropy=lambda size: next(counter).to_bytes(size, "big"),
        )
        self.now = 0.0
        self.sent: dict[int, list[ServerMessage]] = defaultdict(list)
        self.closed: dict[int, int] = {}
        self._numbers = itertools.count(1)

    def socket(self, source: str = "192.0.2.1") -> int:
        number = next(self._numbers)
        self.do(self.machine.connect(number, source, now=self.now))
        return number

    def send(self, number: int, frame: ClientMessage | str | bytes) -> list[ServerMessage]:
        """Feed one frame, and return what this socket got for it."""
        before = len(self.sent[number])
        text = frame if isinstance(frame, str | bytes) else serialize(frame)
        self.do(self.machine.receive(number, text, now=self.now))
        return self.sent[number][before:]

    def drop(self, number: int) -> None:
        self.do(self.machine.disconnect(number, now=self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the timer going off exactly when it should."""
        end = self.now + seconds
        while (when := self.machine.get_timer()) is not None and when <= end:
            self.now = max(when, self.now)
            self.do(self.machine.handle_timer(now=self.now))
        self.now = end

    def do(self, outputs: list[Output]) -> None:
        for output in outputs:
            assert output.connection not in self.closed, "nothing follows a close"
            if isinstance(output, Close):
                self.closed[output.connection] = output.code
            else:
                self.sent[output.connection].append(output.message)

    def news(self, number: int) -> list[ServerMessage]:
        """Return and forget what a socket was sent."""
        return self.sent.pop(number, [])

    def allocate(self, side: str | None = SIDE_A) -> tuple[int, Allocated]:
        number = self.socket()
        [answer] = self.send(number, Allocate(side=side))
        assert isinstance(answer, Allocated)
        self.news(number)
        return number, answer

    def pair(self) -> tuple[int, Allocated, int, Claimed]:
        a, allocated = self.allocate()
        b = self.socket()
        answer = self.send(b, Claim(nameplate=allocated.nameplate, side=SIDE_B))[0]
        assert isinstance(answer, Claimed)
        self.news(a)
        self.news(b)
        return a, allocated, b, answer


def code(messages: list[ServerMessage]) -> str:
    [message] = messages
    assert isinstance(message, ErrorMessage)
    assert message.message
    return message.code


def test_welcome_first() -> None:
    world = World()
    assert world.news(world.socket()) == [WELCOME]


def test_the_whole_way() -> None:
    world = World()
    a, allocated = world.allocate()
    assert int(allocated.nameplate) in range(100, 1000)  # at most 1 in 100 is in use
    b = world.socket()
    answer, peer = world.send(b, Claim(nameplate=allocated.nameplate))
    assert isinstance(answer, Claimed)
    assert peer == Peer("joined")
    assert world.news(a) == [Peer("joined")]
    assert answer.token != allocated.token
    assert world.send(a, Message(b"one")) == []
    world.send(b, Message(b"two"))
    assert world.news(a) == [Message(b"two")]
    assert world.news(b)[-1] == Message(b"one")
    world.send(a, Release())
    assert world.closed == {a: 1000}
    assert world.news(b) == [Peer("left")]


def test_what_the_first_side_says_early_waits_for_the_second() -> None:
    world = World()
    a, allocated = world.allocate()
    world.send(a, Message(b"1"))
    world.send(a, Message(b"2"))
    b = world.socket()
    got = world.send(b, Claim(nameplate=allocated.nameplate))
    assert got[1:] == [Message(b"1"), Message(b"2"), Peer("joined")]


def test_a_third_party_is_refused_and_changes_nothing() -> None:
    world = World()
    a, allocated, b, _ = world.pair()
    c = world.socket()
    assert code(world.send(c, Claim(nameplate=allocated.nameplate, side=SIDE_C))) == "not-found"
    assert world.send(c, Message(b"intruder")) != []
    assert world.news(a) == world.news(b) == []
    world.send(a, Message(b"undisturbed"))
    assert world.news(b) == [Message(b"undisturbed")]


def test_a_claimed_nameplate_is_gone_also_while_one_of_the_two_is_away() -> None:
    world = World()
    _, allocated, b, _ = world.pair()
    world.drop(b)
    c = world.socket()
    assert code(world.send(c, Claim(nameplate=allocated.nameplate, side=SIDE_C))) == "not-found"


def test_nobody_there() -> None:
    world = World()
    number = world.socket()
    assert code(world.send(number, Claim(nameplate="7"))) == "not-found"
    assert number not in world.closed  # it may try another one
    world.send(number, Allocate(nameplate="7"))
    assert isinstance(world.news(number)[-1], Allocated)


def test_a_nameplate_of_the_users_own() -> None:
    world = World()
    number = world.socket()
    [answer] = world.send(number, Allocate(nameplate="123456789"))
    assert isinstance(answer, Allocated)
    assert answer.nameplate == "123456789"
    other = world.socket()
    assert code(world.send(other, Allocate(nameplate="123456789", side=SIDE_B))) == "crowded"


def test_release_frees_the_nameplate_at_once() -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    world.send(a, Release())
    c = world.socket()
    [again] = world.send(c, Allocate(nameplate=allocated.nameplate, side=SIDE_C))
    assert isinstance(again, Allocated)
    # The old other side is still in the old mailbox, not in the new one.
    assert world.send(b, Message(b"ignored")) == []
    assert world.news(c) == [WELCOME, again]
    world.drop(b)
    d = world.socket()
    resumed = world.send(d, Resume(nameplate=allocated.nameplate, token=claimed.token))
    assert resumed == [Resumed(), Peer("left")]


def test_release_without_a_mailbox_closes() -> None:
    world = World()
    number = world.socket()
    assert world.send(number, Release()) != [Peer("left")]
    assert world.closed == {number: 1000}


def test_the_last_words_of_a_side_that_left_are_kept_for_the_other() -> None:
    world = World(ended_seconds=100.0)
    a, allocated, b, claimed = world.pair()
    world.drop(b)
    world.send(a, Message(b"goodbye"))
    world.send(a, Release())
    world.pass_time(99)
    c = world.socket()
    resume = Resume(nameplate=allocated.nameplate, token=claimed.token)
    assert world.send(c, resume) == [Resumed(), Message(b"goodbye"), Peer("left")]
    world.pass_time(1)
    assert world.closed[c] == 1000
    assert code(world.send(world.socket(), resume)) == "expired"


# Coming back


def test_resume_sends_what_was_missed() -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    for body in (b"0", b"1", b"2"):
        world.send(a, Message(body))
    world.send(b, Message(b"x"))
    world.drop(b)
    assert world.news(a)[-1] == Peer("away")
    world.send(a, Message(b"3"))
    c = world.socket()
    resume = Resume(nameplate=allocated.nameplate, token=claimed.token, received=2)
    got = world.send(c, resume)
    assert got == [Resumed(received=1), Message(b"2"), Message(b"3"), Peer("joined")]
    assert world.news(a) == [Peer("back")]


def test_resume_takes_over_a_socket_that_is_not_known_to_be_dead() -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    c = world.socket()
    world.send(c, Resume(nameplate=allocated.nameplate, token=claimed.token))
    assert world.closed == {b: 4001}
    assert world.news(a) == []  # it never was away
    world.drop(b)
    assert world.news(a) == []
    world.send(a, Message(b"x"))
    assert world.news(c)[-1] == Message(b"x")


def test_an_old_socket_cannot_take_the_place_of_a_new_one() -> None:
    """A proxy may deliver a request long after its client gave up the socket."""
    world = World()
    a, allocated, b, claimed = world.pair()
    old, new = world.socket(), world.socket()
    resume = Resume(nameplate=allocated.nameplate, token=claimed.token)
    world.send(new, resume)
    assert world.send(old, resume) == []
    assert world.closed == {b: 4001, old: 4001}
    world.send(a, Message(b"x"))
    assert world.news(new)[-1] == Message(b"x")


@pytest.mark.parametrize("drop_first", [True, False])
def test_a_repeated_allocate_is_the_same(*, drop_first: bool) -> None:
    world = World()
    a, allocated = world.allocate()
    if drop_first:
        world.drop(a)
    b = world.socket()
    assert world.send(b, Allocate(side=SIDE_A)) == [allocated]


@pytest.mark.parametrize("drop_first", [True, False])
def test_a_repeated_claim_is_the_same_and_not_crowded(*, drop_first: bool) -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    world.send(a, Message(b"1"))
    world.send(b, Message(b"2"))
    if drop_first:
        world.drop(b)
    c = world.socket()
    got = world.send(c, Claim(nameplate=allocated.nameplate, side=SIDE_B))
    again = Claimed(token=claimed.token, received=1)
    assert got == [again, Message(b"1"), Peer("joined")]
    got = world.send(
        d := world.socket(), Claim(nameplate=allocated.nameplate, side=SIDE_B, received=1)
    )
    assert got == [again, Peer("joined")]
    assert d not in world.closed


def test_without_a_side_nothing_can_be_repeated() -> None:
    world = World()
    _, allocated = world.allocate(side=None)
    _, other = world.allocate(side=None)
    assert other.nameplate != allocated.nameplate


@pytest.mark.parametrize(
    "resume",
    [
        Resume(nameplate="7", token=UNKNOWN_TOKEN),
        Resume(mailbox=MAILBOX, token=UNKNOWN_TOKEN),
    ],
)
def test_an_unknown_token_is_expired(resume: Resume) -> None:
    world = World()
    assert code(world.send(world.socket(), resume)) == "expired"


def test_a_token_is_good_for_its_own_nameplate_only() -> None:
    world = World()
    _, allocated = world.allocate()
    other = "7" if allocated.nameplate != "7" else "8"
    resume = Resume(nameplate=other, token=allocated.token)
    assert code(world.send(world.socket(), resume)) == "expired"


@pytest.mark.parametrize("kind", ["resume", "claim", "new"])
def test_having_received_what_was_never_sent_is_bad(kind: str) -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    world.drop(b)
    frames: dict[str, ClientMessage] = {
        "resume": Resume(nameplate=allocated.nameplate, token=claimed.token, received=1),
        "claim": Claim(nameplate=allocated.nameplate, side=SIDE_B, received=1),
        "new": Meet(mailbox=MAILBOX, received=1),
    }
    c = world.socket()
    assert code(world.send(c, frames[kind])) == "bad-message"
    assert world.closed == {c: 1008}
    assert world.news(a) == [Peer("away")]
    d = world.socket()  # and nothing is left of it
    assert isinstance(world.send(d, Meet(mailbox=MAILBOX))[0], Claimed)
    assert world.news(d)[2:] == []


# Meeting


def test_meet_in_any_order() -> None:
    world = World()
    a, b = world.socket(), world.socket()
    [first] = world.send(a, Meet(mailbox=MAILBOX, side=SIDE_A))
    world.send(a, Message(b"hello"))
    second, body, peer = world.send(b, Meet(mailbox=MAILBOX, side=SIDE_B))
    assert isinstance(first, Claimed)
    assert isinstance(second, Claimed)
    assert (body, peer) == (Message(b"hello"), Peer("joined"))
    world.drop(a)
    c = world.socket()
    assert world.send(c, Resume(mailbox=MAILBOX, token=first.token))[0] == Resumed(received=1)


def test_a_third_is_one_of_the_two_on_a_new_network() -> None:
    world = World()
    a, b, c, d = (world.socket() for _ in range(4))
    world.send(a, Meet(mailbox=MAILBOX, side=SIDE_A))
    world.send(b, Meet(mailbox=MAILBOX, side=SIDE_B))
    world.send(b, Message(b"old"))
    [answer] = world.send(c, Meet(mailbox=MAILBOX, side=SIDE_C))
    assert isinstance(answer, Claimed)
    assert world.closed == {a: 4001}
    assert world.news(b)[-1] == Peer("left")
    again, peer = world.send(d, Meet(mailbox=MAILBOX, side="D" * 22))
    assert isinstance(again, Claimed)
    assert peer == Peer("joined")
    assert world.news(c)[-1] == Peer("joined")


def test_a_restarted_side_starts_the_meeting_anew() -> None:
    world = World()
    a, b = world.socket(), world.socket()
    world.send(a, Meet(mailbox=MAILBOX, side=SIDE_A))
    world.send(b, Meet(mailbox=MAILBOX, side=SIDE_B))
    world.send(a, Message(b"old"))
    world.drop(b)
    c = world.socket()
    [answer] = world.send(c, Meet(mailbox=MAILBOX, side=SIDE_C))
    assert isinstance(answer, Claimed)
    assert world.news(a)[-1] == Peer("left")
    world.send(a, Release())
    d = world.socket()
    got = world.send(d, Meet(mailbox=MAILBOX, side="D" * 22))
    assert got[1:] == [Peer("joined")]


# Time


def test_a_nameplate_nobody_claims_expires_after_a_day() -> None:
    world = World()
    a, allocated = world.allocate()
    world.pass_time(24 * 3600 - 1)
    assert world.closed == {}
    world.pass_time(1)
    assert code(world.news(a)) == "expired"
    assert world.closed == {a: 1008}
    assert code(world.send(world.socket(), Claim(nameplate=allocated.nameplate))) == "not-found"
    assert world.machine.directory.live == 0


def test_a_nameplate_whose_owner_is_away_expires_in_two_minutes() -> None:
    world = World()
    a, allocated = world.allocate()
    world.drop(a)
    world.pass_time(119)
    b = world.socket()
    world.send(b, Resume(nameplate=allocated.nameplate, token=allocated.token))
    world.drop(b)
    world.pass_time(119)  # counted anew
    c = world.socket()
    resumed = world.send(c, Resume(nameplate=allocated.nameplate, token=allocated.token))
    assert isinstance(resumed[0], Resumed)
    world.drop(c)
    world.pass_time(120)
    assert code(world.send(world.socket(), Claim(nameplate=allocated.nameplate))) == "not-found"


def test_a_claimed_mailbox_lasts_while_both_are_there() -> None:
    world = World()
    a, _, b, _ = world.pair()
    world.pass_time(10 * 24 * 3600)
    world.send(a, Message(b"still"))
    assert world.news(b) == [Message(b"still")]


def test_a_side_that_stays_away_has_left() -> None:
    world = World()
    a, allocated, b, claimed = world.pair()
    world.drop(b)
    world.pass_time(120)
    assert world.news(a) == [Peer("away"), Peer("left")]
    resume = Resume(nameplate=allocated.nameplate, token=claimed.token)
    assert code(world.send(world.socket(), resume)) == "expired"


def test_both_away_leaves_nothing() -> None:
    world = World()
    a, _, b, _ = world.pair()
    world.send(a, Message(b"12345"))
    world.drop(a)
    world.drop(b)
    world.pass_time(120)
    assert_nothing_is_left(world)
    assert world.machine.get_timer() is None


def test_a_socket_that_asks_for_nothing_is_closed() -> None:
    world = World()
    idle = world.socket()
    busy, _ = world.allocate()
    world.pass_time(120)
    assert world.closed == {idle: 1008}
    assert busy not in world.closed


# Limits


@pytest.mark.parametrize(
    ("limits", "bodies"),
    [
        ({"max_messages": 2}, [b"", b""]),
        ({"max_bytes": 10}, [b"12345", b"12345"]),
        ({"max_total_bytes": 10}, [b"12345", b"12345"]),
    ],
)
def test_a_full_mailbox(limits: dict[str, int], bodies: list[bytes]) -> None:
    world = World(**limits)
    a, allocated, b, _ = world.pair()
    for body in bodies:
        assert world.send(a, Message(body)) == []
    assert code(world.send(a, Message(b"6"))) == "full"
    assert world.closed == {a: 1008}
    assert world.news(b) == [*(Message(body) for body in bodies), Peer("away")]
    c = world.socket()
    resume = Resume(nameplate=allocated.nameplate, token=allocated.token)
    assert world.send(c, resume)[0] == Resumed(received=2)


def test_total_bytes_come_back_with_the_mailbox() -> None:
    world = World(max_total_bytes=10)
    a, _, b, _ = world.pair()
    world.send(a, Message(b"1234567890"))
    assert world.machine.directory.stored_bytes == 10
    world.send(a, Release())
    world.send(b, Release())
    assert world.machine.directory.stored_bytes == 0


def test_the_number_of_mailboxes_is_bounded() -> None:
    world = World(max_mailboxes=2)
    a, _ = world.allocate(SIDE_A)
    world.allocate(SIDE_B)
    c = world.socket()
    assert code(world.send(c, Allocate(side=SIDE_C))) == "full"
    assert code(world.send(c, Meet(mailbox=MAILBOX))) == "full"
    world.send(a, Release())
    assert isinstance(world.send(c, Allocate(side=SIDE_C))[0], Allocated)


def test_ended_mailboxes_cannot_be_piled_up() -> None:
    world = World(max_mailboxes=2)
    for _ in range(4):
        a, allocated = world.allocate(side=None)
        world.send(world.socket(), Claim(nameplate=allocated.nameplate))
        world.send(a, Release())
        assert world.machine.directory.live == 0
    assert code(world.send(world.socket(), Allocate())) == "full"
    world.pass_time(120)
    assert isinstance(world.send(world.socket(), Allocate())[0], Allocated)


def test_the_number_of_sockets_is_bounded() -> None:
    world = World(max_sockets=1)
    first = world.socket()
    second = world.socket()
    assert code(world.news(second)) == "full"
    assert world.closed == {second: 1013}
    world.drop(first)
    assert world.news(world.socket()) == [WELCOME]


def test_failed_claims_are_limited_by_source() -> None:
    world = World(failed_claims=1, failed_claim_seconds=2.0)
    _, allocated = world.allocate()
    attacker = world.socket("198.51.100.1")
    for _ in range(2):
        assert code(world.send(attacker, Claim(nameplate="7"))) == "not-found"
    # Not even a right guess tells anything now, nor on another socket.
    again = world.socket("198.51.100.1")
    assert code(world.send(again, Claim(nameplate=allocated.nameplate))) == "rate-limited"
    assert code(world.send(again, Allocate(nameplate=allocated.nameplate))) == "rate-limited"
    assert again not in world.closed
    other = world.socket("198.51.100.2")
    assert code(world.send(other, Claim(nameplate="7"))) == "not-found"
    world.pass_time(2)
    assert isinstance(world.send(again, Claim(nameplate=allocated.nameplate))[0], Claimed)


def test_coming_back_is_not_limited() -> None:
    world = World(failed_claims=0, claims_per_minute=2)
    _, allocated, b, claimed = world.pair()
    c = world.socket()
    world.send(c, Claim(nameplate="999"))
    world.drop(b)
    again = world.send(world.socket(), Claim(nameplate=allocated.nameplate, side=SIDE_B))
    assert isinstance(again[0], Claimed)
    assert again[0].token == claimed.token


# Bad input


@pytest.mark.parametrize(
    ("frame", "error", "close"),
    [
        ("", "bad-message", 1008),
        (b"{}", "bad-message", 1008),
        ('{"type":"welcome"}', "bad-message", 1008),
        ("x" * (MAX_FRAME + 1), "too-large", 1009),
        (bytes(MAX_FRAME + 1), "too-large", 1009),
        ("é" * (MAX_FRAME // 2 + 1), "too-large", 1009),
        ("\ud800", "bad-message", 1008),
    ],
)
def test_a_bad_frame_ends_its_socket_but_not_the_mailbox(
    frame: str | bytes, error: str, close: int
) -> None:
    world = World()
    a, allocated, b, _ = world.pair()
    assert code(world.send(a, frame)) == error
    assert world.closed == {a: close}
    assert world.send(a, Message(b"after")) == []
    assert world.news(b) == [Peer("away")]
    resume = Resume(nameplate=allocated.nameplate, token=allocated.token)
    assert world.send(world.socket(), resume) == [Resumed(), Peer("joined")]


def test_one_socket_has_one_mailbox() -> None:
    for again in (Allocate(), Claim(nameplate="7"), Meet(mailbox=MAILBOX)):
        world = World()
        a, _ = world.allocate()
        assert code(world.send(a, again)) == "bad-message"
        assert a in world.closed


def test_a_message_before_a_mailbox_is_bad() -> None:
    world = World()
    assert code(world.send(world.socket(), Message(b""))) == "bad-message"


def test_frames_of_unknown_sockets_are_ignored() -> None:
    world = World()
    assert world.send(99, Allocate()) == []
    world.drop(99)


def test_counters() -> None:
    world = World()
    a, _, _, _ = world.pair()
    world.send(a, Message(b"12"))
    world.send(world.socket(), Claim(nameplate="999"))
    world.send(a, Report("direct"))
    world.send(a, Release())
    counters = world.machine.counters
    assert (counters.mailboxes_opened, counters.pairings) == (1, 1)
    assert (sum(counters.messages.counts), counters.messages.total) == (1, 2)
    assert counters.refusals["not-found"] == 1
    assert counters.reports["direct"] == 1
    assert counters.endings == {"released": 1, "away": 0, "unclaimed": 0, "replaced": 0}


def test_the_census_and_who_can_go_elsewhere() -> None:
    world = World()
    a, _, b, _ = world.pair()
    c, _ = world.allocate(side=SIDE_C)
    d = world.socket()
    assert world.machine.reception.census() == {"waiting": 1, "paired": 1, "ended": 0}
    assert world.machine.reception.movable() == [c, d]
    world.send(a, Release())
    assert world.machine.reception.census() == {"waiting": 1, "paired": 0, "ended": 1}
    assert world.machine.reception.movable() == [b, c, d]


def assert_nothing_is_left(world: World) -> None:
    directory = world.machine.directory
    assert (len(directory), directory.live, directory.sides, directory.stored_bytes) == (0, 0, 0, 0)
    assert directory._drawn == {}
    assert world.machine.reception.movable() == []
    assert world.machine.get_timer() is None


FRAMES = st.one_of(
    st.sampled_from(
        [
            serialize(message)
            for message in (
                Allocate(side=SIDE_A),
                Allocate(nameplate="7", side=SIDE_A),
                Claim(nameplate="7", side=SIDE_B),
                Claim(nameplate="7"),
                Meet(mailbox=MAILBOX, side=SIDE_A),
                Meet(mailbox=MAILBOX, side=SIDE_B),
                Meet(mailbox=MAILBOX),
                Resume(nameplate="7", token="AAAAAAAAAAAAAAAAAAAAAA"),
                Message(b"x"),
                Release(),
            )
        ]
    ),
    st.text(max_size=4),
)
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 5), FRAMES),
    st.tuples(st.just("drop"), st.integers(0, 5), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from([1, 119, 120, 86_400]), st.just("")),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_the_server_stands_and_forgets(steps: list[tuple[str, int, str]]) -> None:
    world = World(max_mailboxes=3, max_messages=3)
    slots = [world.socket() for _ in range(6)]
    for kind, number, frame in steps:
        if kind == "wait":
            world.pass_time(number)
            continue
        if slots[number] in world.closed:
            slots[number] = world.socket()
        if kind == "send":
            world.send(slots[number], frame)
        else:
            world.drop(slots[number])
            slots[number] = world.socket()
    for slot in slots:
        world.drop(slot)
    world.pass_time(1_000)
    assert_nothing_is_left(world)
