"""Offer, answer and candidates, through sealed boxes, until the DataChannels are open.

A shell around three pure files: :mod:`~rtcsend.peer.signals` (what is said),
:mod:`~rtcsend.peer.description` and :mod:`~rtcsend.peer.candidate`. The rendezvous sees
boxes only, so it can neither read an address nor change a fingerprint.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from rtcsend.errors import (
    ConnectionLost,
    NoRoute,
    PeerNeverCame,
    PeerProtocolError,
    RtcsendError,
)
from rtcsend.events import Connected
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.connection import PeerConnection
from rtcsend.peer.description import Description
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import (
    MAX_CANDIDATES,
    AbortSignal,
    AgainSignal,
    CandidateSignal,
    DescriptionSignal,
    EndOfCandidates,
    Hello,
    Signal,
    UnknownSignal,
)
from rtcsend.tasks import cancel_all, first_of

GREETING_TIMEOUT: Final = 30.0  # seconds; two programs that have met need no person any more
CONNECT_TIMEOUT: Final = 13.0  # seconds from pairing to open channels, so that all ends within 15

logger = logging.getLogger("rtcsend.peer")


class Negotiation:
    """Brings one :class:`PeerConnection` up with the help of a :class:`SealedSignalling`.

    Args:
        role: The sender offers, the receiver answers.
        connection: A new one; the caller closes it.
        signalling: After the greetings.
        agree: Takes the other side's greeting, if it has not come yet: then that is the first
            signal, and this side's description and addresses are sent before it. May raise.
    """

    def __init__(
        self,
        role: Role,
        connection: PeerConnection,
        signalling: SealedSignalling,
        *,
        agree: Callable[[Hello], None] | None = None,
    ) -> None:
        self._role = role
        self._connection = connection
        self._signalling = signalling
        self._remote: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        self._seen: set[tuple[str, int]] = set()
        self._agree = agree
        self._agreed = asyncio.Event()
        if agree is None:
            self._agreed.set()
        self._described = asyncio.Event()
        self._trickling: list[asyncio.Task[None]] = []

    @property
    def max_message_size(self) -> int:
        """Bytes of one message that the other side takes; known once connected."""
        return self._remote.result().max_message_size

    async def connect(self, *, timeout: float | None = None) -> Connected:  # noqa: ASYNC109
        """Return when both DataChannels are open.

        Args:
            timeout: Seconds for it, from the greeting on; None: CONNECT_TIMEOUT.

        Signals are read from the mailbox until then. Candidates that this side finds later are
        sent until :meth:`close`.

        Raises:
            ConnectionLost: The other side had it, and lost it again.
            NoRoute: No candidate pair works, or not within ``timeout`` seconds.
            PeerAborted: The other side left.
            PeerNeverCame: It does not greet.
            PeerProtocolError: It broke the rules.
        """
        try:
            async with asyncio.timeout(GREETING_TIMEOUT) as deadline:
                limited = self._limit(deadline, CONNECT_TIMEOUT if timeout is None else timeout)
                return await first_of(self._connect(), self._read_signals(), limited)
        except TimeoutError as exc:
            await self.close()
            if not self._agreed.is_set():
                raise PeerNeverCame("The other side came, but says nothing.") from exc
            raise self._connection.unreachable() from exc
        except BaseException:
            await self.close()
            raise

    async def _limit(self, deadline: asyncio.Timeout, seconds: float) -> None:
        await self._agreed.wait()
        deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    async def close(self) -> None:
        """Look for candidates no more."""
        await cancel_all(self._trickling)

    async def _connect(self) -> Connected:
        return await first_of(self._describe_and_check(), self._gather())

    async def _describe_and_check(self) -> Connected:
        offering = self._role is Role.SENDER
        if not offering:
            await asyncio.shield(self._remote)
        description = self._connection.local_description("offer" if offering else "answer")
        await self._signalling.send(DescriptionSignal(description))
        self._described.set()
        remote = await asyncio.shield(self._remote)
        await self._agreed.wait()
        return await self._connection.connect(remote)

    async def _gather(self) -> None:
        """Trickle until connected, and leave that to a task that :meth:`close` ends."""
        trickling = asyncio.create_task(self._trickle())
        self._trickling.append(trickling)
        await asyncio.shield(trickling)

    async def _trickle(self) -> None:
        """Send each candidate when it is found. Source: RFC 8838 §12, §13."""
        count = 0
        async with aclosing(self._connection.gather()) as candidates:
            async for candidate in candidates:
                count += 1
                await self._described.wait()
                if count <= MAX_CANDIDATES:
                    await self._signalling.send(CandidateSignal(candidate))
        await self._described.wait()
        await self._signalling.send(EndOfCandidates())

    async def _read_signals(self) -> None:
        while True:
            await self.hear(await self._signalling.receive())

    async def hear(self, signal: Signal) -> None:
        """Take a signal of the other side; candidates still come when both are connected.

        Raises:
            RtcsendError: It ends, or breaks the rules.
        """
        if not self._agreed.is_set() and not isinstance(signal, Hello | AbortSignal):
            raise PeerProtocolError("The other side did not greet first.")
        match signal:
            case DescriptionSignal(description=description):
                self._on_description(description)
            case CandidateSignal(candidate=candidate):
                await self._on_candidate(candidate)
            case EndOfCandidates():
                await self._connection.add_remote_candidate(None)
            case AbortSignal(error=error):
                raise self._seen_from_here(error)
            case AgainSignal():
                # It had the channels already, for a moment.
                raise ConnectionLost("The other side has lost the connection.")
            case Hello():
                self._on_hello(signal)
            case UnknownSignal():
                logger.info("! unknown signal passed over")

    def _seen_from_here(self, error: RtcsendError) -> RtcsendError:
        """Return the end that the other side tells, with what would help on this one."""
        if not isinstance(error, NoRoute):
            return error
        here = self._connection.unreachable(told=error.message)
        here.told_by_peer = error.told_by_peer
        return here

    def _on_hello(self, hello: Hello) -> None:
        if self._agreed.is_set() or self._agree is None:
            raise PeerProtocolError("The other side greeted twice.")
        self._agree(hello)
        self._agreed.set()

    def _on_description(self, description: Description) -> None:
        expected = "answer" if self._role is Role.SENDER else "offer"
        if description.type != expected or self._remote.done():
            raise PeerProtocolError("The other side sent a description at the wrong time.")
        self._remote.set_result(description)

    async def _on_candidate(self, candidate: Candidate | None) -> None:
        if not self._remote.done():
            raise PeerProtocolError("The other side sent a candidate before its description.")
        if candidate is None:
            return
        self._seen.add((candidate.address, candidate.port))
        if len(self._seen) > MAX_CANDIDATES:
            raise PeerProtocolError("The other side sent too many candidates.")
        await self._connection.add_remote_candidate(candidate)
