"""A receiver that notes when what happens, on the clock that all processes share.

::

    python -m benchmarks.receiver cold CODE FOLDER     the command line's own way, once
    python -m benchmarks.receiver warm FOLDER          a code a line on standard input

Prints an event ``moments`` for each transfer.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtcsend.events import Event

if TYPE_CHECKING:
    from rtcsend.transfer.frames import Frame


class Moments:
    """When each kind of event came first, and the first byte of the file."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {"called": time.monotonic()}

    def note(self, name: str) -> None:
        """Note that something has happened, if it is the first time."""
        self._first.setdefault(name, time.monotonic())

    def on_event(self, event: Event) -> None:
        """Take an event of the transfer."""
        self.note(event.name)

    def show(self) -> None:
        """Print them."""
        print(json.dumps({"event": "moments", **self._first}), flush=True)


def note_first_byte(moments: Moments) -> None:
    """Let the engine's next frames be noted; to be called again for other moments."""
    from rtcsend.transfer.receiver import ReceiverMachine  # noqa: PLC0415 - after the start

    take = getattr(ReceiverMachine, "original_take", ReceiverMachine.receive_frame_untrusted)

    def noted(self: Any, message: bytes, *, now: float) -> "Frame":
        moments.note("first-byte")
        return take(self, message, now=now)

    ReceiverMachine.original_take = take  # type: ignore[attr-defined]  # to find it again
    ReceiverMachine.receive_frame_untrusted = noted  # type: ignore[method-assign]  # on purpose


def cold(code: str, folder: str) -> None:
    """Receive once, through the command line; its own events are not shown."""
    from rtcsend.cli import json_output, main  # noqa: PLC0415 - part of what is measured

    moments = Moments()
    note_first_byte(moments)

    def emit(self: json_output.JsonOutput, event: Event) -> None:
        moments.on_event(event)

    json_output.JsonOutput.emit = emit  # type: ignore[method-assign]  # on purpose
    status = main.main(["receive", "--json", "-y", "--overwrite", "-o", folder + "/out.bin", code])
    moments.show()
    sys.exit(status)


async def receive_all(folder: str) -> None:
    """Receive for each line of standard input."""
    import rtcsend  # noqa: PLC0415 - symmetrical with cold

    while code := (await asyncio.to_thread(sys.stdin.readline)).strip():
        moments = Moments()
        note_first_byte(moments)
        await rtcsend.receive(
            code,
            into=Path(folder) / "out.bin",
            accept=lambda _proposal: True,
            conflict=rtcsend.Conflict.OVERWRITE,
            on_event=moments.on_event,
        )
        moments.show()


if __name__ == "__main__":
    if sys.argv[1] == "cold":
        cold(*sys.argv[2:])
    else:
        asyncio.run(receive_all(sys.argv[2]))
