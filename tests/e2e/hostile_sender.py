"""``rtcsend send`` by somebody who breaks the rules.

    python -m tests.e2e.hostile_sender TRICK send …

TRICK is one of TRICKS, or a JSON string: the name to propose.
"""

import dataclasses
import json
import platform
import sys
from collections.abc import Callable
from typing import Any, Final

from rtcsend.cli.main import run
from rtcsend.files.source import FileSource
from rtcsend.transfer.frames import serialize_frame
from rtcsend.transfer.messages import ProposedEntry
from rtcsend.transfer.sender import SenderMachine

EVIL_HOST: Final = "\x1b]0;root\x07\u202e\x1b[2Jada\nAccept? [Y/n] y"


def replace(owner: object, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a method by what ``make`` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


def propose(**changes: Any) -> None:
    """Propose something else than is sent."""

    def make(original: Any) -> Any:
        def init(self: SenderMachine, entry: ProposedEntry, **arguments: Any) -> None:
            original(self, dataclasses.replace(entry, **changes), **arguments)
            self._entry = entry

        return init

    replace(SenderMachine, "__init__", make)


def wrong_offset(original: Any) -> Any:
    def frame(self: SenderMachine, payload: memoryview, *, now: float) -> bytes:
        original(self, payload, now=now)
        return serialize_frame(entry=0, offset=self._sent, payload=payload)

    return frame


def wrong_bytes(original: Any) -> Any:
    def frame(self: SenderMachine, payload: memoryview, *, now: float) -> bytes:
        data: bytes = original(self, payload, now=now)
        return data[:-1] + bytes([data[-1] ^ 1])

    return frame


def any_window(_original: Any) -> Any:
    return property(lambda self: self._entry.size - self._sent if self._window else 0)


def early_bye(_original: Any) -> Any:
    def end(self: SenderMachine, _digest: str, *, now: float) -> None:
        self.bye(now=now)

    return end


def garbage_digest(_original: Any) -> Any:
    async def digest(_self: FileSource) -> str:
        return "\x1b[2J"

    return digest


def say_first(text: str) -> None:
    """Send ``text`` before everything else."""

    def make(original: Any) -> Any:
        def messages_to_send(self: SenderMachine) -> list[str]:
            return [text, *original(self)]

        return messages_to_send

    replace(SenderMachine, "messages_to_send", make)


def proposal(*, path: str, size: int) -> str:
    entry = {"path": path, "kind": "file", "size": size}
    return json.dumps({"type": "proposal", "sender": "", "entries": [entry]})


TRICKS: Final[dict[str, Callable[[], None]]] = {
    "more than proposed": lambda: propose(size=100_000),
    "wrong offset": lambda: replace(SenderMachine, "frame", wrong_offset),
    "wrong bytes": lambda: replace(SenderMachine, "frame", wrong_bytes),
    "any window": lambda: replace(SenderMachine, "sendable", any_window),
    "early bye": lambda: replace(SenderMachine, "end", early_bye),
    "garbage": lambda: say_first('{"type":'),
    "a long message": lambda: say_first(json.dumps({"type": "ping", "more": "x" * 70_000})),
    "two proposals": lambda: say_first(proposal(path="x", size=1)),
    "a host name": lambda: replace(platform, "node", lambda _original: lambda: EVIL_HOST),
    "a malformed digest": lambda: replace(FileSource, "digest", garbage_digest),
}


if __name__ == "__main__":
    trick = sys.argv.pop(1)
    if trick in TRICKS:
        TRICKS[trick]()
    else:
        propose(path=json.loads(trick))
    run()
