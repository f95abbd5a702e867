"""``send --qr`` and ``--copy``: other ways for a code to the other machine than being read out.

A QR code holds the address of the rendezvous with the code behind the ``#``::

    https://rendezvous.example/#7-guitar-velvet

A browser never sends what is behind the ``#``: the server that such a page comes from does not
learn the code. The clipboard is that of the terminal, by OSC 52 (xterm's control sequences): also
of one at the other end of ssh, and only the terminal decides whether it does so.

Place in the flow: beside the output, when the code is there.
"""

import base64
import sys
from typing import Annotated, Final
from urllib.parse import urlsplit, urlunsplit

import typer

from rtcsend.cli.display import Output
from rtcsend.cli.terminal import can_redraw, say
from rtcsend.errors import UsageError
from rtcsend.events import CodeReady, Event
from rtcsend.options import Emit
from rtcsend.rendezvous.server_url import normalise_server_url

Qr = Annotated[bool, typer.Option("--qr", help="Show the code as a QR code, too.")]
Copy = Annotated[
    bool, typer.Option("--copy", help="Put the code into the clipboard, if the terminal lets it.")
]

_QUIET_ZONE: Final = 2  # modules; readers of screens do with less than the standard's four
_BLOCKS: Final = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""Two modules, one above the other; what is light is drawn, as terminals are dark."""


def code_url(code: str, server: str) -> str:
    """Return the address that a web page of the rendezvous understands. Pure.

    Args:
        code: The code.
        server: Address of the rendezvous, as ``--server`` takes it; a pinned certificate is left
            out, which no browser could check.
    """
    parts = urlsplit(normalise_server_url(server))
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    return urlunsplit((scheme, parts.netloc, parts.path.removesuffix("v1"), "", code))


def qr_lines(text: str) -> list[str]:
    """Return a QR code as lines of a terminal, two modules in each character. Pure."""
    import segno  # noqa: PLC0415 - only for those who ask

    code = segno.make(text, error="l", micro=False, boost_error=False)
    rows = [list(row) for row in code.matrix_iter(border=_QUIET_ZONE)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(_BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def clipboard_sequence(text: str) -> str:
    """Return what makes a terminal put ``text`` into its clipboard. Pure."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"


def check_sharing(*, qr: bool, copy: bool, silent: bool) -> None:
    """Refuse what nobody would see.

    Raises:
        UsageError: A QR code for a program, or a clipboard without a terminal.
    """
    if qr and silent:
        raise UsageError(
            "--qr is for people: it goes neither with --json nor with --quiet.",
            hint="Make one from the code and the server of the code event.",
        )
    if copy and not can_redraw(sys.stderr):
        raise UsageError(
            "There is no terminal whose clipboard could take the code.",
            hint="Run it on a terminal, or without --copy.",
        )


def sharing(emit: Emit, output: Output, *, qr: bool, copy: bool) -> Emit:
    """Return where events go, with the code shared by the way when it comes."""

    def share(event: Event) -> None:
        if isinstance(event, CodeReady):
            if qr:
                for line in qr_lines(code_url(event.code, event.server)):
                    output.tell(line)
            if copy:
                say(clipboard_sequence(event.code), end="")
                output.tell("Copied, if this terminal allows it.")
        emit(event)

    return share
