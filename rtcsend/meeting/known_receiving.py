"""``receive --from NAME`` and ``--listen``: the receiver waits for known machines.

With a server it waits at a door for each of them, since a socket is at one mailbox. Without one it
looks for notes, on this machine and in the LAN, and visits who announces one that it
understands. Machines may be added and removed meanwhile. Those that were removed have a door as
well, at which they are told so.

A shell. Place in the flow: in the place of a code and its pairing, in :mod:`rtcsend.receiving` (one
machine, once) and :mod:`rtcsend.serving.listening` (any, again and again).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from rtcsend.errors import PeerNeverCame, RendezvousError, RtcsendError, UsageError, WrongCode
from rtcsend.events import Waiting
from rtcsend.known.door_lock import locked
from rtcsend.known.record import Machine
from rtcsend.known.store import Store, now
from rtcsend.meeting.by_keys import EXCHANGE_TIMEOUT, Acquaintance, Pauses, may_pass, visit
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, ReceiveOptions
from rtcsend.pairing.doors import days_of, next_change
from rtcsend.pairing.keys import Role
from rtcsend.rendezvous.discovery import find_note, first_reachable
from rtcsend.rendezvous.lan import lan_allowed
from rtcsend.rendezvous.lan_notes import LanNotes
from rtcsend.rendezvous.local import local_notes
from rtcsend.tasks import cancel_all

LOOK: Final = 0.5  # seconds between two looks at this machine's notes, and at the known machines
LOCK_PATIENCE: Final = 3.0  # seconds that another command may take to go through a door
MAX_NOTES: Final = 256  # remembered; a LAN has a few, and a flood none that are understood

logger = logging.getLogger("rtcsend.known")


async def first_to_come(
    stack: AsyncExitStack, options: ReceiveOptions, *, store: Store, emit: Emit
) -> Met:
    """Return the first of the machines that are named to come; ``stack`` ends its mailbox.

    Raises:
        UsageError: There is no machine of such a name, or another command waits for it.
        PeerNeverCame: None of them came in time.
        WrongCode: One has come with another key.
        RendezvousError: The server does not answer, or refuses.
    """
    names = options.from_machines
    seconds = options.timeout if options.patience is None else options.patience
    waiting = Waiting(machines=names, server=options.server)
    async with Doors(
        store,
        names=names,
        server=options.server,
        token=options.token,
        on_waiting=lambda: emit(waiting),
    ) as doors:
        try:
            async with asyncio.timeout(seconds):
                guest = await doors.next_guest()
        except TimeoutError as exc:
            raise PeerNeverCame(
                f"{' and '.join(names)} did not come.",
                hint="Run “rtcsend send --to” on it, with the name that it has for this machine.",
            ) from exc
    stack.push_async_callback(guest.aclose)
    return guest.met


class Guest:
    """A known machine that has come; a context that ends with the mailbox of the two."""

    def __init__(self, met: Met, stack: AsyncExitStack) -> None:
        self.met = met
        self._stack = stack

    async def aclose(self) -> None:
        """End the mailbox, and make room for the next one."""
        await self._stack.aclose()


class Doors:
    """A context in which known machines can come.

    Args:
        store: Of the keys.
        names: Whom to wait for; None: all, whoever they are from time to time.
        server: The rendezvous server; None: they are looked for nearby.
        token: What the server may ask for.
        at_once: How many guests there may be; the others wait outside.
        on_waiting: Called once, when somebody could come.
        on_refusal: Told the name and the error of who was not let in; then others are waited for.
            None: that is the end.

    Raises:
        UsageError: There is no machine of such a name, or another command waits for it.
        RendezvousError: The server does not answer, or refuses (from :meth:`next_guest`).
    """

    def __init__(
        self,
        store: Store,
        *,
        names: Sequence[str] | None,
        server: str | None,
        token: str | None = None,
        at_once: int = 1,
        on_waiting: Callable[[], None],
        on_refusal: Callable[[str, RtcsendError], None] | None = None,
    ) -> None:
        self._store = store
        self._names = names
        self._server = server
        self._token = token
        self._own = store.identity()
        self._room = asyncio.Semaphore(at_once)
        self._on_waiting = on_waiting
        self._on_refusal = on_refusal
        self._came: asyncio.Queue[Guest | BaseException] = asyncio.Queue()
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._served: deque[str] = deque(maxlen=MAX_NOTES)
        """Notes of those who have been let in: they announce them until they end."""
        self._is_waiting = False
        """Whether the server was there once: then it is waited for when it is away."""

    async def __aenter__(self) -> Self:
        for name in self._names or ():
            self._store.machine(name)  # whoever is not known is an error at once
        self._start("doors", self._keep_doors if self._server else self._look_around)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await cancel_all(list(self._tasks.values()))
        while not self._came.empty():
            guest = self._came.get_nowait()
            if isinstance(guest, Guest):
                await guest.aclose()

    async def next_guest(self) -> Guest:
        """Return who comes next; the caller closes it.

        Raises:
            WrongCode: One has come with another key, or was removed; not with ``on_refusal``.
            RtcsendError: Nobody can come any more.
        """
        guest = await self._came.get()
        if isinstance(guest, BaseException):
            raise guest
        return guest

    # With a server: a door for each machine.

    async def _keep_doors(self) -> None:
        while True:
            wanted = {
                (machine.secret, machine.removed, day): (machine, day)
                for machine in self._people()
                for day in days_of(now())
            }
            for key in [key for key in self._tasks if key != "doors" and key not in wanted]:
                await cancel_all([self._tasks.pop(key)])
            for key, (machine, day) in wanted.items():
                if key not in self._tasks:
                    self._start(key, partial(self._keep_door, machine, day))
            if not wanted:
                self._note_waiting()
            await self._until_something_changes()

    async def _until_something_changes(self) -> None:
        stamp, until = self._store.stamp(), now() + next_change(now())
        while self._store.stamp() == stamp and now() < until:  # noqa: ASYNC110 - by other programs
            await asyncio.sleep(LOOK)

    async def _keep_door(self, machine: Machine, day: int) -> None:
        side = self._acquaintance(machine)
        door = side.direction.door_of_day(day)
        pauses = Pauses()
        async with AsyncExitStack() as stack:
            lock = self._store.lock_path(f"receive-{door}")
            try:
                async with asyncio.timeout(None if self._on_refusal else LOCK_PATIENCE):
                    await stack.enter_async_context(locked(lock))
            except TimeoutError:
                raise UsageError(
                    f"Another command on this machine waits for {machine.name} already.",
                    hint="Stop it, or let it receive.",
                ) from None
            while True:
                assert self._server is not None, "there are doors"
                if await self._visit(side, Place(self._server), door):
                    pauses = Pauses()
                await pauses.take()

    # Without one: whoever announces a note that is understood.

    async def _look_around(self) -> None:
        async with AsyncExitStack() as stack:
            self._note_waiting()
            if lan_allowed():
                await stack.enter_async_context(LanNotes(self._on_note))
            while True:
                for note, url in await asyncio.to_thread(local_notes):
                    self._on_note(note, (url,))
                people = self._people()
                for note, urls in list(self._notes.items()):
                    self._answer(note, urls, people)
                await asyncio.sleep(LOOK)

    def _on_note(self, note: str, urls: tuple[str, ...]) -> None:
        has_room = note in self._notes or len(self._notes) < MAX_NOTES
        if has_room and note not in self._served:
            self._notes[note] = urls

    def _answer(self, note: str, urls: tuple[str, ...], people: Sequence[Machine]) -> None:
        """Visit who has announced a note, if it is somebody that is known."""
        for machine in people:
            side = self._acquaintance(machine)
            if note not in self._tasks and side.direction.is_note_untrusted(note):
                self._start(note, partial(self._visit_nearby, side, note, urls))
                return
        if note not in self._tasks:
            del self._notes[note]  # a stranger's; heard again, it is looked at again

    async def _visit_nearby(self, side: Acquaintance, note: str, urls: tuple[str, ...]) -> None:
        door = side.direction.door_of_note(note)
        try:
            async with locked(self._store.lock_path(f"receive-{side.direction.door_of_day(0)}")):
                look_again = partial(find_note, note, lan=lan_allowed())
                place = Place(await first_reachable(urls), look_again=look_again)
                if await self._visit(side, place, door, patience=EXCHANGE_TIMEOUT):
                    self._served.append(note)
            await Pauses().take()
        finally:
            self._notes.pop(note, None)
            self._tasks.pop(note, None)

    # Both.

    async def _visit(
        self, side: Acquaintance, place: Place, door: str, *, patience: float | None = None
    ) -> bool:
        """Be at a door once; return whether somebody was let in.

        Raises:
            RtcsendError: What ends the waiting for everybody.
        """
        stack = AsyncExitStack()
        try:
            met = await stack.enter_async_context(
                visit(
                    side,
                    place,
                    door,
                    patience=patience,
                    on_waiting=self._note_waiting,
                    on_knock=partial(self._make_room, stack),
                )
            )
        except RtcsendError as exc:
            await stack.aclose()
            self._on_failure(side.machine, exc)
            return False
        except BaseException:
            await stack.aclose()
            raise
        self._came.put_nowait(Guest(met, stack))
        return True

    def _note_waiting(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._on_waiting()

    async def _make_room(self, stack: AsyncExitStack) -> None:
        await self._room.acquire()
        stack.callback(self._room.release)

    def _on_failure(self, machine: Machine, error: RtcsendError) -> None:
        """Go on, if that is any use.

        Raises:
            RtcsendError: It is not.
        """
        logger.info("! nobody let in: %s", error.message)
        if isinstance(error, RendezvousError) and not isinstance(error, PeerNeverCame):
            if self._server is not None and not (self._is_waiting and may_pass(error)):
                raise error
        elif not may_pass(error):
            if self._on_refusal is None:
                raise error
            if isinstance(error, WrongCode):
                self._on_refusal(machine.name, error)

    def _people(self) -> tuple[Machine, ...]:
        """Return whom to wait for, now; those too who are to be told that they were removed."""
        people = (*self._store.machines(), *self._store.removed())
        return tuple(each for each in people if self._names is None or each.name in self._names)

    def _acquaintance(self, machine: Machine) -> Acquaintance:
        return Acquaintance(
            role=Role.RECEIVER,
            machine=machine,
            own=self._own,
            store=self._store,
            token=self._token,
        )

    def _start(self, key: object, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks[key] = asyncio.create_task(self._guarded(work))

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something; what ends it ends the waiting."""
        try:
            await work()
        except Exception as exc:  # the owner of the task: the caller is waiting for guests
            self._came.put_nowait(exc)
