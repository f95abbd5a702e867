"""From a request for a mailbox to a place in one: who asks is known there, or is admitted.

What it does: finds the room, draws nameplates, asks for admission before a room is looked at
for a stranger, and commits the entrance.
What it does not: know what sockets do when they are inside; that is
:mod:`signal_server.reception`.

Pure. Place in the flow: below :mod:`signal_server.reception`, above
:mod:`signal_server.decisions`. Source: docs/rendezvous-protocol.md, "Mailboxes", "Limits".
"""

from collections.abc import Callable
from functools import partial

from signal_server import decisions
from signal_server.admission import Admission
from signal_server.commands import Request
from signal_server.decisions import Arrival, NameTaken, Superseded
from signal_server.limits import Limits
from signal_server.messages import SIDE_BYTES, Allocate, Claim, Meet, Resume, encode_base64url
from signal_server.nameplates import nameplate_candidates
from signal_server.open_socket import OpenSocket
from signal_server.outputs import RequestRefused
from signal_server.storage import Mailbox, Name
from signal_server.store.base import Store

FULL_RETRY = 30.0  # seconds; who waits with a code may wait for hours, most others are done sooner


class _Once:
    """A check that is passed once, and costs nothing when it is asked for again."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._passed = False

    def __call__(self) -> None:
        if not self._passed:
            self._check()
            self._passed = True


class Entrance:
    """The way into the rooms of a store.

    Args:
        limits: What mailboxes and this process may take.
        store: Where the rooms are.
        admission: What sources may do.
        entropy: Returns that many unforeseeable bytes.
        nameplate_bounds: Smallest and largest nameplate to draw first.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        store: Store,
        admission: Admission,
        entropy: Callable[[int], bytes],
        nameplate_bounds: tuple[int, int] | None = None,
    ) -> None:
        self._limits = limits
        self._store = store
        self._admission = admission
        self._entropy = entropy
        self._nameplate_bounds = nameplate_bounds

    async def enter(self, visitor: OpenSocket, request: Request) -> None:
        """Give a visitor its place.

        Raises:
            RequestRefused: It may not come in.
            Superseded: Its side has a newer socket.
            StoreUnavailable: The store does not answer.
        """
        if isinstance(request, Allocate) and request.nameplate is None:
            await self._draw(visitor, request)
        else:
            admit = partial(self._admit, visitor.source, request)
            await self._enter(visitor, _name_of(request), request, admit=admit)

    def hold(self, source: str, name: Name, mailbox: Mailbox, *, again: bool) -> None:
        """Count a mailbox for the source that has opened it or came back, until it is over."""
        directory = self._store.directory
        if not directory.is_held(mailbox):
            directory.hold(name, mailbox, self._admission.hold_mailbox(source), again=again)

    async def _draw(self, visitor: OpenSocket, request: Allocate) -> None:
        """Give it a free nameplate, or the one that it was given before."""
        again, admit = False, _Once(partial(self._admit, visitor.source, request))
        for candidate in nameplate_candidates(
            self._entropy,
            live=self._store.live(),
            sparsity=self._limits.nameplate_sparsity,
            bounds=self._nameplate_bounds,
        ):
            name = Name("nameplate", candidate)
            if request.side is not None:
                name = await self._store.reserve(request.side, name, again=again, admit=admit)
            try:
                await self._enter(visitor, name, request, admit=admit, drawn=True)
            except NameTaken:
                again = True
            else:
                return
        raise RequestRefused("full", retry_after=FULL_RETRY)

    async def _enter(
        self,
        visitor: OpenSocket,
        name: Name,
        request: Request,
        *,
        admit: Callable[[], None],
        drawn: bool = False,
    ) -> None:
        arrival = Arrival(
            connection=visitor.connection,
            request=request,
            token=encode_base64url(self._entropy(SIDE_BYTES)),
            limits=self._limits,
            is_alive=self._store.is_alive,
            admit=admit,
            guess=lambda: self._admission.guess(visitor.source, now=self._store.now()),
            failed=lambda: self._admission.claim_failed(visitor.source, now=self._store.now()),
            opens=lambda: self._admission.check_mailbox(visitor.source),
            is_here=lambda: not visitor.is_gone,
            drawn=drawn,
        )
        visitor.room = name
        try:
            while not arrival.entered:
                # Rooms may be dear to look at: who is unknown there is admitted before.
                await self._store.enter(name, request, arrival.decide, admit=arrival.admit_newcomer)
        except (RequestRefused, NameTaken, Superseded):
            visitor.room = None
            raise

    def _admit(self, source: str, request: Request) -> None:
        """Refuse what a source, or this process, has no room for."""
        now = self._store.now()
        match request:
            case Allocate(nameplate=nameplate, auth=auth):
                self._admission.allocate(source, auth=auth, now=now)
                if nameplate is not None:
                    self._admission.claim(source, now=now)
            case Claim():
                self._admission.claim(source, now=now)
            case Meet(permit=permit, auth=auth):
                self._admission.meet(source, permit=permit, auth=auth, now=now)
            case Resume():
                raise AssertionError("a newcomer has no token")
        directory = self._store.directory
        if not isinstance(request, Claim) and not decisions.has_place(
            live=directory.live, sides=directory.sides, limits=self._limits
        ):
            raise RequestRefused("full", retry_after=FULL_RETRY)


def _name_of(request: Request) -> Name:
    if isinstance(request, Meet):
        return Name("mailbox", request.mailbox)
    if isinstance(request, Resume) and request.mailbox is not None:
        return Name("mailbox", request.mailbox)
    assert request.nameplate is not None, "checked when it was parsed, or drawn before"
    return Name("nameplate", request.nameplate)
