"""Several receivers of one sender: who comes with the code is let in, and served beside the others.

::

    nameplate 7 ─ open ─▶ somebody comes ─ open again ─▶ somebody comes ─ …
                              │ pairs by itself              │
                              ▼                              ▼
                          receiver 1: peer, transfer     receiver 2: peer, transfer

One code for all. Who comes is somebody to himself: a pairing, keys, a connection, an end of
his own, and nobody ends with him. When the nameplate may be open again is decided by
:class:`~rtcsend.serving.admission.Admission`, which counts guesses; what it all makes together, by
:func:`~rtcsend.serving.outcome.combined`.

A shell. Does not: know how a receiver is served; :mod:`rtcsend.sending` hands that in.
Source: docs/cli.md, "Several receivers"; docs/security.md, "One code for several receivers".
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from rtcsend.code.code import Code
from rtcsend.errors import (
    InternalError,
    PeerNeverCame,
    Refused,
    RendezvousError,
    RtcsendError,
    WrongCode,
)
from rtcsend.events import Closed, Done, Error, Event
from rtcsend.meeting.by_words import Visit
from rtcsend.meeting.front_door import FrontDoor
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, SendOptions
from rtcsend.pairing.keys import Role
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.serving.admission import Admission
from rtcsend.serving.outcome import Outcome, combined
from rtcsend.tasks import cancel_all
from rtcsend.trace import about

MAX_TROUBLE: Final = 5  # times in a row that the server may fail before nobody else is waited for
LONGEST_TROUBLE: Final = 60.0  # seconds until a server that fails is asked again
_GUESSED: Final = "Too many wrong codes were tried."
_SEND_AGAIN: Final = "Send again, with a new code, to those who have not got it."
_STILL_GOOD: Final = "The code is still good for the others."
_RENEWED: Final = "The code is used up: from now on it is another one."
_BURNT: Final = "The code is used up: nobody else gets in with it."

logger = logging.getLogger("rtcsend.session")


class Several:
    """Lets in those who come with a code, until all have come, or for ever.

    Args:
        options: How many; for how long.
        door: With a nameplate of which the code is known.
        new_code: Draws another code for the same nameplate, and shows it.
        serve: Sends to a receiver that has proven the words.
        emit: Told what becomes of each, and of which.
    """

    def __init__(
        self,
        options: SendOptions,
        *,
        door: FrontDoor,
        new_code: Callable[[], Code],
        serve: Callable[[Met, Emit], Awaitable[Done]],
        emit: Emit,
    ) -> None:
        self._options = options
        self._admission = Admission(receivers=options.receivers, forever=options.forever)
        self._door = door
        self._new_code = new_code
        self._serve = serve
        self._emit = emit
        self._code: Code | None = None
        self._clock = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        """Set when somebody has come, has proven the words or has not, or has left."""
        self._inside: set[asyncio.Task[None]] = set()
        self._trouble: RendezvousError | None = None
        """Why the nameplate is not open, if it is to be."""
        self._numbers = 0
        self._outcomes: list[Outcome] = []

    async def run(self, first: RendezvousClient, code: Code) -> Done:
        """Return when all have got everything.

        Args:
            first: At the nameplate already; all others are opened when it is time.
            code: What is shown.

        Raises:
            RtcsendError: Somebody has not got it, or never came: the first of these ends, when all
                others have come to theirs.
        """
        self._code = code
        door = asyncio.create_task(self._keep_door(first))
        try:
            reason = await door
            while self._inside:
                await asyncio.wait(self._inside)
        finally:
            await cancel_all([door, *self._inside])
        if self._options.forever:
            raise reason
        while len(self._outcomes) < self._options.receivers:
            self._note_end(self._next_number(), reason)
        return combined(sorted(self._outcomes, key=lambda outcome: outcome.receiver))

    async def _keep_door(self, first: RendezvousClient) -> RtcsendError:
        """Let them in one after the other; return why nobody else comes."""
        never = PeerNeverCame("The other side did not come.", hint=_SEND_AGAIN)
        try:
            async with asyncio.timeout(None if self._options.forever else self._options.timeout):
                return await self._let_all_in(first) or never
        except TimeoutError:
            return self._trouble or never

    async def _let_all_in(self, first: RendezvousClient) -> RtcsendError | None:
        client: RendezvousClient | None = first
        trouble = 0
        while await self._wait_for_room():
            used, client = client, None
            try:
                await self._let_in(used)
            except RendezvousError as exc:
                self._trouble = exc
                trouble += 1
                if trouble >= MAX_TROUBLE and not self._options.forever:
                    return exc
                pause = _pause_after(trouble, exc)
                self._tell_closed(exc.message, pause)
                await asyncio.sleep(pause)
            else:
                trouble = 0
        if self._admission.is_burnt:
            return WrongCode(_GUESSED, hint=_SEND_AGAIN)
        return None

    async def _wait_for_room(self) -> bool:
        """Return when the nameplate may be open again; False: it never may."""
        admission, told = self._admission, 0.0
        while True:
            if admission.is_burnt and self._renews:
                admission.renew()
                self._code = self._new_code()
            if admission.is_over:
                return False
            left = admission.opens_at - self._clock()
            if admission.has_room and left <= 0:
                return True
            if admission.has_room and told != admission.opens_at:
                told = admission.opens_at
                self._tell_closed("A wrong code was tried.", left)
            self._changed.clear()
            # Somebody comes, goes or proves his words; or the pause after a wrong guess is over.
            waiting = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([waiting], timeout=left if admission.has_room else None)
            finally:
                await cancel_all([waiting])

    async def _let_in(self, client: RendezvousClient | None) -> None:
        """Return when somebody has come; he is served from then on.

        Raises:
            RendezvousError: The server refuses, or is gone.
        """
        async with AsyncExitStack() as place:
            if client is None:
                client = await place.enter_async_context(self._door.place())
            assert self._code is not None, "one is shown"
            visit = Visit(Role.SENDER, self._code, client, place=Place(client.url))
            await visit.begin()
            self._trouble = None
            await visit.wait()
            self._admission.came()
            number = self._next_number()
            with about(("receiver", number)):
                task = asyncio.create_task(self._receive(number, visit, place.pop_all()))
            self._inside.add(task)
            task.add_done_callback(self._inside.discard)

    async def _receive(self, number: int, visit: Visit, place: AsyncExitStack) -> None:
        """Pair with one who has come, serve him, and note how it ends."""
        has_proven = False
        async with place:
            try:
                met = await self._pair(visit)
                has_proven = True
                done = await self._serve(met, self._emit_about(number))
            except RtcsendError as exc:
                self._note_end(number, exc, has_proven=has_proven)
            except Exception as exc:  # a border: the others are not to end with him
                logger.info("An unexpected error", exc_info=exc)
                error = InternalError(
                    f"Something in rtcsend itself is wrong ({type(exc).__name__})."
                )
                self._note_end(number, error, has_proven=has_proven)
            else:
                self._note_end(number, done)
            finally:
                if has_proven:
                    self._admission.left()
                self._changed.set()
                await visit.client.release()

    async def _pair(self, visit: Visit) -> Met:
        """Return when he has proven the words.

        Raises:
            RtcsendError: He has not; its hint says what has become of the code.
        """
        try:
            met = await visit.pair()
        except BaseException as exc:
            self._admission.failed(now=self._clock())
            if isinstance(exc, RtcsendError):
                exc.hint = self._hint_after_guess()
            raise
        self._admission.proved()
        self._changed.set()
        return met

    def _hint_after_guess(self) -> str:
        if not self._admission.is_burnt:
            return _STILL_GOOD
        return _RENEWED if self._renews else _BURNT

    @property
    def _renews(self) -> bool:
        """Whether another code is drawn when this one is burnt."""
        return self._options.forever and self._options.code is None

    def _note_end(self, number: int, end: Done | RtcsendError, *, has_proven: bool = True) -> None:
        """Tell how it ended; who only guessed is none of those that were to come."""
        if isinstance(end, Done):
            outcome = Outcome(receiver=number, done=end)
            event: Event = end
        else:
            outcome = Outcome(receiver=number, error=end)
            event = Error(code=end.slug, exit=end.exit_code, message=end.message, hint=end.hint)
        if has_proven and not self._options.forever:
            self._outcomes.append(outcome)
        self._emit(replace(event, receiver=number))

    def _tell_closed(self, reason: str, pause: float) -> None:
        self._emit(Closed(reason=reason, seconds=max(1, math.ceil(pause))))

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _emit_about(self, number: int) -> Emit:
        return lambda event: self._emit(replace(event, receiver=number))


def _pause_after(trouble: int, exc: RendezvousError) -> float:
    asked = exc.retry_after if isinstance(exc, Refused) else None
    return max(asked or 0.0, min(2.0**trouble, LONGEST_TROUBLE))
