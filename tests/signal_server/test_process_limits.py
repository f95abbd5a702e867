"""What one process holds at most, and says of it; with a store in memory that is everything."""

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.admission import Admission
from signal_server.decisions import SMALL_MAILBOX
from signal_server.directory import Directory
from signal_server.limits import Limits
from signal_server.messages import (
    Allocate,
    Allocated,
    Claim,
    ErrorMessage,
    Meet,
    Message,
    Release,
)
from tests.fakes.rendezvous import RendezvousMachine
from tests.signal_server.world import MAILBOX, SIDE_A, SIDE_B, SIDE_C, WELCOME, World, code


def machine_of(world: World) -> RendezvousMachine:
    assert isinstance(world.machine, RendezvousMachine)
    return world.machine


def directory_of(world: World) -> Directory:
    return machine_of(world).directory


def census_of(world: World) -> dict[str, int]:
    return machine_of(world).reception.census()


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    World.make = RendezvousMachine
    yield
    World.close_all()


def test_total_bytes_come_back_with_the_mailbox() -> None:
    world = World(max_total_bytes=10)
    a, _, b, _ = world.pair()
    world.send(a, Message(b"1234567890"))
    assert directory_of(world).stored_bytes == 10
    world.send(a, Release())
    world.send(b, Release())
    assert directory_of(world).stored_bytes == 0


def test_who_fills_the_memory_ends_no_pairing_but_his_own() -> None:
    world = World(max_total_bytes=2 * SMALL_MAILBOX)
    a, _, b, _ = world.pair()
    attacker = world.socket("198.51.100.1")
    world.send(attacker, Meet(mailbox=MAILBOX))
    assert world.send(attacker, Message(b"x" * 2 * SMALL_MAILBOX)) == []
    assert code(world.send(attacker, Message(b"x"))) == "full"
    assert world.send(a, Message(b"x" * SMALL_MAILBOX)) == []
    assert world.news(b) == [Message(b"x" * SMALL_MAILBOX)]


def test_the_number_of_mailboxes_is_bounded() -> None:
    world = World(max_mailboxes=2)
    a, _ = world.allocate(SIDE_A)
    world.allocate(SIDE_B)
    c = world.socket()
    assert code(world.send(c, Allocate(side=SIDE_C))) == "full"
    assert code(world.send(c, Meet(mailbox=MAILBOX))) == "full"
    world.send(a, Release())
    assert isinstance(world.send(c, Allocate(side=SIDE_C))[0], Allocated)


def meet(world: World, number: int, source: str, *, side: str | None = None) -> str:
    """Ask for a meeting from ``source``, and return what came of it; the socket goes at once."""
    socket = world.socket(source)
    world.news(socket)
    answer = world.send(socket, Meet(mailbox=f"{number:022}", side=side))[0]
    world.drop(socket)
    return answer.code if isinstance(answer, ErrorMessage) else "in"


def test_meetings_that_were_opened_and_dropped_count_for_their_source() -> None:
    world = World(mailboxes_per_source=2)
    source, other = "192.0.2.1", "192.0.2.2"
    assert [meet(world, number, source) for number in range(4)] == ["in"] * 2 + ["rate-limited"] * 2
    assert meet(world, 2, other) == "in"
    assert meet(world, 2, source) == "in"  # who comes second opens none
    world.pass_time(120)
    assert directory_of(world).live == 0
    assert meet(world, 3, source) == "in"


def test_ended_mailboxes_count_for_who_opened_them_until_they_are_forgotten() -> None:
    world = World(mailboxes_per_source=1)
    late = world.socket()
    world.news(late)
    for both in (True, False):
        a, _, b, _ = world.pair()
        world.send(a, Release())
        assert directory_of(world).live == 0
        assert code(world.send(late, Allocate(side=SIDE_C))) == "rate-limited"
        if both:
            world.send(b, Release())
    world.pass_time(110)  # and those between
    assert code(world.send(late, Allocate(side=SIDE_C))) == "rate-limited"
    world.pass_time(10)
    assert isinstance(world.send(world.socket(), Allocate())[0], Allocated)


def test_a_site_holds_eight_times_as_many_mailboxes_as_a_source() -> None:
    world = World(mailboxes_per_source=1)
    came = [meet(world, number, f"2001:db8:0:{number:x}::/64") for number in range(20)]
    assert came == ["in"] * 8 + ["rate-limited"] * 12
    assert meet(world, 99, "2001:db8:1::/64") == "in"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.sampled_from("abc")), max_size=40)
)
def test_whatever_ends_a_mailbox_its_source_is_free_again(
    steps: list[tuple[int, int, str]],
) -> None:
    admission = Admission(Limits(meetings_per_minute=10**6))
    World.make = partial(RendezvousMachine, admission=admission)
    world = World()
    sockets: list[int] = []
    for what, which, source in steps:
        if what < 3:
            sockets.append(world.socket(source))
            world.send(sockets[-1], Meet(mailbox=f"{which:022}", side=(SIDE_A, None, SIDE_B)[what]))
        elif what == 5:
            world.pass_time(70)
        elif sockets:
            number = sockets.pop(which % len(sockets))
            if what == 3 and number not in world.closed:
                world.send(number, Release())
            world.drop(number)
        held = sum(admission._sources.mailboxes[each] for each in "abc")
        assert held == sum(census_of(world).values())
    for number in sockets:
        world.drop(number)
    world.pass_time(300)
    machine_of(world).assert_empty()
    assert directory_of(world)._held == {}
    assert len(admission._sources.mailboxes) == 0


def test_ended_mailboxes_cannot_be_piled_up() -> None:
    world = World(max_mailboxes=2)
    for _ in range(4):
        a, allocated = world.allocate(side=None)
        world.send(world.socket(), Claim(nameplate=allocated.nameplate))
        world.send(a, Release())
        assert directory_of(world).live == 0
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


def test_the_census_and_who_can_go_elsewhere() -> None:
    world = World()
    a, _, b, _ = world.pair()
    c, _ = world.allocate(side=SIDE_C)
    d = world.socket()
    assert census_of(world) == {"waiting": 1, "paired": 1, "ended": 0}
    assert world.machine.movable() == [c, d]
    world.send(a, Release())
    assert census_of(world) == {"waiting": 1, "paired": 0, "ended": 1}
    assert world.machine.movable() == [b, c, d]
