"""On the way in: what may happen while a store is asked about a request."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from signal_server.commands import Request
from signal_server.limits import Limits
from signal_server.messages import Allocate, Claim, ErrorMessage, Release, serialize
from signal_server.outputs import CLOSE_REPLACED, Close, Send
from signal_server.storage import Name
from signal_server.store.base import Decide
from signal_server.store.memory import MemoryStore
from tests.fakes.rendezvous import RendezvousMachine
from tests.signal_server.world import WELCOME


def slow_machine(monkeypatch: pytest.MonkeyPatch) -> RendezvousMachine:
    """Return a server whose store takes three minutes to let somebody in."""
    machine = RendezvousMachine(welcome=WELCOME, limits=Limits())

    async def pass_time() -> None:
        machine._now += 180.0
        await machine.reception.handle_timer()

    slow_down(monkeypatch, pass_time)
    return machine


def slow_down(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Have something happen before a store looks at a request."""
    enter = MemoryStore.enter

    async def slow(
        store: MemoryStore,
        name: Name,
        request: Request,
        decide: Decide,
        *,
        admit: Callable[[], None],
    ) -> None:
        await meanwhile()
        await enter(store, name, request, decide, admit=admit)

    monkeypatch.setattr(MemoryStore, "enter", slow)


def test_who_is_on_the_way_in_is_not_closed_for_asking_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = slow_machine(monkeypatch)
    machine.connect(1, "192.0.2.1", now=0.0)
    [answer] = machine.receive(1, serialize(Allocate()), now=100.0)
    assert isinstance(answer, Send)
    machine.disconnect(1, now=300.0)
    machine.handle_timer(now=500.0)  # nobody is left behind in there
    machine.assert_empty()


def test_who_is_gone_meanwhile_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = RendezvousMachine(welcome=WELCOME, limits=Limits())
    for number in (1, 2):
        machine.connect(number, "192.0.2.1", now=0.0)
    machine.receive(1, serialize(Allocate(nameplate="7", side="A" * 22)), now=1.0)

    async def go() -> None:
        machine.reception.gone(2)

    slow_down(monkeypatch, go)
    again = serialize(Allocate(nameplate="7", side="A" * 22))
    [end] = machine.receive(2, again, now=2.0)
    assert end == Close(2, CLOSE_REPLACED, "replaced")
    assert len(machine.directory) == 1
    machine.disconnect(2, now=3.0)
    machine.receive(1, serialize(Release()), now=4.0)  # it is still in there
    machine.assert_empty()


def test_guesses_that_came_together_are_not_all_free(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = RendezvousMachine(welcome=WELCOME, limits=Limits(failed_claims=2))
    for number in range(1, 5):
        machine.connect(number, "192.0.2.1", now=0.0)
    machine.connect(9, "198.51.100.1", now=0.0)
    machine.receive(9, serialize(Allocate(nameplate="7")), now=0.0)
    commit = MemoryStore.commit
    guesses = iter([(2, "12"), (3, "13"), (4, "14")])

    async def slow(store: MemoryStore, name: Name, decide: Decide) -> None:
        for number, nameplate in guesses:  # each comes while those before wait
            await machine.reception.receive(number, serialize(Claim(nameplate=nameplate)))
        await commit(store, name, decide)

    monkeypatch.setattr(MemoryStore, "commit", slow)
    told = machine.receive(1, serialize(Claim(nameplate="7")), now=1.0)
    codes = [
        out.message.code
        for out in told
        if isinstance(out, Send) and isinstance(out.message, ErrorMessage)
    ]
    assert codes == ["not-found"] * 3 + ["rate-limited"]
    machine.disconnect(9, now=2.0)
    machine.handle_timer(now=200.0)


def test_who_is_refused_has_no_longer_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = slow_machine(monkeypatch)
    machine.connect(1, "192.0.2.1", now=0.0)
    [answer] = machine.receive(1, serialize(Claim(nameplate="7")), now=100.0)
    assert isinstance(answer, Send)
    assert machine.get_timer() == 120.0
    [end] = machine.handle_timer(now=300.0)
    assert isinstance(end, Close)
