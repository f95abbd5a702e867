r"""A text message on standard output: harmless on a terminal, elsewhere exactly as it was sent.

A terminal is shown the lines of it with everything made visible that is neither printable nor a
line end nor a tab: escape sequences, control characters, direction marks, as names are
(:func:`rtcsend.cli.terminal.escape`). A pipe or a file gets the very bytes, and no line end that is
not in them: ``token=$(rtcsend receive -y CODE)``.

Place in the flow: the engine shows a text here when it is verified, and before the sender hears of
success: a text that nobody could read was not delivered.
"""

import sys
from collections.abc import Callable
from typing import Final

from rtcsend.cli.results import write_all
from rtcsend.cli.terminal import escape, is_terminal
from rtcsend.errors import CannotWrite
from rtcsend.files.disk_thread import DiskThread
from rtcsend.options import ShowText

_FD: Final = 1  # POSIX <unistd.h>, STDOUT_FILENO


def harmless(text: str) -> str:
    """Return a text for a terminal, its lines kept, with a line end."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return "".join("\t".join(map(escape, line.split("\t"))) + "\n" for line in lines)


def text_shower(clear: Callable[[], None]) -> ShowText:
    """Return what shows a text.

    Args:
        clear: Takes what moves off the screen.
    """

    async def show(text: str) -> None:
        clear()
        data = harmless(text).encode() if is_terminal(sys.stdout) else text.encode()
        # By a daemon: a reader that does not read holds up neither the loop nor our end.
        thread = DiskThread("rtcsend-text")
        try:
            await thread.submit(lambda: write_all(_FD, data))
        except OSError as exc:
            raise CannotWrite(
                f"The text cannot be written to standard output: {exc.strerror or exc}.",
                hint="Check where standard output goes, and run both commands again.",
            ) from exc
        finally:
            thread.close()

    return show
