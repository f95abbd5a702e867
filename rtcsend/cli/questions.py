"""Questions to the user: asked on a terminal, or answered by options.

A question is asked on standard error and read from standard input without stopping the
event loop, since the connection must be kept alive while a person thinks; and it is taken
back when the transfer ends in the meantime. What was typed before a question was asked is
thrown away: an Enter key hit out of boredom is no consent.

Place in the flow: the engine asks through :class:`rtcsend.options.Questions`.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from rtcsend.cli.proposal_view import describe, describe_fully, is_text
from rtcsend.cli.terminal import escape, say, take_back_line
from rtcsend.events import Proposal
from rtcsend.options import Conflict

_MAX_ANSWER: Final = 4096  # bytes; a terminal's own limit for a line
T = TypeVar("T")

_YES_NO: Final[Mapping[str, bool]] = {"y": True, "yes": True, "n": False, "no": False}
_CONFLICTS: Final[Mapping[str, Conflict]] = {
    "o": Conflict.OVERWRITE,
    "overwrite": Conflict.OVERWRITE,
    "r": Conflict.RENAME,
    "rename": Conflict.RENAME,
    "s": Conflict.SKIP,
    "skip": Conflict.SKIP,
    "c": Conflict.ASK,  # no answer: the transfer ends because the file exists
    "cancel": Conflict.ASK,
}


class ScriptQuestions:
    """Answers from options; nobody is asked.

    Args:
        tell: Shows a line to people.
    """

    def __init__(self, *, tell: Callable[[str], None]) -> None:
        self._tell = tell

    async def accept(self, proposal: Proposal) -> bool:
        """Accept: ``--yes`` was given, or there would have been an error before."""
        self._tell(describe(proposal))
        return True

    async def conflict(self, name: str) -> Conflict:
        """Return that there is no answer."""
        self._tell(f"{escape(name)} exists.")
        return Conflict.ASK

    async def verification_matches(self, verification: str) -> bool:
        """Refuse: nobody is there to compare."""
        self._tell(f"Verification: {escape(verification)}")
        return False


class TerminalQuestions:
    """Asks on standard error, reads from standard input.

    Args:
        hold: Leaves the screen to a question; called before each.
        go_on: Takes it back; called after each.
        accept_all: ``--yes``: the receiver is not asked whether it wants what is proposed.
        accept_text: A text is only shown, so that nobody has to say that he wants it.
        conflict: What becomes of files that are there already, as far as that was said.
    """

    def __init__(
        self,
        *,
        hold: Callable[[], None],
        go_on: Callable[[], None],
        accept_all: bool = False,
        accept_text: bool = False,
        conflict: Conflict = Conflict.ASK,
    ) -> None:
        self._hold = hold
        self._go_on = go_on
        self._accept_all = accept_all
        self._accept_text = accept_text
        self._conflict = conflict

    async def accept(self, proposal: Proposal) -> bool:
        """Ask whether the proposal is wanted; Enter means yes, end of input means no."""
        with self._on_screen():
            if self._accept_all or (self._accept_text and is_text(proposal)):
                say(describe(proposal))
                return True
            say(describe_fully(proposal, conflict=self._conflict))
            return await _choose("Accept? [Y/n] ", {"": True, **_YES_NO}, at_end=False)

    async def conflict(self, name: str) -> Conflict:
        """Ask what to do about an existing file; end of input means cancel."""
        question = f"{escape(name)} exists. [o]verwrite, [r]ename, [s]kip, [c]ancel? "
        with self._on_screen():
            return await _choose(question, _CONFLICTS, at_end=Conflict.ASK)

    async def verification_matches(self, verification: str) -> bool:
        """Ask whether both sides show the same string; anything but a yes means no."""
        question = "Does the other side show the same? [y/N] "
        with self._on_screen():
            say(f"Verification: {escape(verification)}")
            return await _choose(question, {"": False, **_YES_NO}, at_end=False)

    @contextmanager
    def _on_screen(self) -> Iterator[None]:
        self._hold()
        try:
            yield
        finally:
            self._go_on()


async def _choose(question: str, answers: Mapping[str, T], *, at_end: T) -> T:
    """Ask until one of ``answers`` is given; ``at_end`` when there is no more input.

    Cancelled: the question disappears from the screen, together with what was typed.
    """
    _forget_typed()
    while True:
        say(question, end="")
        try:
            line = await _read_line()
        except asyncio.CancelledError:
            take_back_line()
            _forget_typed()
            raise
        if line is None:
            say("")
            return at_end
        answer = line.strip().lower()
        if answer in answers:
            return answers[answer]


async def _read_line() -> str | None:
    """Read a line from standard input; None at its end."""
    return await (_read_by_thread() if sys.platform == "win32" else _read_by_loop())


async def _read_by_loop() -> str | None:
    """Read from the terminal in its ordinary, line-wise mode when the loop sees a line."""
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()
    ready: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, on_readable)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
    # The terminal hands out one line at most, so that this neither waits nor takes too much.
    try:
        data = os.read(fd, _MAX_ANSWER)
    except OSError:  # the terminal is gone
        return None
    return data.decode("utf-8", "replace") if data else None


async def _read_by_thread() -> str | None:
    """Read where the loop cannot watch standard input (Windows).

    The thread of a question that was taken back stays behind, waiting for a line; it is a
    daemon, so that the process can end.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def finish(line: str) -> None:
        if not answer.done():
            answer.set_result(line)

    def read() -> None:
        try:
            line = sys.stdin.readline(_MAX_ANSWER)
            loop.call_soon_threadsafe(finish, line)
        except (OSError, ValueError, RuntimeError):  # closed: the input, or the loop
            return

    threading.Thread(target=read, name="rtcsend-stdin", daemon=True).start()
    return await answer or None


def _forget_typed() -> None:
    """Throw away what was typed and not read."""
    if sys.platform == "win32":
        return
    import termios  # noqa: PLC0415 - POSIX only

    try:
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    except (OSError, ValueError, termios.error):  # no terminal: nothing was typed
        return
