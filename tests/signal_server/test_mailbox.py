"""The server's machine, driven by hand: every frame and every second is the test's own.

Everything is tried twice: with the store in memory, and as two processes that share a Redis.
"""

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_server.decisions import SMALL_MAILBOX
from signal_server.messages import (
    MAX_FRAME,
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    Meet,
    Message,
    Peer,
    Release,
    Report,
    Resume,
    Resumed,
    serialize,
)
from signal_server.reception import MAX_REFUSALS
from tests.fakes.redis_server import needs_redis, redis_server
from tests.fakes.rendezvous import RendezvousMachine
from tests.fakes.shared_rendezvous import SharedRendezvousMachine
from tests.signal_server.world import (
    MAILBOX,
    SIDE_A,
    SIDE_B,
    SIDE_C,
    UNKNOWN_TOKEN,
    WELCOME,
    World,
    code,
)


@pytest.fixture(
    scope="module",
    autouse=True,
    params=["memory", pytest.param("redis", marks=[needs_redis, pytest.mark.net])],
)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    if request.param == "memory":
        World.make = RendezvousMachine
        yield
        return
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        World.make = partial(SharedRendezvousMachine, redis)
        yield
        World.close_all()


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
        ({"max_total_bytes": 10}, [b"1" * SMALL_MAILBOX]),
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
    assert world.send(c, resume)[0] == Resumed(received=len(bodies))


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


def test_who_is_refused_again_and_again_is_closed() -> None:
    world = World()
    number = world.socket()
    for left in reversed(range(MAX_REFUSALS)):
        assert number not in world.closed
        assert code(world.send(number, Claim(nameplate="7"))) in ("not-found", "rate-limited")
        assert (number in world.closed) == (left == 0)
    assert world.closed == {number: 1008}
    world.machine.assert_empty()


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


def assert_nothing_is_left(world: World) -> None:
    world.machine.assert_empty()
    assert world.machine.movable() == []
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


@settings(max_examples=40, deadline=None)
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
