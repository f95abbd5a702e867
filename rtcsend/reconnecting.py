"""The link to the other side from pairing to the end: made, lost, and made again.

::

    connect ─▶ run … ConnectionLost ─▶ again! (old rendezvous)
                        ▲                  │
                        │                  ▼
                        └──────── meet ◀─ back-off, until --timeout

A shell. One :class:`~rtcsend.meeting.again.Meeting` after the other is tried until one of them
ends in open channels. What is not a lost path is final: the other side's abort, a protocol that
is broken under the sealed channel, the user's own end. The other side hears of it by every way
there is (:class:`rtcsend.farewell.Line`).

Place in the flow: used by :mod:`rtcsend.sending` and :mod:`rtcsend.receiving`, by way of
:func:`rtcsend.session.carry`, which has the loop.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from rtcsend.backoff import pause_before
from rtcsend.errors import ConnectionLost, InternalError, NoRoute, RtcsendError
from rtcsend.events import Event, Reconnecting
from rtcsend.farewell import Line
from rtcsend.meeting.again import Meeting
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, RoutePolicy
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.peer.path_watch import Ends, watch_path
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello, common_protocol, common_route
from rtcsend.standstill import NO_CONNECTION, told_when_still
from rtcsend.tasks import cancel_all, first_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

    from rtcsend.connecting import Connection
    from rtcsend.rendezvous.messages import IceServer, ReportedRoute

# One attempt takes no longer than this, since ICE's checks become rarer and rarer: a new attempt
# finds a path that has healed sooner. But where the first one was slow, so will this one be.
SHORTEST_ATTEMPT: Final = 4.0  # seconds; checks at 0, 0.5, 1.5 and 3.5 s
LONGEST_ATTEMPT: Final = 13.0  # seconds; as long as the first one may take
ATTEMPT_FACTOR: Final = 3.0  # of the seconds that the first one took
MOVED: Final = 16 << 10  # bytes; a connection that brings less has brought nothing
REVIVAL_TIMEOUT: Final = 2.0  # seconds to say on a new socket why the path is lost
CLOSE_TIMEOUT: Final = 1.0  # seconds for what an old connection still has to say at the end
_KEPT: Final = "Run both commands again: what has arrived is kept, and only the rest travels."

logger = logging.getLogger("rtcsend.session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What stays the same from connection to connection."""

    role: Role
    keys: SessionKeys
    place: Place
    ice_servers: "Sequence[IceServer]"
    """Of the user; those of the rendezvous come with it."""
    timeout: float
    """Seconds to try to meet again, from each loss."""
    emit: Emit


class Rendezvous(Protocol):
    """A client of the rendezvous, as far as it is needed beside its messages."""

    @property
    def permit(self) -> str | None:
        """What the server wants to see at a meeting; None: nothing."""
        ...

    def redial(self) -> None:
        """Come back by another socket: this one may lead nowhere."""
        ...

    async def wait_attached(self) -> None:
        """Return when the socket works, or when it is all over."""
        ...

    def report(self, route: "ReportedRoute") -> None:
        """Tell the server how the two sides were connected, if it wants to know."""
        ...

    async def release(self) -> None:
        """End it, in bounded time."""
        ...


