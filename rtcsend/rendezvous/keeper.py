"""Keeping a socket to the rendezvous server: dial, read, write, and dial again.

What it does: the one task of a client that touches sockets. It feeds the machine, sends
what the machine says, and hands its events on; a dropped socket is followed by another.
What it does not: wait for answers on anybody's behalf; that is
:mod:`rtcsend.rendezvous.client`.

Shell. Source: docs/rendezvous-protocol.md, "Coming back".
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NoReturn

from rtcsend import __version__
from rtcsend.errors import NoSuchCode, Refused, RendezvousError, RendezvousUnreachable
from rtcsend.rendezvous.machine import ClientMachine
from rtcsend.rendezvous.machine_events import MachineEvent, TurnedAway, Welcomed
from rtcsend.rendezvous.messages import PROTOCOL, BadMessage, ErrorMessage
from rtcsend.rendezvous.versions import is_older
from rtcsend.rendezvous.websocket import (
    CLOSED_BROKEN,
    Dial,
    Socket,
    SocketLost,
    SocketRefused,
)
from rtcsend.trace import Step, note

FIRST_BACKOFF = 0.1  # seconds; a server that restarts, or a phone between two networks
LONGEST_BACKOFF = 5.0  # seconds; a crowd of clients must not drown a server that comes back
JITTER = 0.5  # of a back-off is drawn, so that the crowd spreads out
MAX_UNREAD = 2_000  # events that wait for their reader; then the socket is not read any more

_log = logging.getLogger("rtcsend.rendezvous")

_EXPIRED_HINT = "It may have restarted: run both commands again."
_UNAUTHORIZED_HINT = "Set RTCSEND_TOKEN to the token that its operator gives out."
_BROKEN_HINT = "Check that --server names an rtcsend server of the same version."
_SENTENCES = {
    "not-found": "Nobody waits at this nameplate.",
    "expired": "The rendezvous server no longer has this mailbox.",
    "crowded": "This nameplate is already in use.",
    "rate-limited": "The rendezvous server has had too many requests from this network.",
    "full": "The rendezvous server has no room for more.",
    "too-large": "The rendezvous server found a message too large.",
    "bad-message": "The rendezvous server did not understand this program.",
    "unauthorized": "The rendezvous server gives codes only to those who have its token.",
    "refused": "The rendezvous server refuses.",
}


class SocketKeeper:
    """Keeps one socket open for a machine while :meth:`run` runs.

    Args:
        url: WebSocket URL.
        machine: Fed here; requests and messages are put in by the owner, who then calls
            :meth:`wake`.
        deliver: Takes each event; must not block.
        unread: Returns how many delivered events nobody has read yet.
        first_timeout: Seconds until a first welcome, and for each socket to be attached.
        retry_for: Seconds to come back after a socket dropped.
        dial: How sockets are opened.
    """

    def __init__(
        self,
        url: str,
        machine: ClientMachine,
        *,
        deliver: Callable[[MachineEvent], None],
        unread: Callable[[], int],
        first_timeout: float,
        retry_for: float,
        dial: Dial,
    ) -> None:
        self._url = url
        self._machine = machine
        self._deliver = deliver
        self._unread = unread
        self._first_timeout = first_timeout
        self._retry_for = retry_for
        self._dial = dial
        # What the owner says, and what this socket has come to.
        self._woken = asyncio.Event()
        self._drained = asyncio.Event()
        self._stopping = False
        self._welcomed_ever = False
        self._settled_at: float | None = None
        self.asked_until: float | None = None
        """Until when it is worth waiting for a server that is there and has asked to come again."""
        self._patience: asyncio.Timeout | None = None
        self._given_up = False

    @property
    def settled(self) -> bool:
        """True when the socket works and every request on it has its answer."""
        return self._settled_at is not None and self._machine.settled and not self._given_up

    def wake(self) -> None:
        """Tell that the machine has something to send, or that events were read."""
        self._drained.clear()
        self._woken.set()

    async def wait_drained(self) -> None:
        """Return when everything is with the system that the machine has to send."""
        await self._drained.wait()

    def redial(self) -> None:
        """Give this socket up at once, and dial again: it may lead nowhere."""
        if self._patience is not None and not self._patience.expired():
            self._given_up = True
            self._patience.reschedule(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Open no further socket; :meth:`run` returns when this one is closed."""
        self._stopping = True

    async def run(self) -> None:
        """Keep a socket until :meth:`stop`.

        Raises:
            RendezvousUnreachable: No socket within the time there is for it.
            NoSuchCode: The server no longer has the mailbox.
            Refused: The server ended it, or broke the protocol.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._first_timeout
        backoff = FIRST_BACKOFF
        while True:
            reason = await self._one_socket(deadline)
            if self._stopping:
                return
            now = loop.time()
            if self.asked_until is not None:
                deadline = max(deadline, self.asked_until)
            if self._settled_at is not None:
                deadline = now + self._retry_for
                if now - self._settled_at >= LONGEST_BACKOFF:
                    backoff = FIRST_BACKOFF
            pause = backoff * (1 - JITTER * random.random())  # noqa: S311 - no secret
            if now + pause >= deadline:
                raise _unreachable(reason)
            _log.debug("%% socket lost (%s), the next one in %.2f s", reason, pause)
            await asyncio.sleep(pause)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    async def _one_socket(self, deadline: float) -> str:
        """Dial, serve the socket until it is gone, and return why it is.

        Raises:
            RendezvousError: It is over, or there is no use in another socket.
        """
        loop = asyncio.get_running_loop()
        self._settled_at = None
        self._given_up = False
        limit = min(deadline, loop.time() + self._first_timeout)
        try:
            async with asyncio.timeout_at(limit) as self._patience:
                await self._serve(await self._dial(self._url), self._patience)
        except TimeoutError:
            return "it does not answer"
        except SocketRefused as exc:
            if not self._welcomed_ever:
                raise _unreachable(str(exc), hint=exc.hint) from exc
            return str(exc)
        except SocketLost as exc:
            self._check_close(exc)
            if exc.later and self.asked_until is None:
                self.asked_until = loop.time() + self._retry_for
            return str(exc)
        finally:
            self._patience = None

    def _check_close(self, lost: SocketLost) -> None:
        """Raise what makes another socket pointless."""
        if self._stopping:
            return
        if self._machine.peer_left:
            raise RendezvousUnreachable(
                "The other side has ended the rendezvous.", hint="Run both commands again."
            ) from lost
        if lost.code in CLOSED_BROKEN:
            raise _broken(f"close code {lost.code}") from lost

    async def _serve(self, socket: Socket, patience: asyncio.Timeout) -> NoReturn:
        """Read and write until one fails.

        Raises:
            SocketLost: The socket is gone, or the server was full.
            RendezvousError: It is over.
        """
        self._machine.connected()
        writer = asyncio.get_running_loop().create_task(self._write(socket))
        try:
            await self._read(socket, patience)
        finally:
            self._machine.disconnected()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            await socket.close()

    async def _write(self, socket: Socket) -> None:
        """Send whatever the machine has; a lost socket ends it, and the reader as well."""
        while True:
            self._woken.clear()
            for frame in self._machine.frames_to_send():
                await socket.send(frame)
            self._drained.set()
            await self._woken.wait()

    async def _read(self, socket: Socket, patience: asyncio.Timeout) -> NoReturn:
        """Feed the machine; once it is settled, with all the patience in the world.

        Raises:
            SocketLost: The socket is gone.
            RendezvousError: It is over.
        """
        loop = asyncio.get_running_loop()
        while True:
            frame = await socket.receive()
            try:
                self._machine.receive_frame_untrusted(frame)
            except BadMessage as exc:
                raise _broken(str(exc)) from exc
            # No await between counting a message and handing it on: a cancelled read
            # would lose it for good.
            while (event := self._machine.next_event()) is not None:
                self._on_event(event)
            self._woken.set()
            if self._machine.settled and self._settled_at is None:
                self._settled_at = loop.time()
                self.asked_until = None
                patience.reschedule(None)
            while self._unread() >= MAX_UNREAD:
                self._woken.clear()
                await self._woken.wait()

    def _on_event(self, event: MachineEvent) -> None:
        match event:
            case Welcomed(welcome=welcome):
                if welcome.protocol != PROTOCOL:
                    raise Refused(
                        f"The rendezvous server speaks protocol version {welcome.protocol}, "
                        f"this program version {PROTOCOL}.",
                        hint="Install matching versions of rtcsend and its server.",
                    )
                if welcome.min_client and is_older(__version__, than=welcome.min_client):
                    raise Refused(
                        f"The rendezvous server wants rtcsend {welcome.min_client} or later, "
                        f"this is {__version__}.",
                        hint="Install a newer rtcsend.",
                    )
                self._welcomed_ever = True
                note(Step.WELCOME, ice_servers=len(welcome.ice_servers))
            case TurnedAway(error=error):
                if not self._welcomed_ever:
                    raise error_of(error)
                raise SocketLost(error.code)
            case _:
                pass
        self._deliver(event)


def error_of(error: ErrorMessage) -> RendezvousError:
    """Return what an error of the server means to the user."""
    sentence = _SENTENCES[error.code]
    if error.code == "not-found":
        return NoSuchCode(sentence)
    if error.code == "expired":
        return NoSuchCode(sentence, hint=_EXPIRED_HINT)
    if error.code in ("bad-message", "too-large"):
        return Refused(sentence, hint=_BROKEN_HINT)
    if error.code == "unauthorized":
        return Refused(sentence, hint=_UNAUTHORIZED_HINT)
    if error.retry_after is not None:
        refused = Refused(
            sentence, hint=f"Try again in {error.retry_after} s, or use another --server."
        )
        refused.retry_after = error.retry_after
        return refused
    return Refused(sentence)


def _broken(detail: str) -> Refused:
    return Refused(
        f"The rendezvous server does not follow the protocol ({detail}).", hint=_BROKEN_HINT
    )


def _unreachable(reason: str, *, hint: str | None = None) -> RendezvousUnreachable:
    return RendezvousUnreachable(f"The rendezvous server cannot be reached: {reason}.", hint=hint)
