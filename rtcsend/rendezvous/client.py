"""The rendezvous client: one mailbox for as long as it is needed, over as many sockets.

What it does: takes the caller's requests and messages, waits for the answers, and hands
over what comes from the other side, in order and exactly once.
What it does not: know what to say on a socket (:mod:`rtcsend.rendezvous.machine`), keep
one open (:mod:`rtcsend.rendezvous.keeper`), hold what has come
(:mod:`rtcsend.rendezvous.arrivals`), or understand a message.

Shell. One task does all I/O; it ends in ``__aexit__`` at the latest.
Source: docs/rendezvous-protocol.md.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from rtcsend.errors import (
    InternalError,
    Refused,
    RendezvousError,
    RendezvousUnreachable,
    UsageError,
)
from rtcsend.rendezvous.arrivals import Arrivals
from rtcsend.rendezvous.keeper import SocketKeeper, error_of
from rtcsend.rendezvous.machine import ClientMachine, State
from rtcsend.rendezvous.machine_events import (
    Attached,
    Failed,
    MessageReceived,
    PeerPresence,
)
from rtcsend.rendezvous.messages import (
    SIDE_BYTES,
    Allocate,
    Claim,
    IceServer,
    Meet,
    ReportedRoute,
    Welcome,
    is_mailbox,
    is_nameplate,
)
from rtcsend.rendezvous.server_url import normalise_server_url
from rtcsend.rendezvous.websocket import Dial, dial_websocket
from rtcsend.rendezvous.wire import encode_base64url

__all__ = ["MessageReceived", "PeerPresence", "RendezvousClient", "normalise_server_url"]

RELEASE_TIMEOUT = 1.0  # seconds for the last frames; nobody should wait for a goodbye

_log = logging.getLogger("rtcsend.rendezvous")


class RendezvousClient:
    """A place at a rendezvous server, kept while it is entered.

    Args:
        url: As :func:`~rtcsend.rendezvous.server_url.normalise_server_url` takes it.
        first_timeout: Seconds for the first connection, and for each answer.
        retry_for: Seconds to try to come back after a socket dropped.
        dial: How sockets are opened; another one in tests.

    Raises:
        UsageError: ``url`` is no address (on construction).
    """

    def __init__(
        self,
        url: str,
        *,
        first_timeout: float = 9.0,
        retry_for: float = 60.0,
        dial: Dial = dial_websocket,
    ) -> None:
        self.url = normalise_server_url(url)
        self._first_timeout = first_timeout
        self._machine = ClientMachine(side=encode_base64url(secrets.token_bytes(SIDE_BYTES)))
        self._arrivals = Arrivals()
        self._keeper = SocketKeeper(
            self.url,
            self._machine,
            deliver=self._arrivals.deliver,
            unread=lambda: len(self._arrivals.inbox),
            first_timeout=first_timeout,
            retry_for=retry_for,
            dial=dial,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def welcome(self) -> Welcome:
        """What the server said first: its STUN servers, and a line for people."""
        if self._arrivals.welcomed is None:
            raise InternalError("The rendezvous client was used before it was entered.")
        return self._arrivals.welcomed.welcome

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """The server's ICE servers; TURN servers are among them once the other side has come."""
        return (*self.welcome.ice_servers, *self._machine.relays)

    @property
    def permit(self) -> str | None:
        """What the server wants to see at a later :meth:`meet`; None: nothing."""
        return self._machine.permit

    @property
    def state(self) -> Literal["attached", "reconnecting", "closed"]:
        """``attached``: the socket works, and every request on it has its answer."""
        if self._task is None or self._arrivals.is_over:
            return "closed"
        return "attached" if self._keeper.settled else "reconnecting"

    @property
    def peer_left(self) -> bool:
        """Whether the other side has ended the rendezvous."""
        return self._machine.peer_left

    async def __aenter__(self) -> Self:
        """Connect, and read the welcome.

        Raises:
            RendezvousUnreachable: No server answered within ``first_timeout``.
            Refused: It has no room, speaks another version, or breaks the protocol.
        """
        self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            await self._arrivals.until(lambda: self._arrivals.welcomed is not None)
            self._arrivals.check_alive()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the mailbox if there still is one, within a second, and end the task."""
        try:
            await self.release()
        finally:
            await self._stop()

    async def allocate(self, nameplate: str | None = None, *, auth: str | None = None) -> str:
        """Take a nameplate, a free one or this one, and return it.

        Args:
            nameplate: None: any.
            auth: The token that some servers ask for.

        Raises:
            UsageError: ``nameplate`` is none.
            Refused: It is taken, or the server has no room.
            RendezvousUnreachable: The server did not answer within ``first_timeout``.
        """
        if nameplate is not None:
            _check_nameplate(nameplate)
        granted = await self._request(Allocate(nameplate=nameplate, auth=auth))
        assert granted.nameplate is not None, "the machine checks the answer"
        return granted.nameplate

    async def claim(self, nameplate: str) -> None:
        """Join the nameplate that the other side allocated.

        Raises:
            UsageError: ``nameplate`` is none.
            NoSuchCode: Nobody waits there.
            Refused: Two sides are there already, or too many claims failed.
            RendezvousUnreachable: The server did not answer within ``first_timeout``.
        """
        _check_nameplate(nameplate)
        await self._request(Claim(nameplate=nameplate))

    async def meet(
        self, mailbox: str, *, permit: str | None = None, auth: str | None = None
    ) -> None:
        """Come to a mailbox whose name both sides derived; the first one opens it.

        Args:
            mailbox: 16 to 64 base64url characters that nobody else can guess.
            permit: The last one that this server gave.
            auth: The token that some servers ask for, in the place of a permit.

        Raises:
            InternalError: ``mailbox`` is no such name.
            Refused: Two sides are there already, or the server has no room.
            RendezvousUnreachable: The server did not answer within ``first_timeout``.
        """
        if not is_mailbox(mailbox):
            raise InternalError("A mailbox to meet in has a name of the wrong form.")
        await self._request(Meet(mailbox=mailbox, permit=permit, auth=auth))

    async def send(self, body: bytes) -> None:
        """Send a message to the other side; it outlives dropped sockets.

        Returns as soon as it is queued: only an answer of the other side proves more.

        Raises:
            InternalError: Over 48,000 bytes, no mailbox, or released.
            Refused: More messages than a mailbox holds.
            RendezvousError: What has ended this rendezvous.
        """
        if self._machine.state is State.ENDED:
            # The server has ended it; the keeper says why as soon as its socket is closed.
            await self._arrivals.until(lambda: False)
        self._arrivals.check_alive()
        if self._machine.state is not State.IDLE and not self._machine.has_room:
            raise Refused("Too many messages went through one rendezvous mailbox.")
        self._machine.send(body)
        self._keeper.wake()

    def report(self, route: ReportedRoute) -> None:
        """Tell the server how the two sides were connected, if it wants to know; no more."""
        is_welcome = self._arrivals.welcomed is not None and not self._arrivals.is_over
        if is_welcome and self.welcome.reports:
            self._machine.report(route)
            self._keeper.wake()

    async def receive(self) -> MessageReceived | PeerPresence:
        """Return the next message or change of presence; safe to cancel.

        What had arrived before an error is still handed over first.

        Raises:
            RendezvousUnreachable: The server did not come back within ``retry_for``, or the
                other side had left and there is nothing more.
            NoSuchCode: The server no longer has this mailbox.
            Refused: The server ended it, or broke the protocol.
            InternalError: This side has released it.
        """
        await self._arrivals.until(lambda: bool(self._arrivals.inbox))
        if not self._arrivals.inbox:
            self._arrivals.check_alive()
        received = self._arrivals.inbox.popleft()
        self._keeper.wake()  # it may wait for room
        return received

    def redial(self) -> None:
        """Come back by another socket, since this one may lead nowhere: the network has changed.

        What went into it and was not acknowledged is sent again.
        """
        self._keeper.redial()

    async def wait_attached(self) -> None:
        """Return when the socket works, or when it is all over; safe to cancel."""
        await self._arrivals.until(lambda: self.state != "reconnecting")

    async def release(self) -> None:
        """End the mailbox for both sides and close; what was sent before goes out first.

        Takes a second at most, and half a one more when the socket is stuck. Doing it
        twice is harmless.
        """
        if self._arrivals.is_released:
            return
        self._arrivals.release()
        self._keeper.stop()
        if self._task is not None and self._machine.release():
            # The server closes the socket when it has read everything; the task ends then.
            self._keeper.wake()
            await asyncio.wait([self._task], timeout=RELEASE_TIMEOUT)
        await self._stop()

    async def hang_up(self) -> None:
        """Close, and leave the mailbox as it is: who comes there later finds what was sent.

        Takes a second at most, and half a one more when the socket is stuck.
        """
        self._keeper.stop()
        if self.state == "attached":
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_TIMEOUT):
                    await self._keeper.wait_drained()
        await self._stop()

    async def _request(self, request: Allocate | Claim | Meet) -> Attached:
        self._arrivals.check_alive()
        self._machine.request(request)
        self._arrivals.answer = None
        self._keeper.wake()
        await self._until_answered()
        answer = self._take_answer()
        if isinstance(answer, Failed):
            raise error_of(answer.error)
        return answer

    async def _until_answered(self) -> None:
        """Wait for the answer; longer if the server is there and has asked to come again.

        Raises:
            RendezvousUnreachable: There was none in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._first_timeout
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._arrivals.until(lambda: self._arrivals.answer is not None)
            except TimeoutError as exc:
                asked = self._keeper.asked_until
                if asked is None or asked <= loop.time():
                    raise RendezvousUnreachable("The rendezvous server does not answer.") from exc
                deadline = asked
            else:
                return

    def _take_answer(self) -> Attached | Failed:
        if self._arrivals.answer is None:
            self._arrivals.check_alive()
            raise AssertionError("an answer, or an end")
        return self._arrivals.answer

    async def _run(self) -> None:
        """Own the keeper; the only place that says why it has ended."""
        try:
            await self._keeper.run()
        except RendezvousError as exc:
            _log.debug("x the rendezvous is over: %s", exc.slug)
            self._arrivals.fail(exc)
        except Exception as exc:
            # The owner of the task: a bug must reach the callers, who wait for it.
            _log.exception("! the rendezvous client failed")
            message = f"The rendezvous client failed: {type(exc).__name__}."
            self._arrivals.fail(InternalError(message))
        finally:
            self._arrivals.changed()

    async def _stop(self) -> None:
        """End the task; nothing of it is left when this returns."""
        self._arrivals.release()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _check_nameplate(nameplate: str) -> None:
    if not is_nameplate(nameplate):
        raise UsageError(
            "A nameplate has 1 to 9 digits and does not start with 0.",
            hint="The number at the front of a code is its nameplate.",
        )
