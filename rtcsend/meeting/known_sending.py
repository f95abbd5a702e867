"""``send --to NAME``: the sender comes to a known machine, or waits for it.

With a server, to the door of the day there. Without one it runs a rendezvous in its own process
and announces a note that nobody but that machine understands. Either way until the machine
comes, or ``--timeout`` is over; a visit that fails is followed by another.

A shell. Place in the flow: in the place of a code and its pairing, in :mod:`rtcsend.sending`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from rtcsend.errors import PeerNeverCame, PeerProtocolError, RtcsendError
from rtcsend.events import Waiting
from rtcsend.known.door_lock import locked
from rtcsend.known.store import Store, now
from rtcsend.meeting.by_keys import Acquaintance, Pauses, may_pass, visit
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, SendOptions
from rtcsend.pairing.doors import day_of, next_change
from rtcsend.pairing.keys import Role
from rtcsend.rendezvous.embedded import embedded_rendezvous

MAX_BROKEN: Final = 5  # visits in a row in which the other side broke the protocol


@asynccontextmanager
async def come_to(options: SendOptions, *, store: Store, emit: Emit) -> AsyncIterator[Met]:
    """Within it, the two are in a room of their own.

    Args:
        options: Name the machine, and the server.
        store: Of the keys.
        emit: Told whom it waits for.

    Raises:
        UsageError: There is no known machine of that name.
        PeerNeverCame: It did not come in time.
        WrongCode: It has another key, or does not know this machine any more.
        RendezvousError: The server does not answer, or refuses.
    """
    side = Acquaintance(
        role=Role.SENDER,
        machine=store.machine(options.to or ""),
        own=store.identity(),
        store=store,
        token=options.token,
    )
    async with AsyncExitStack() as stack:
        if options.server is None:
            place, door = await _open_rendezvous(stack, side)
        else:
            place, door = Place(options.server), None
        name = side.machine.name
        waiting = Waiting(machines=(name,), server=options.server)
        try:
            async with asyncio.timeout(options.timeout):
                met = await _come(stack, side, place, door, on_waiting=lambda: emit(waiting))
        except TimeoutError as exc:
            raise PeerNeverCame(
                f"{name} did not come.",
                hint="Run “rtcsend receive --listen” on it, or “receive --from” with the name "
                "that it has for this machine.",
            ) from exc
        yield met


async def _open_rendezvous(stack: AsyncExitStack, side: Acquaintance) -> tuple[Place, str]:
    embedded = await stack.enter_async_context(embedded_rendezvous())
    note = side.direction.make_note(os.urandom)
    await embedded.announce(note)
    return Place(embedded.local_url), side.direction.door_of_note(note)


async def _come(
    stack: AsyncExitStack,
    side: Acquaintance,
    place: Place,
    door: str | None,
    *,
    on_waiting: Callable[[], None],
) -> Met:
    """Visit until it has gone well; ``door`` is None for that of the day."""
    pauses, broken, was_there = Pauses(), 0, False

    def note_waiting() -> None:
        nonlocal was_there
        if not was_there:
            was_there = True
            on_waiting()

    while True:
        attempt = AsyncExitStack()
        try:
            met = await _visit(attempt, side, place, door, note_waiting)
        except RtcsendError as exc:
            broken = broken + 1 if isinstance(exc, PeerProtocolError) else 0
            if broken >= MAX_BROKEN or not may_pass(exc) or not was_there:
                raise
            await pauses.take()
        else:
            stack.push_async_exit(attempt)
            return met


async def _visit(
    attempt: AsyncExitStack,
    side: Acquaintance,
    place: Place,
    door: str | None,
    on_waiting: Callable[[], None],
) -> Met:
    """Visit once; ``on_waiting`` is called when it has come so far as the door.

    Of this machine's commands one is at a door of a server at a time; the others wait.
    """
    if door is not None:
        nearby = visit(side, place, door, on_waiting=on_waiting)
        return await attempt.enter_async_context(nearby)
    async with locked(side.store.lock_path(f"send-{side.direction.door_of_day(0)}")):
        moment = now()
        door = side.direction.door_of_day(day_of(moment))
        patience = next_change(moment)
        at_server = visit(side, place, door, patience=patience, on_waiting=on_waiting)
        return await attempt.enter_async_context(at_server)
