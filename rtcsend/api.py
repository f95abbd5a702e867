"""The Python API: the engine of the command line, for programs.

::

    async with rtcsend.Sender(["film.iso"]) as sender:
        print(sender.code)
        async for event in sender: ...
    done = await rtcsend.receive("7-guitar-velvet", into="downloads", accept=lambda p: True)
"""

import asyncio
import inspect
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rtcsend import session
from rtcsend.errors import InternalError, UsageError
from rtcsend.events import (
    Checking,
    CodeReady,
    Done,
    Event,
    LeftOut,
    Progress,
    Proposal,
    Scanning,
    Stalled,
)
from rtcsend.options import (
    DEFAULT_TIMEOUT,
    DEFAULT_WORDS,
    AcceptCallback,
    Conflict,
    Emit,
    Links,
    ReceiveOptions,
    RoutePolicy,
    SendOptions,
)

StrPath = str | os.PathLike[str]


class Sender:
    """Sends files and folders: a context manager with a :attr:`code`, and the events of it.

    Leaving the context before the end stops the transfer and tells the other side.

    Args:
        paths: What to send: files and folders.
        server: WebSocket URL of a rendezvous server; None: one in this process.
        ice: STUN and TURN URLs, as ``--ice`` takes them.
        route: Which routes are allowed.
        timeout: Seconds to wait for the other side.
        limit: Bytes per second at most.
        code: A code of your own; None: a new one is drawn.
        words: How many words a new code has.
        links: What becomes of symbolic links in folders.
        exclude: Patterns as in a .gitignore file; what they match is left out.
        gitignore: Leave out what the .gitignore files in the folders say.
        skip_unreadable: Leave out what cannot be read, instead of ending.
        token: What the rendezvous server asks of those who want a code.

    Raises:
        RtcsendError: From entering (before there is a code) or from iterating (after it).
    """

    def __init__(
        self,
        paths: Sequence[StrPath],
        *,
        server: str | None = None,
        ice: Iterable[str] = (),
        route: RoutePolicy = RoutePolicy.ANY,
        timeout: float = DEFAULT_TIMEOUT,
        limit: int | None = None,
        code: str | None = None,
        words: int = DEFAULT_WORDS,
        links: Links = Links.KEEP,
        exclude: Iterable[str] = (),
        gitignore: bool = False,
        skip_unreadable: bool = False,
        token: str | None = None,
    ) -> None:
        if not paths:
            raise UsageError("There is nothing to send.", hint="Give a Sender at least one path.")
        self._options = SendOptions(
            paths=tuple(Path(path) for path in paths),
            server=server,
            ice=tuple(ice),
            route=route,
            timeout=timeout,
            limit=limit,
            code=code,
            words=words,
            links=links,
            exclude=tuple(exclude),
            gitignore=gitignore,
            skip_unreadable=skip_unreadable,
            token=token,
        )
        self._events = _Events()
        self._left_out: deque[LeftOut] = deque()
        self._task: asyncio.Task[Done] | None = None
        self._code = ""

    @property
    def code(self) -> str:
        """What the other side must know."""
        return self._code

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(
            session.send(self._options, questions=_Answers(), emit=self._events.put)
        )
        self._task.add_done_callback(self._events.end)
        while not isinstance(event := await anext(aiter(self._events), None), CodeReady):
            if event is None:
                await self._task  # raises what went wrong
                raise InternalError("The transfer ended before it had a code.")
            if isinstance(event, LeftOut):
                self._left_out.append(event)
        self._code = event.code
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield what is left out, and the events after the code, the last one :class:`Done`.

        Raises:
            RtcsendError: What ended the transfer.
        """
        if self._task is None:
            raise InternalError("A Sender is to be entered before it is iterated.")
        while self._left_out:
            yield self._left_out.popleft()
        async for event in self._events:
            yield event
        await self._task


async def receive(
    code: str,
    *,
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
    options = ReceiveOptions(
        code=code,
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
    return await session.receive(
        options, questions=_Answers(accept), emit=on_event or (lambda _event: None)
    )


class _Answers:
    """A program's answers: what it was given, and no to everything else."""

    def __init__(self, accept: AcceptCallback | None = None) -> None:
        self._accept = accept

    async def accept(self, proposal: Proposal) -> bool:
        answer = self._accept is not None and self._accept(proposal)
        return bool(await answer) if inspect.isawaitable(answer) else bool(answer)

    async def conflict(self, name: str) -> Conflict:
        return Conflict.ASK

    async def verification_matches(self, verification: str) -> bool:
        return False


class _Events:
    """A queue that stays short: news that nobody has seen yet are replaced by newer ones."""

    def __init__(self) -> None:
        self._queue: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> None:
        replaces = isinstance(event, Progress | Checking | Stalled | Scanning)
        if replaces and self._queue and type(self._queue[-1]) is type(event):
            self._queue.pop()
        self._queue.append(event)
        self._changed.set()

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
