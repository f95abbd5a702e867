"""The way of two known machines to each other: a door, where they are sure of each other, a room.

::

    meet(door) ─▶ ephemeral keys ◀▶ signatures      door: the next one can come
                                  └─▶ meet(room)    room: for these two, as after a pairing

A shell around :class:`~rtcsend.pairing.known.KnownMachine`. A door's name is the same for a day,
so that either side can be first; nobody stays there. What fails here ends this visit only; that
another follows is the matter of the callers (:mod:`rtcsend.meeting.known_sending`,
:mod:`rtcsend.meeting.known_receiving`).

Source: docs/known-machines.md.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rtcsend.errors import (
    NoSuchCode,
    PeerAborted,
    PeerNeverCame,
    PeerProtocolError,
    Refused,
    RendezvousUnreachable,
    RtcsendError,
    WrongCode,
)
from rtcsend.known.record import Machine
from rtcsend.known.store import Store
from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.pairing.doors import Direction, room_name
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.pairing.known import KnownMachine, State
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.websocket import dial_websocket
from rtcsend.trace import Step, note

EXCHANGE_TIMEOUT: Final = 10.0  # seconds for two programs that have met; three round trips
ROOM_TIMEOUT: Final = 15.0  # seconds for the other one to go on to the room
FIRST_PAUSE: Final = 0.2  # seconds before another visit; then twice as long each time
LONGEST_PAUSE: Final = 10.0  # seconds

T = TypeVar("T")
Ready = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """One side of one pair: all that it takes to be sure of the other."""

    role: Role
    machine: Machine
    own: Ed25519PrivateKey
    store: Store
    token: str | None = field(default=None, repr=False)
    """What a server may ask of those who want to meet, beside or in the place of a permit."""

    @property
    def direction(self) -> Direction:
        """From the one that sends to the one that receives."""
        public = self.own.public_key().public_bytes_raw()
        if self.role is Role.SENDER:
            return self.machine.direction_from(public)
        return self.machine.direction_to(public)


async def _at_once() -> None:
    """Let the other side in without waiting for anything."""


def _nothing() -> None:
    """Take no note of being at the door."""


@asynccontextmanager
async def visit(
    side: Acquaintance,
    place: Place,
    door: str,
    *,
    patience: float | None = None,
    on_waiting: Callable[[], None] = _nothing,
    on_knock: Ready = _at_once,
) -> AsyncIterator[Met]:
    """Come to a door, wait for the other machine, and go with it to a room of the two.

    Args:
        side: Who this is, and who is to come.
        place: Of the rendezvous.
        door: Name of the mailbox.
        patience: Seconds to wait at the door; None: as long as it takes.
        on_waiting: Called when this side is at the door.
        on_knock: Awaited when somebody has come, before anything is said.

    Raises:
        WrongCode: The other one's keys are others, or one of the two does not know the other
            any more.
        IncompatiblePeer: It does this in another way.
        RtcsendError: This visit has failed: see :func:`may_pass`.
    """
    permit = side.store.permit(place.url)
    async with _client_at(place) as client:
        await client.meet(door, permit=permit, auth=side.token)
        on_waiting()
        keys = await _exchange(side, client, patience=patience, on_knock=on_knock)
        place.permit = client.permit or permit
    async with _client_at(place) as client:
        await client.meet(room_name(keys), permit=place.permit, auth=side.token)
        mailbox = BodyMailbox(client)
        await _within(ROOM_TIMEOUT, mailbox.wait_for_peer())
        side.store.keep_permit(place.url, place.permit)
        side.store.note_use(side.machine)
        yield Met(keys=keys, client=client, mailbox=mailbox, place=place, machine=side.machine.name)


async def _exchange(
    side: Acquaintance, client: RendezvousClient, *, patience: float | None, on_knock: Ready
) -> SessionKeys:
    """Return the session keys, when both sides have proven who they are."""
    mailbox = BodyMailbox(client)
    exchange = KnownMachine(
        side.role,
        own=side.own,
        peer=side.machine.key,
        secret=side.machine.secret,
        refuses=side.machine.removed is not None,
        entropy=os.urandom,
    )
    first = exchange.start()
    if side.role is Role.SENDER:  # it says who comes; the receiver answers when it is ready
        await mailbox.send(first)
    body = await _within(patience, _next_body(mailbox))
    await on_knock()
    if not side.store.is_current(side.machine):  # removed while it waited
        raise PeerAborted("This machine is known no more.")
    if side.role is Role.RECEIVER:
        await mailbox.send(first)
    note(Step.PAIRING, message="received")
    try:
        async with asyncio.timeout(EXCHANGE_TIMEOUT):
            while True:
                if answer := exchange.receive_body_untrusted(body):
                    await mailbox.send(answer)
                    note(Step.PAIRING, message="sent")
                if exchange.state not in (State.AWAITING_EPHEMERAL, State.AWAITING_SIGNATURE):
                    break
                body = await _next_body(mailbox)
    except TimeoutError as exc:
        raise PeerNeverCame("The other machine came, but says nothing.") from exc
    except WrongCode as exc:
        raise _named(exc, side.machine.name) from exc
    if exchange.state is State.REFUSED:
        raise _refused(side.machine.name)
    note(Step.PAIRING, message="confirmed")
    return exchange.keys


async def _next_body(mailbox: BodyMailbox) -> bytes:
    body = await mailbox.receive_body()
    if body is None:
        raise PeerAborted("The other machine went away.")
    return body


async def _within(seconds: float | None, waiting: Awaitable[T]) -> T:
    """Return what ``waiting`` returns; None: however long that takes.

    Raises:
        PeerNeverCame: After ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError as exc:
        raise PeerNeverCame("The other machine did not come.") from exc


class Pauses:
    """How long to wait before the next visit: longer and longer, and drawn."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    async def take(self) -> None:
        """Wait."""
        draw = 0.5 + random.random() / 2  # noqa: S311 - no secret
        pause, self._next = self._next * draw, min(2 * self._next, LONGEST_PAUSE)
        await asyncio.sleep(pause)


def may_pass(error: RtcsendError) -> bool:
    """Return whether another visit may go well."""
    if isinstance(error, Refused):
        return error.retry_after is not None
    passing = (PeerAborted, PeerNeverCame, PeerProtocolError, NoSuchCode, RendezvousUnreachable)
    return isinstance(error, passing)


def _client_at(place: Place) -> RendezvousClient:
    return RendezvousClient(place.url, dial=partial(dial_websocket, proxied=not place.is_near))


def _named(error: WrongCode, name: str) -> WrongCode:
    """Return the error with the name of the machine, as people know it."""
    if error.told_by_peer:
        named = WrongCode(
            f"{name} does not know this machine any more.",
            hint=f"Pair again: “rtcsend pair {name} --replace” here, “rtcsend pair NAME” there.",
        )
        named.told_by_peer = True
        return named
    return WrongCode(
        f"The key of {name} is not the one that was paired.",
        hint=f"If {name} was set up anew, run “rtcsend pair {name} --replace” here and “rtcsend "
        "pair NAME --replace” there; else somebody is in its place.",
    )


def _refused(name: str) -> WrongCode:
    return WrongCode(
        f"{name} was removed here, and was told so.", hint="Pair with it again: rtcsend pair NAME."
    )
