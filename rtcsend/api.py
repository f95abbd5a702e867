"""The Python API: the engine of the command line, for programs.

::

    async with rtcsend.Sender(["film.iso"]) as sender:
        print(sender.code)
        async for event in sender: ...
    done = await rtcsend.receive("7-guitar-velvet", into="downloads", accept=lambda p: True)

docs/python.md is for its users; :mod:`rtcsend.blocking` has the same without asyncio.
"""

import asyncio
import inspect
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rtcsend import receiving, sending
from rtcsend.errors import InternalError, UsageError
from rtcsend.events import (
    Checking,
    CodeReady,
    Done,
    Event,
    Progress,
    Proposal,
    Scanning,
    Stalled,
    Waiting,
)
from rtcsend.options import (
    DEFAULT_TIMEOUT,
    DEFAULT_WORDS,
    AcceptCallback,
    Compress,
    Conflict,
    Emit,
    Links,
    ReceiveOptions,
    RoutePolicy,
    SendOptions,
)
from rtcsend.tasks import cancel_all

StrPath = str | os.PathLike[str]

VerifyCallback = Callable[[str], bool | Awaitable[bool]]
"""Takes the verification string; says whether the two people see the same."""

MAX_WAITING_EVENTS: Final = 1_000
"""Events that wait for a program which does not read them; the oldest are dropped."""


