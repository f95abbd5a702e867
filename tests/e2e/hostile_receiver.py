"""``rtcsend receive`` by somebody who breaks the rules.

python -m tests.e2e.hostile_receiver TRICK receive …
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from rtcsend.cli.main import run
from rtcsend.datapath.channel import Channels
from rtcsend.files.sink import FileSink
from rtcsend.transfer.receiver import ReceiverMachine

DIGEST: Final = "0" * 64


def replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a method by what ``make`` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


def answer(*texts: str) -> None:
    """Answer the proposal by ``texts``."""

    def make(original: Any) -> Any:
        def accept(self: ReceiverMachine, **arguments: Any) -> None:
            original(self, **arguments)
            self._outbound = list(texts)

        return accept

    replace(ReceiverMachine, "accept", make)


def accept(**fields: object) -> str:
    message = {"type": "accept", "entries": [0], "window": 1 << 20, "limit": 0}
    return json.dumps({**message, **fields})


def written(count: int) -> str:
    return json.dumps({"type": "written", "entry": 0, "bytes": count})


def complete() -> str:
    return json.dumps({"type": "complete", "entry": 0, "digest": DIGEST})


def another_digest(original: Any) -> Any:
    def say(self: ReceiverMachine, _digest: str, *, now: float) -> None:
        original(self, DIGEST, now=now)

    return say


def with_frames(original: Any) -> Any:
    async def send_control(self: Channels, text: str) -> None:
        await original(self, text)
        await self.send_data(b"\x01" + bytes(20))

    return send_control


def stuck_disk() -> None:
    """Break no rule, but write nothing until the transfer is given up."""
    given_up = asyncio.Event()

    def make_store(original: Any) -> Any:
        async def store(self: FileSink, block: bytearray) -> None:
            await given_up.wait()
            await original(self, block)

        return store

    def make_abandon(original: Any) -> Any:
        async def abandon(self: FileSink, *, keep_partial: bool) -> None:
            given_up.set()
            await original(self, keep_partial=keep_partial)

        return abandon

    replace(FileSink, "_store", make_store)
    replace(FileSink, "abandon", make_abandon)


TRICKS: Final[dict[str, Callable[[], None]]] = {
    "an absurd window": lambda: answer(accept(window=1 << 40)),
    "complete at once": lambda: answer(accept(), complete()),
    "written before it came": lambda: answer(accept(), written(1 << 50)),
    "garbage": lambda: answer("\x1b[2J"),
    "another digest": lambda: replace(ReceiverMachine, "complete", another_digest),
    "frames": lambda: replace(Channels, "send_control", with_frames),
    "stuck disk": stuck_disk,
}

if __name__ == "__main__":
    TRICKS[sys.argv.pop(1)]()
    run()
