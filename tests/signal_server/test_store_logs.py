"""What is between a room and its log: entries, replicas, and who is alive."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.commands import Away, Command, Enter, Expire, Gone, Leave, Say
from signal_server.decisions import Arrival, due, is_deserted, is_final
from signal_server.directory import Directory
from signal_server.limits import Limits
from signal_server.mailbox import Facts, Room, Told
from signal_server.messages import Allocate, Claim, Meet, Message, Resume
from signal_server.outputs import RequestRefused
from signal_server.storage import CLOCK_ERROR, Connection, Name
from signal_server.store.entries import BadEntry, Entry, encode_entry, parse_entry_untrusted
from signal_server.store.marks import MARK_BYTES, mark_of, marks_after
from signal_server.store.processes import (
    LEASE_SECONDS,
    Processes,
    Seen,
    parse_heartbeat,
)
from signal_server.store.redis_clock import KEPT, ClockEstimate
from signal_server.store.redis_scripts import PROCESSES, log_key, marks_key, reserve_key
from signal_server.store.replica import (
    NO_ENTRY,
    EntryId,
    Gap,
    Replica,
    parse_id_untrusted,
    parse_published_untrusted,
)

A, B = Connection(1.5, "aa", 1), Connection(2.5, "bb", 1)
TOKEN, OTHER = "t" * 22, "u" * 22
NAME = Name("nameplate", "7")
ALLOCATED = Entry("aa.1", Enter(A, Allocate(side="A" * 22), TOKEN))
CLAIMED = Entry("bb.1", Enter(B, Claim(nameplate="7"), OTHER))


@pytest.mark.parametrize(
    "command",
    [
        ALLOCATED.command,
        CLAIMED.command,
        Enter(A, Meet(mailbox="m" * 22, side="A" * 22, received=3), TOKEN),
        Enter(A, Resume(nameplate="7", token=TOKEN, received=2), OTHER),
        Say(A, Message(bytes(range(256)))),
        Say(A, Message(b"")),
        Away(A),
        Leave(B),
        Expire((TOKEN, OTHER), "expired"),
        Expire((TOKEN,), None),
        Gone("aa"),
    ],
)
def test_entries_come_out_as_they_went_in(command: Command) -> None:
    entry = Entry("aa.17", command)
    head, body = encode_entry(entry)
    assert "\n" not in head
    assert parse_entry_untrusted(head.encode(), body) == entry
    published = b"0-0 5-1 " + head.encode() + b"\n" + body
    assert parse_published_untrusted(published) == (NO_ENTRY, EntryId(5, 1), entry)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"aa.1",
        b"aa.1 say",
        b"aa.1 say 1.5 aa",
        b"aa.1 say 1.5 aa 1 more",
        b"aa.1 say 1.5 aa one",
        b"aa.1 say inf aa 1",
        b"aa.1 say nan aa 1",
        b"aa.1 say 1.5  1",
        b"aa.1 say 1.5 " + b"a" * 65 + b" 1",
        b" say 1.5 aa 1",
        b"aa.1 shout 1.5 aa 1",
        b"aa.1 enter 1.5 aa 1 " + TOKEN.encode(),
        b"aa.1 enter 1.5 aa 1 " + TOKEN.encode() + b' {"type":"release"}',
        b"aa.1 enter 1.5 aa 1 " + TOKEN.encode() + b" {}",
        b"aa.1 expire",
        b"aa.1 expire never t",
        b"aa.1 expire over t u v",
        b"aa.1 gone aa bb",
        b"aa.1 gone " + b"a" * 5_000,
        b"\xff.1 gone aa",
    ],
)
def test_heads_that_nobody_has_written(head: bytes) -> None:
    with pytest.raises(BadEntry):
        parse_entry_untrusted(head, b"")


@pytest.mark.parametrize(
    "request_", [Allocate(auth="secret-token"), Meet(mailbox="m" * 22, permit="secret-permit")]
)
def test_what_was_shown_for_admission_is_not_kept(request_: Allocate | Meet) -> None:
    head, _ = encode_entry(Entry("aa.1", Enter(A, request_, TOKEN)))
    assert "secret" not in head


@pytest.mark.parametrize("text", [b"", b"1", b"1-", b"-1", b"a-1", b"1-1-1", b"+1-1", b"9" * 50])
def test_numbers_that_are_none(text: bytes) -> None:
    with pytest.raises(BadEntry):
        parse_id_untrusted(text)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.own: list[bool] = []
        self.lost_rooms = 0

    def carried_out(
        self, room: Room, command: Command, told: list[Told], facts: Facts, *, own: bool
    ) -> None:
        self.told += told
        self.own.append(own)

    def let_go(self, room: Room) -> None:
        """Nothing to do."""

    def lost(self, room: Room) -> None:
        self.lost_rooms += 1


def replica() -> tuple[Replica, Heard]:
    heard = Heard()
    return Replica(NAME, Directory(), heard), heard


def test_each_entry_once_and_in_order() -> None:
    follower, heard = replica()
    log = [
        ALLOCATED,
        CLAIMED,
        *(Entry(f"aa.{number}", Say(A, Message(b"%d" % number))) for number in range(2, 6)),
    ]
    numbers = [EntryId(1000 + index, index % 2) for index in range(len(log))]
    before = [NO_ENTRY, *numbers]
    for index, entry in enumerate(log):
        with pytest.raises(Gap):
            follower.follow(EntryId(9999, 0), entry, previous=EntryId(9998, 0), own=False)
        for _ in range(2):  # the second time it is known
            follower.follow(numbers[index], entry, previous=before[index], own=False)
    assert follower.entries == len(heard.own) == len(log)
    sent = [each.body for mailbox in follower.room.mailboxes for each in mailbox.sides[0].sent]
    assert sent == [b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize(
    "command",
    [
        Say(A, Message(b"")),
        Away(A),
        Leave(A),
        Expire((TOKEN,), None),
        CLAIMED.command,
        Enter(A, Resume(nameplate="7", token=TOKEN), OTHER),
    ],
)
def test_what_cannot_have_been_decided_on_is_not_carried_out(command: Command) -> None:
    follower, heard = replica()
    with pytest.raises(BadEntry):
        follower.follow(EntryId(1, 0), Entry("x.1", command), own=False)
    assert heard.own == []


def test_a_lost_room_is_told_once_and_begins_anew() -> None:
    follower, heard = replica()
    follower.follow(EntryId(1, 0), ALLOCATED, own=True)
    follower.lose()
    assert heard.lost_rooms == 1
    assert (follower.last, follower.room.mailboxes) == (NO_ENTRY, [])
    follower.follow(EntryId(5, 0), ALLOCATED, own=False)
    assert follower.last == EntryId(5, 0)


@given(st.lists(st.integers(0, 3), max_size=60))
def test_replicas_that_hear_the_same_are_the_same(choices: list[int]) -> None:
    """Whatever is doubled on the way."""
    left, left_heard = replica()
    right, right_heard = replica()
    log = [ALLOCATED, CLAIMED]
    for index, choice in enumerate(choices):
        said = [Say(who, Message(body)) for who, body in ((A, b"a"), (B, b"b"), (A, b"c"))]
        command: Command = (said[0], said[1], Gone("nobody"), said[2])[choice]
        log.append(Entry(f"aa.{index + 10}", command))
    for index, entry in enumerate(log):
        left.follow(EntryId(index + 1, 0), entry, own=False)
        for again in range(max(index - 2, 0), index + 1):
            right.follow(EntryId(again + 1, 0), log[again], own=False)
    assert left_heard.told == right_heard.told


# Who is known

MEETING = "m" * 22
SIDES = [letter * 22 for letter in "ABC"]
REQUESTS: dict[str, list[Allocate | Claim | Meet]] = {
    "nameplate": [
        *(Allocate(side=side) for side in SIDES),
        *(Allocate(nameplate="7", side=side) for side in SIDES),
        *(Claim(nameplate="7", side=side) for side in SIDES),
        Claim(nameplate="7"),
    ],
    "mailbox": [*(Meet(mailbox=MEETING, side=side) for side in SIDES), Meet(mailbox=MEETING)],
}


def nothing() -> None:
    """Admit everybody."""


@pytest.mark.parametrize(("kind", "text"), [("nameplate", "7"), ("mailbox", MEETING)])
@given(steps=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 9)), max_size=25))
def test_marks_are_those_of_who_can_come_back(
    kind: Literal["nameplate", "mailbox"], text: str, steps: list[tuple[int, int]]
) -> None:
    room, marks, tokens, now = Room(Name(kind, text)), "", [OTHER], 0.0
    for index, (what, which) in enumerate(steps):
        now += 50.0
        command = chosen(room, what, which, index, now)
        if command is None:
            continue
        if isinstance(command, Enter):
            tokens.append(command.token)
        new = marks_after(room, command)
        assert (new == "") == is_final(room, command)  # the log goes, and the marks with it
        marks = marks if new is None else new
        deserted = is_deserted(room, command)
        room.apply(command, now=now)
        if not isinstance(command, Enter | Say):
            assert deserted == (not room.connections())
        else:
            assert not deserted
        asked = [
            *REQUESTS[kind],
            *(Resume(nameplate="7", token=token) for token in tokens),
        ]
        for request in asked:
            mark = mark_of(request)
            known = mark is not None and mark in marks  # as the script does it
            assert known == (room.place_of(request) is not None)
            assert mark is None or len(mark) == 2 * MARK_BYTES


def chosen(room: Room, what: int, which: int, index: int, now: float) -> Command | None:
    """Return something that may happen in a room as it is."""
    inside = room.connections()
    some = inside[which % len(inside)] if inside else None
    overdue = due(room, Limits(), now=now)
    if overdue is not None:
        return overdue
    if what < 3 and some is not None:
        return (Say(some, Message(b"x")), Leave(some), Away(some))[what]
    if what == 3:
        return Gone("aa")
    requests = REQUESTS[room.name.kind]
    connection = Connection(float(index), "aa", index)
    arrival = Arrival(
        connection=connection,
        request=requests[(what + which) % len(requests)],
        token=f"{index:022}",
        limits=Limits(),
        is_alive=lambda _process: True,
        admit=nothing,
        guess=nothing,
        failed=nothing,
    )
    try:
        return arrival.decide(room, now)
    except RequestRefused:
        return None


def test_marks_are_bounded_and_say_nothing_of_tokens() -> None:
    room = Room(NAME)
    marks = marks_after(room, ALLOCATED.command)
    assert marks is not None
    assert room.mailboxes == []
    assert [len(mark) for mark in marks.split()] == [16, 16]
    assert TOKEN not in marks


# Which socket is the newer one


def test_of_two_sockets_of_a_process_the_later_one_is_newer_whatever_its_clock_said() -> None:
    first, second = Connection(2.0, "aa", 1), Connection(1.0, "aa", 2)
    assert second.is_newer_than(first)
    assert not first.is_newer_than(second)
    assert not first.is_newer_than(first)


def test_of_two_processes_none_is_newer_within_what_their_clocks_may_differ_by() -> None:
    one, other = Connection(2.0, "aa", 1), Connection(2.0 + CLOCK_ERROR, "bb", 1)
    assert not one.is_newer_than(other)
    assert not other.is_newer_than(one)
    assert other._replace(opened=other.opened + 0.001).is_newer_than(one)


@given(
    answers=st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=KEPT
    )  # seconds on the way there and back
)
def test_a_clock_is_wrong_by_half_of_the_shortest_way_there_and_back(
    answers: list[tuple[float, float]],
) -> None:
    clock, now = ClockEstimate(), 50.0
    for there, back in answers:
        clock.answered(now + there + 1_000.0, asked=now, now=now + there + back)
        now += 2.0
    shortest = min(there + back for there, back in answers)
    assert abs(clock.offset - 1_000.0) <= shortest / 2 + 1e-9


def test_a_clock_that_was_set_is_followed() -> None:
    clock = ClockEstimate()
    assert clock.offset == 0.0
    clock.answered(100.0, asked=0.0, now=0.0)
    for number in range(KEPT):
        clock.answered(500.0 + number, asked=number, now=number + 0.2)
    assert clock.offset == pytest.approx(499.9)


# Who is alive


def test_the_silent_are_dead_after_a_while() -> None:
    processes = Processes("own")
    processes.heard({"own": Seen(0, 1), "other": Seen(LEASE_SECONDS, 7)}, now=100.0)
    assert processes.is_alive("other", now=100.0)  # who has just come cannot know
    assert processes.is_alive("own", now=100.0)
    processes.heard(
        {"own": Seen(0, 1), "other": Seen(2 * LEASE_SECONDS, 7)}, now=100.0 + LEASE_SECONDS
    )
    assert not processes.is_alive("other", now=100.0 + LEASE_SECONDS)
    assert processes.live == 1


def test_after_an_outage_nobody_is_dead_at_once() -> None:
    processes = Processes("own")
    processes.heard({"other": Seen(0, 0)}, now=0.0)
    processes.lost_touch()
    processes.heard({"other": Seen(60, 0)}, now=60.0)
    assert processes.is_alive("other", now=60.0)
    processes.heard({"other": Seen(0.5, 0)}, now=62.0)
    assert processes.is_alive("other", now=60.0 + LEASE_SECONDS)


def test_who_was_never_heard_of_is_given_time() -> None:
    processes = Processes("own")
    processes.heard({}, now=0.0)
    now = 100.0
    assert processes.is_alive("new", now=now)
    assert processes.is_alive("new", now=now + LEASE_SECONDS - 1)
    assert not processes.is_alive("new", now=now + LEASE_SECONDS)
    processes.heard({"new": Seen(0, 0)}, now=now + 20)
    assert processes.is_alive("new", now=now + 20)


def test_a_heartbeats_answer() -> None:
    answer: list[bytes | int] = [b"17", b"500000", b"aa", 0, 3, b"bb", 2500, 4]
    assert parse_heartbeat(answer) == (17.5, {"aa": Seen(0.0, 3), "bb": Seen(2.5, 4)})


def slot(key: str) -> str:
    """Return what decides on the node of a cluster; Redis cluster specification, hash tags."""
    return key.partition("{")[2].partition("}")[0]


def test_each_script_stays_on_one_node() -> None:
    assert len({slot(key) for key in PROCESSES}) == 1
    assert slot(log_key(NAME)) != slot(log_key(Name("mailbox", "7")))
    assert slot(log_key(NAME)) == slot(marks_key(log_key(NAME))) != ""
    assert slot(reserve_key("A" * 22))