class Sender:
    """Sends files and folders: a context manager with a :attr:`code`, and the events of it.

    Leaving the context before the end stops the transfer and tells the other side, within about
    two seconds; so does cancelling whoever is in it.

    Args:
        paths: What to send: files and folders; a named pipe, or ``"-"`` for standard input, alone.
        text: A message, instead of paths.
        name: What to call a text, or what comes from a pipe.
        server: WebSocket URL of a rendezvous server; None: one in this process.
        ice: STUN and TURN URLs, as ``--ice`` takes them.
        route: Which routes are allowed.
        timeout: Seconds to wait for the other side.
        limit: Bytes per second at most.
        compress: Whether it is compressed on its way.
        code: A code of your own; None: a new one is drawn.
        to: The known machine that is to get it, without a code (``rtcsend pair``).
        words: How many words a new code has.
        verify: Called with the verification string before anything is sent; its result, awaited
            if need be, says whether the other side sees the same.
        links: What becomes of symbolic links in folders.
        exclude: Patterns as in a .gitignore file; what they match is left out.
        gitignore: Leave out what the .gitignore files in the folders say.
        skip_unreadable: Leave out what cannot be read, instead of ending.
        token: What the rendezvous server asks of those who want a code.
        receivers: How many get it, all with the one code; events about one of them have its number
            as ``receiver``, and the last :class:`Done`, without it, comes when all have it.
        forever: Send to whoever comes, ``receivers`` at a time, until the context is left; the code
            is replaced when it was guessed at too often.

    Raises:
        RtcsendError: From entering (before there is a code), from iterating and from
            :meth:`wait` (after it).
    """

    def __init__(
        self,
        paths: Sequence[StrPath] = (),
        *,
        text: str | None = None,
        name: str | None = None,
        server: str | None = None,
        ice: Iterable[str] = (),
        route: RoutePolicy = RoutePolicy.ANY,
        timeout: float = DEFAULT_TIMEOUT,
        limit: int | None = None,
        compress: Compress = Compress.AUTO,
        code: str | None = None,
        to: str | None = None,
        words: int = DEFAULT_WORDS,
        verify: VerifyCallback | None = None,
        links: Links = Links.KEEP,
        exclude: Iterable[str] = (),
        gitignore: bool = False,
        skip_unreadable: bool = False,
        token: str | None = None,
        receivers: int = 1,
        forever: bool = False,
    ) -> None:
        if isinstance(paths, str | os.PathLike):
            raise UsageError("One path is no list of paths.", hint="Write Sender([path]).")
        if any(path == "" for path in paths):  # Path("") is the current folder
            raise UsageError("A path is empty.", hint="Write . to send the current folder.")
        if (not paths) is (text is None):
            raise UsageError(
                "A Sender sends either paths or a text.", hint="Give it one of the two."
            )
        self._options = SendOptions(
            paths=tuple(Path(path) for path in paths),
            text=text,
            name=name,
            server=server,
            ice=tuple(ice),
            route=route,
            timeout=timeout,
            limit=limit,
            compress=compress,
            code=code,
            to=to,
            words=words,
            verify=verify is not None,
            links=links,
            exclude=tuple(exclude),
            gitignore=gitignore,
            skip_unreadable=skip_unreadable,
            token=token,
            receivers=receivers,
            forever=forever,
        )
        self._questions = _Answers(verify=verify)
        self._events = _Events()
        self._task: asyncio.Task[Done] | None = None
        self._code = ""

    @property
    def code(self) -> str:
        """What the other side must know; empty before the Sender is entered, and with ``to``."""
        return self._code

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise UsageError("A Sender sends once.", hint="Make another one.")
        has_code = asyncio.Event()
        is_waiting = False

        def emit(event: Event) -> None:
            nonlocal is_waiting
            if isinstance(event, CodeReady | Waiting):
                self._code = event.code if isinstance(event, CodeReady) else ""
                is_waiting = True
                has_code.set()
            else:
                self._events.put(event)

        self._task = asyncio.create_task(
            sending.send(self._options, questions=self._questions, emit=emit)
        )
        self._task.add_done_callback(self._events.end)
        self._task.add_done_callback(lambda _task: has_code.set())
        try:
            await has_code.wait()
        except asyncio.CancelledError:
            await self._stop()
            raise
        if not is_waiting:
            await self._task  # raises what went wrong
            raise InternalError("The transfer ended before it had a code.")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            await cancel_all([self._task])

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield what is left out, and the events after the code, the last one :class:`Done`.

        Raises:
            RtcsendError: What ended the transfer.
        """
        task = self._entered()
        async for event in self._events:
            yield event
        await task

    async def wait(self) -> Done:
        """Return when the receiver has verified and saved everything.

        Events may be iterated elsewhere meanwhile, or by nobody. Cancelling this stops nothing:
        leaving the context does.

        Raises:
            RtcsendError: What ended the transfer.
        """
        return await asyncio.shield(self._entered())

    def _entered(self) -> "asyncio.Task[Done]":
        if self._task is None:
            raise UsageError(
                "This Sender has not been entered.", hint="Use it in an “async with” statement."
            )
        return self._task


async def receive(
    code: str = "",
    *,
    from_: str | None = None,
    into: StrPath | None = None,
    accept: AcceptCallback,
    conflict: Conflict = Conflict.ASK,
    server: str | None = None,
    ice: Iterable[str] = (),
    route: RoutePolicy = RoutePolicy.ANY,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - how long to wait for the other side
    limit: int | None = None,
    max_size: int | None = None,
    max_files: int | None = None,
    accept_glob: Iterable[str] = (),
    preserve: bool = False,
    on_event: Emit | None = None,
) -> Done:
    """Receive what the other side sends.

    Args:
        code: What the sender's side shows.
        from_: The known machine that sends, in the place of a code (``rtcsend pair``).
        into: A folder, or the file to write; None: the current folder.
        accept: Called with the proposal; its result, awaited if need be, decides.
        conflict: What to do when the target exists; ASK: that is an error.
        server: WebSocket URL of the rendezvous server; None: it is looked for.
        ice: STUN and TURN URLs, as ``--ice`` takes them.
        route: Which routes are allowed.
        timeout: Seconds to wait for the other side.
        limit: Bytes per second at most.
        max_size: Bytes; more are declined without asking.
        max_files: Files; more are declined without asking.
        accept_glob: Patterns; a file that matches none of them is declined without asking.
        preserve: Give files the permissions that they have at the sender.
        on_event: Called with each event, on the event loop.

    Raises:
        RtcsendError: What ended the transfer.
    """
    if bool(code) is (from_ is not None):
        raise UsageError("Either a code or a known machine is needed.", hint="Give one of them.")
    if into == "":  # as for a Sender
        raise UsageError("A path is empty.", hint="Write . to save in the current folder.")
    options = ReceiveOptions(
        code=code,
        from_machines=() if from_ is None else (from_,),
        output=None if into is None else Path(into),
        conflict=conflict,
        server=server,
        ice=tuple(ice),
        route=route,
        timeout=timeout,
        limit=limit,
        max_size=max_size,
        max_files=max_files,
        accept_glob=tuple(accept_glob),
        preserve=preserve,
    )
    return await receiving.receive(
        options, questions=_Answers(accept), emit=on_event or (lambda _event: None)
    )


class _Answers:
    """A program's answers: what it was given, and no to everything else."""

    def __init__(
        self, accept: AcceptCallback | None = None, *, verify: VerifyCallback | None = None
    ) -> None:
        self._accept = accept
        self._verify = verify

    async def accept(self, proposal: Proposal) -> bool:
        return self._accept is not None and await _answer(self._accept(proposal))

    async def conflict(self, name: str) -> Conflict:
        return Conflict.ASK

    async def verification_matches(self, verification: str) -> bool:
        return self._verify is not None and await _answer(self._verify(verification))


async def _answer(answer: bool | Awaitable[bool]) -> bool:
    return bool(await answer) if inspect.isawaitable(answer) else bool(answer)


class _Events:
    """A queue that stays short: news that nobody has seen yet are replaced by newer ones."""

    def __init__(self) -> None:
        self._queue: deque[Event] = deque(maxlen=MAX_WAITING_EVENTS)
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> None:
        if isinstance(event, Progress | Checking | Stalled | Scanning):
            self._remove_older(event)
        self._queue.append(event)
        self._changed.set()

    def _remove_older(self, event: Event) -> None:
        """Drop the same news of the same receiver, if nothing else of it came since."""
        for older in reversed(self._queue):
            if older.receiver == event.receiver:
                if type(older) is type(event):
                    self._queue.remove(older)
                return

    def end(self, _task: object) -> None:
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while self._queue or not self._ended:
            if self._queue:
                yield self._queue.popleft()
            else:
                self._changed.clear()
                await self._changed.wait()
