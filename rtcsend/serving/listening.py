"""``receive --listen``: known machines are served as they come, until somebody stops it.

::

    waiting ─▶ desktop comes ─▶ visit 1: peer, transfer, end
            ─▶ ci comes      ─▶ visit 2: …                      AT_ONCE of them beside each other

Each visit is somebody to itself: what goes wrong in one is told, and ends that one alone.

A shell. Does not: know how files are received; :mod:`rtcsend.listening` hands that in. Place in the
flow: around :class:`~rtcsend.meeting.known_receiving.Doors`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NoReturn

from rtcsend.errors import InternalError, RtcsendError
from rtcsend.events import Error, Event, Refusal, Waiting
from rtcsend.known.store import Store
from rtcsend.meeting.known_receiving import Doors, Guest
from rtcsend.meeting.met import Met
from rtcsend.options import Emit, ReceiveOptions
from rtcsend.tasks import cancel_all
from rtcsend.trace import about

AT_ONCE: Final = 4  # visits; each has a connection, and writes to the same disk

Serve = Callable[[Met, Emit], Awaitable[object]]


async def serve_known(options: ReceiveOptions, *, serve: Serve, emit: Emit) -> NoReturn:
    """Serve the machines that are named, or all that are known; cancel it to end.

    Args:
        options: Name the machines and the server.
        serve: Receives from who has come, and tells of the end of it when that is a good one.
        emit: Told of all visits.

    Raises:
        UsageError: One that is named is not known.
        RendezvousError: The server does not answer, or refuses.
    """
    store = Store()
    names = options.from_machines or tuple(each.name for each in store.machines())
    doors = Doors(
        store,
        names=options.from_machines or None,
        server=options.server,
        token=options.token,
        at_once=AT_ONCE,
        on_waiting=lambda: emit(Waiting(machines=names, server=options.server)),
        on_refusal=lambda name, error: emit(Refusal(machine=name, reason=error.message)),
    )
    visits: set[asyncio.Task[None]] = set()
    number = 0
    try:
        async with doors:
            while True:
                guest = await doors.next_guest()
                number += 1
                with about(("visit", number)):
                    task = asyncio.create_task(_host(guest, serve, _of_visit(number, emit)))
                visits.add(task)
                task.add_done_callback(visits.discard)
    finally:
        await cancel_all(list(visits))


async def _host(guest: Guest, serve: Serve, emit: Emit) -> None:
    """Serve one visit to its end, and tell of a bad one."""
    try:
        await serve(guest.met, emit)
    except RtcsendError as exc:
        emit(_end(exc))
    except Exception as exc:  # a bug: the others go on
        emit(_end(InternalError(f"Something in rtcsend itself is wrong ({type(exc).__name__}).")))
    finally:
        await guest.aclose()


def _end(error: RtcsendError) -> Error:
    return Error(code=error.slug, exit=error.exit_code, message=error.message, hint=error.hint)


def _of_visit(number: int, emit: Emit) -> Emit:
    def emit_of_visit(event: Event) -> None:
        emit(replace(event, visit=number))

    return emit_of_visit