class Link:
    """A context from pairing to the end; an error that leaves it is told to the other side.

    Args:
        terms: For all connections.
        signalling: The sealed way through the rendezvous of the pairing.
        rendezvous: Carries that way.

    Attributes:
        line: What the other side says beside the channels, and what is said to it.
    """

    def __init__(
        self,
        terms: Terms,
        signalling: SealedSignalling,
        *,
        rendezvous: Rendezvous,
    ) -> None:
        self._terms = terms
        self.line = Line(signalling)
        self._signalling = signalling
        self._rendezvous = rendezvous
        self._ours: Hello | None = None
        self._patience = LONGEST_ATTEMPT
        self._webrtc: ModuleType | None = None
        self._connection: Connection | None = None
        self._open = AsyncExitStack()
        """The connection, and the meeting from which it came."""
        self._meeting: Meeting | None = None
        self._has_redialled = False
        self._word_is_out = asyncio.Event()
        self._closing: list[asyncio.Task[None]] = []
        self._standing_since: float | None = None
        self._position = 0  # where it has stood since then

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is not None:
                await self.line.tell(exc)
        finally:
            # Side by side: where nothing answers, each of them takes its time.
            await asyncio.gather(
                self._open.aclose(), self._wait_for_old(), self._rendezvous.release()
            )

    async def connect(
        self,
        webrtc: "ModuleType",
        *,
        ours: Hello,
        theirs: Hello | None,
        ice_servers: "Sequence[IceServer]",
    ) -> "Connection":
        """Return the first connection, after this side's greeting.

        Args:
            webrtc: :mod:`rtcsend.connecting`, which is loaded late.
            ours: What this side said, and will say again.
            theirs: What the other side said; None: that comes first of all.
            ice_servers: Of the rendezvous.

        Raises:
            IncompatiblePeer: There is no common protocol version.
            NoRoute: No way to the other side works, or is allowed.
            RtcsendError: The other side has ended.
        """
        self._webrtc, self._ours = webrtc, ours
        started = asyncio.get_running_loop().time()
        attempt = self._attempt(self._signalling, theirs, ice_servers, timeout=None)
        try:
            async with told_when_still(self._terms.emit, NO_CONNECTION):
                connection = await self._open.enter_async_context(attempt)
        except NoRoute:
            self._rendezvous.report("failed")
            raise
        route = connection.connected.route
        self._rendezvous.report("relayed" if route == "relay" else "direct")
        took = asyncio.get_running_loop().time() - started
        self._patience = min(max(SHORTEST_ATTEMPT, ATTEMPT_FACTOR * took), LONGEST_ATTEMPT)
        return self._use(connection, self._signalling)

    async def watch(self, *, is_over: Callable[[], bool]) -> None:
        """Watch beside a transfer, for the other side's word and for the path's end.

        Args:
            is_over: Whether the transfer has succeeded: then an abort changes nothing more.

        Raises:
            ConnectionLost: The path is lost, here or there.
            RtcsendError: The other side has ended.
        """
        assert self._connection is not None, "connected"
        await first_of(
            self._watch_path(self._connection.ends),
            self.line.watch(is_over=is_over),
        )

    async def _watch_path(self, ends: "Callable[[], Ends | None]") -> None:
        try:
            await watch_path(ends)
        except ConnectionLost:
            # The socket to the rendezvous may have died of the same. It would say so much later,
            # and until then swallow the word to the other side.
            (self._meeting or self._rendezvous).redial()
            self._has_redialled = True
            raise

    async def meet_again(
        self,
        lost: ConnectionLost,
        *,
        position: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> "Connection":
        """Return a new connection, as soon as there is one.

        Args:
            lost: Why a new one is needed.
            position: How far the file has come, in bytes. The time runs from the loss of the
                last connection that moved something.
            timeout: Seconds to try, if not those of the terms.

        Raises:
            ConnectionLost: There was none in time, or the other side has given up.
            RtcsendError: The other side has ended.
        """
        if lost.told_by_peer:
            raise lost
        seconds = self._terms.timeout if timeout is None else timeout
        logger.info("x path lost: %s", lost.message)
        now = asyncio.get_running_loop().time()
        if self._standing_since is None or position >= self._position + MOVED:
            self._standing_since, self._position = now, position
        await self.line.say_again()
        self._let_go()
        try:
            async with asyncio.timeout_at(self._standing_since + seconds):
                return await first_of(self._meet_until_connected(lost), self.line.watch_for_abort())
        except TimeoutError as exc:
            raise ConnectionLost(
                f"The connection was lost, and the two sides could not meet again in "
                f"{seconds:.0f} seconds.",
                hint=_KEPT,
            ) from exc

    async def _meet_until_connected(self, lost: ConnectionLost) -> "Connection":
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        reason = lost.message
        attempt = 0
        while True:
            attempt += 1
            self._terms.emit(Reconnecting(reason=reason, attempt=attempt))
            await self._word_is_out.wait()  # a meeting under the same name would end the old one
            lost_for = loop.time() - lost_at
            draw = random.random()  # noqa: S311 - no secret
            await asyncio.sleep(pause_before(attempt, lost_for=lost_for, draw=draw))
            try:
                return await self._meet()
            except RtcsendError as exc:
                if exc.told_by_peer or isinstance(exc, InternalError):
                    raise
                reason = exc.message
            except OSError as exc:
                reason = f"The network of this machine does not work: {exc.strerror}."
            logger.info("x attempt %d to meet again: %s", attempt, reason)

    async def _meet(self) -> "Connection":
        """Meet once, and connect.

        The meeting is closed by whoever comes next, not here: when this is cancelled, the last
        words go through it.
        """
        await self._open.aclose()
        self._open = AsyncExitStack()
        meeting = self._meeting = self._new_meeting()
        try:
            await self._open.enter_async_context(meeting)
        except RtcsendError:
            await self._terms.place.missed()
            raise
        assert self._ours is not None, "there was a first connection"
        signalling, theirs = await meeting.greet(self._ours)
        attempt = self._attempt(signalling, theirs, meeting.ice_servers, timeout=self._patience)
        return self._use(await self._open.enter_async_context(attempt), signalling)

    def _new_meeting(self) -> Meeting:
        place = self._terms.place
        place.permit = place.permit or self._rendezvous.permit
        return Meeting(
            self._terms.role,
            reconnection=self._terms.keys.reconnection,
            place=place,
        )

    async def _leave_word(self, error: RtcsendError) -> None:
        """Tell the other side in the meeting, to which it comes or may have come."""
        if self._meeting is not None and self._meeting.is_entered:
            await self._meeting.say_farewell(error)
        else:
            async with self._new_meeting() as meeting:
                await meeting.say_farewell(error)

    def _attempt(
        self,
        signalling: SealedSignalling,
        theirs: Hello | None,
        offered: "Sequence[IceServer]",
        *,
        timeout: float | None,
    ) -> "AbstractAsyncContextManager[Connection]":
        """Return the context of a connection on the terms that both sides agree to."""
        assert self._webrtc is not None, "loaded"
        assert self._ours is not None, "greeted"
        route, datapath = (self._ours.route, 0) if theirs is None else self._agree(theirs)
        attempt: AbstractAsyncContextManager[Connection] = self._webrtc.connected(
            self._terms.role,
            route=route,
            ice_servers=[*self._terms.ice_servers, *offered],
            signalling=signalling,
            peer_datapath=datapath,
            agree=self._agree if theirs is None else None,
            timeout=timeout,
        )
        return attempt

    def _agree(self, theirs: Hello) -> tuple[RoutePolicy, int]:
        """Return the route that both sides allow, and the other side's data path.

        Raises:
            IncompatiblePeer: There is no common protocol version.
            NoRoute: They allow different ones.
        """
        assert self._ours is not None, "greeted"
        common_protocol(self._ours, theirs)
        return common_route(self._ours.route, theirs.route), theirs.datapath

    def _use(self, connection: "Connection", signalling: SealedSignalling) -> "Connection":
        self._connection = connection
        self.line.use(signalling, connection.channels, hear=connection.hear)
        self._terms.emit(connection.connected)
        connection.on_route = self._terms.emit
        return connection

    def _let_go(self) -> None:
        """Close what is lost beside everything else: on a dead network that takes long."""
        self.line.channels = None
        if self._connection is not None:
            self._connection.on_route = _nothing
        self.line.leave_word = self._leave_word
        way = (self._meeting or self._rendezvous) if self._has_redialled else None
        self._meeting, self._has_redialled = None, False
        self._word_is_out.clear()
        old, self._open = self._open, AsyncExitStack()
        self._closing.append(asyncio.create_task(self._close(old, way)))

    async def _close(self, old: AsyncExitStack, way: "Rendezvous | Meeting | None") -> None:
        """Close what is lost, after the word to the other side, which may wait for a new socket."""
        if way is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(REVIVAL_TIMEOUT):
                    await way.wait_attached()
        self._word_is_out.set()
        await old.aclose()

    async def _wait_for_old(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_TIMEOUT)
        await cancel_all(self._closing)


def _nothing(_event: Event) -> None:
    """Stand in for whoever wants to know: a path that is lost has no better one."""
