"""The Python API for programs without asyncio: one call a transfer, which returns at its end.

Place in the flow: around :mod:`rtcsend.api`, each call with an event loop of its own.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypedDict, TypeVar, Unpack

from rtcsend.api import Sender, StrPath, VerifyCallback, receive
from rtcsend.datapath.loop import new_event_loop
from rtcsend.errors import UsageError
from rtcsend.events import Done, Proposal
from rtcsend.options import (
    AcceptCallback,
    Compress,
    Conflict,
    Emit,
    Links,
    RoutePolicy,
)

__all__ = ["ReceiveSettings", "SendSettings", "new_event_loop", "receive_file", "send_file"]

T = TypeVar("T")


class SendSettings(TypedDict, total=False):
    """What :class:`~rtcsend.api.Sender` takes by name."""

    name: str | None
    server: str | None
    ice: Iterable[str]
    route: RoutePolicy
    timeout: float
    limit: int | None
    compress: Compress
    code: str | None
    to: str | None
    words: int
    verify: VerifyCallback | None
    links: Links
    exclude: Iterable[str]
    gitignore: bool
    skip_unreadable: bool
    token: str | None
    receivers: int
    forever: bool


class ReceiveSettings(TypedDict, total=False):
    """What :func:`rtcsend.api.receive` takes by name."""

    from_: str | None
    into: StrPath | None
    conflict: Conflict
    server: str | None
    ice: Iterable[str]
    route: RoutePolicy
    timeout: float
    limit: int | None
    max_size: int | None
    max_files: int | None
    accept_glob: Iterable[str]
    preserve: bool


def send_file(
    *paths: StrPath,
    on_code: Callable[[str], object] = print,
    on_event: Emit | None = None,
    **settings: Unpack[SendSettings],
) -> Done:
    """Send files and folders; return when the receiver has verified and saved everything.

    Ctrl-C, in the main thread, tells the other side and raises KeyboardInterrupt.

    Args:
        paths: What to send.
        on_code: Called with the code, as soon as there is one; not with ``to``.
        on_event: Called with each event after it.
        settings: As :class:`~rtcsend.api.Sender` takes them.

    Raises:
        RtcsendError: What ended the transfer.
    """

    async def run() -> Done:
        async with Sender(paths, **settings) as sender:
            if sender.code:
                on_code(sender.code)
            async for event in sender:
                if on_event is not None:
                    on_event(event)
            return await sender.wait()

    return _run("send_file", run)


def receive_file(
    code: str = "",
    *,
    accept: AcceptCallback | None = None,
    on_event: Emit | None = None,
    **settings: Unpack[ReceiveSettings],
) -> Done:
    """Receive what the other side sends; return when it is verified and under its name.

    Ctrl-C, in the main thread, tells the other side and raises KeyboardInterrupt.

    Args:
        code: What the sender's side shows.
        accept: Called with the proposal; its result decides. None: whatever the settings let
            through is accepted.
        on_event: Called with each event.
        settings: As :func:`rtcsend.api.receive` takes them.

    Raises:
        RtcsendError: What ended the transfer.
    """
    return _run(
        "receive_file",
        lambda: receive(code, accept=accept or _accept_all, on_event=on_event, **settings),
    )


def _accept_all(_proposal: Proposal) -> bool:
    return True


def _run(name: str, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(start())
    raise UsageError(
        f"{name} blocks, and an event loop runs in this thread.",
        hint="Use rtcsend.Sender and rtcsend.receive there, or asyncio.to_thread.",
    )
