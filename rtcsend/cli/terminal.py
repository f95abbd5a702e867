r"""What a terminal may be shown, and what kind of terminal it is.

Names and sentences of the other side are text from a stranger: they can hold escape
sequences that retitle the window, move the cursor over our own lines, or turn the reading
direction round so that ``gpj.exe`` looks like ``exe.jpg``. Everything from outside passes
:func:`escape` on its way to a terminal; nothing is escaped on its way to a script, which
must get names as they are.

Does not: colour, or draw (:mod:`rtcsend.cli.live`). Place in the flow: between the events
and standard error.
"""

import os
import sys
import unicodedata
from typing import IO

_SHOW_CURSOR = b"\x1b[?25h"
_CLEAR_LINE = "\r\x1b[K"
_DUMB_TERMINALS = frozenset({"", "dumb", "unknown"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that are shown as their number: controls (C0, DEL, C1), formats
(bidirectional and zero-width marks, tags), surrogates, line and paragraph separators."""


def escape(text: str) -> str:
    r"""Return ``text`` harmless, on one line, with what was dangerous made visible.

    An escape character becomes ``\x1b``, a right-to-left override ``\u202e``. Backslashes
    stay as they are: paths on Windows are full of them, and a name that holds the four
    characters ``\x1b`` does no harm. Markup of rich is no matter of this function: whoever
    prints by rich does it with markup switched off.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    if unicodedata.category(char) not in _INVISIBLE:
        return char
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def is_terminal(stream: IO[str] | None) -> bool:
    """Tell whether a person sits at the other end of ``stream``."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # the stream is closed
        return False


def can_redraw(stream: IO[str]) -> bool:
    """Tell whether lines on ``stream`` can be drawn over: a terminal that moves its cursor."""
    if not is_terminal(stream):
        return False
    # Windows consoles have no TERM, and rich knows how to talk to them.
    unnamed = "windows" if sys.platform == "win32" else ""
    return os.environ.get("TERM", unnamed).lower() not in _DUMB_TERMINALS


def can_ask() -> bool:
    """Tell whether a question would reach a person, and the answer us."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def say(text: str, *, end: str = "\n") -> None:
    """Write to people, on standard error.

    ``text`` must be harmless already. A reader that has gone away is no reason to end a
    transfer, so that errors of the stream are nobody's business.
    """
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # gone, closed, or none at all (pythonw)
        return


def take_back_line() -> None:
    """Remove the line on which the cursor stands, or at least end it."""
    say(_CLEAR_LINE if can_redraw(sys.stderr) else "\n", end="")


def restore() -> None:
    """Make the cursor visible again, by nothing but a system call: we are about to die."""
    if can_redraw(sys.stderr):
        try:
            os.write(sys.stderr.fileno(), _SHOW_CURSOR + b"\r\n")
        except (OSError, ValueError):
            return
