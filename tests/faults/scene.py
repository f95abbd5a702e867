"""What all scenarios share: a file, a folder for it, both commands, and what must hold at the end.

What is counted, and how:

- *there*: bytes from the beginning of the partial file that are the source's, when no process of
  the first run is alive any more. What was on its way, or in a queue, is not there.
- *resumed*: bytes that the second run says it need not send. Both sides must say the same.
- *twice*: what was there and travels again, the one less the other. The promise is at most a block.
- *carried*: bytes that crossed the wire in the second run, both ways and with all headers, where
  the wire is one that only these two use.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from rtcsend.blocks import block_size_for
from tests.e2e.processes import Machine, Side, listing, random_file

PARTIAL: Final = ".film.iso.rtcsend-partial"
JOURNAL: Final = ".film.iso.rtcsend-journal"
OURS: Final = [JOURNAL, PARTIAL]
STEP: Final = 0.001  # seconds between two looks at the partial file
LOOK_TIMEOUT: Final = 90.0  # seconds
_PIECE: Final = 1 << 20  # bytes compared at once
_HEADERS: Final = 1.2  # of the bytes that must travel; UDP, DTLS, SCTP, acknowledgements, losses
_SET_UP: Final = 4 << 20  # bytes; rendezvous, handshakes, measuring the path


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What a second run was spared."""

    there: int
    resumed: int
    carried: int | None
    """None where the wire is shared with others."""

    @property
    def twice(self) -> int:
        """Bytes that were on the receiver's disk, and travelled again."""
        return max(0, self.there - self.resumed)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both commands."""

    sender: Side
    receiver: Side

    async def succeed(self) -> None:
        """Return when both have ended well."""
        await self.receiver.succeeds()
        await self.sender.succeeds()

    async def fail(self, *, sender: str, receiver: str) -> tuple[str, str]:
        """Return what both say, when they have ended with these errors."""
        theirs = await self.receiver.fails(receiver)
        ours = await self.sender.fails(sender)
        return str(ours["message"]), str(theirs["message"])

    def of(self, who: str) -> tuple[Side, Side]:
        """Return the one that is named, and the other."""
        pair = (self.sender, self.receiver)
        return pair if who == "sender" else (pair[1], pair[0])


class Scene:
    """A file, and where it is to go.

    Args:
        machine: Where the commands run.
        size: Bytes of the file.
        film: The file, if there is one already.
        out: The folder, if there is one already.
        wire: The name of the namespace in which both run, when they run in one.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        size: int,
        film: Path | None = None,
        out: Path | None = None,
        wire: str | None = None,
    ) -> None:
        self.machine, self.size, self._wire = machine, size, wire
        self.film = film or random_file(machine.folder / "film.iso", size)
        self.out = out or machine.folder / "out"
        self.out.mkdir(exist_ok=True)

    @property
    def copy(self) -> Path:
        """The file, when it has arrived."""
        return self.out / "film.iso"

    @property
    def partial(self) -> Path:
        """What there is of it until then."""
        return self.out / PARTIAL

    @asynccontextmanager
    async def both(
        self,
        *options: str,
        send: Sequence[str] = (),
        receive: Sequence[str] = (),
        inside: tuple[Sequence[str], Sequence[str]] = ((), ()),
        env: dict[str, str] | None = None,
    ) -> AsyncIterator[Pair]:
        """Run both commands.

        Args:
            options: Of both.
            send: Of the one.
            receive: Of the other.
            inside: What to put in front of the one, and of the other.
            env: For both.
        """
        here = ("ip", "netns", "exec", self._wire) if self._wire else ()
        one, other = ((*here, *wrapper) for wrapper in inside)
        async with self.machine.send(self.film, *options, *send, wrapper=one, env=env) as sender:
            command = (await sender.code(), "-o", self.out, *options, *receive)
            async with self.machine.receive(*command, wrapper=other, env=env) as receiver:
                yield Pair(sender, receiver)

    async def arrived(self, count: int, receiver: Side) -> None:
        """Return when so many bytes are in the partial file, or the receiver has ended."""
        async with asyncio.timeout(LOOK_TIMEOUT):
            while self.length() < count and receiver.process.returncode is None:
                await asyncio.sleep(STEP)
                if self.copy.exists():
                    return

    def length(self) -> int:
        """Return the length of the partial file; 0 when there is none."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def there(self) -> int:
        """Return how many bytes of it, from the first on, are the source's."""
        if not self.partial.exists():
            return 0
        count = 0
        with self.partial.open("rb") as partial, self.film.open("rb") as film:
            while True:
                piece, right = partial.read(_PIECE), film.read(_PIECE)
                if not piece or piece != right[: len(piece)]:
                    return count + _common(piece, right)
                count += len(piece)

    async def go_on(self, *options: str, left: Sequence[str] = ()) -> Resumption:
        """Run both commands again, with a new code, and to a good end.

        Args:
            options: Of both.
            left: What may be in the folder beside the file.
        """
        there, before = self.there(), self._carried()
        async with self.both(*options) as pair:
            await pair.succeed()
        resumed = saved(pair.receiver)
        assert saved(pair.sender) == resumed, "both sides say the same"
        after = self._carried()
        carried = None if after is None or before is None else after - before
        self.check_whole(pair, left=left)
        result = Resumption(there=there, resumed=resumed, carried=carried)
        if carried is not None:
            assert carried < (self.size - resumed) * _HEADERS + _SET_UP, result
        return result

    async def go_on_spared(self, *options: str, left: Sequence[str] = ()) -> Resumption:
        """Go on, and see that at most a block travels that was there."""
        result = await self.go_on(*options, left=left)
        assert result.twice <= block_size_for(self.size), result
        return result

    def check_whole(self, pair: Pair, *, left: Sequence[str] = ()) -> None:
        """See that the file is there as it was sent, and nothing else is.

        Args:
            pair: The two that have brought it.
            left: What may be in the folder beside it.
        """
        assert self.is_whole()
        digest = digest_of(self.copy)
        assert [side.last()["blake3"] for side in (pair.sender, pair.receiver)] == [digest] * 2
        assert set(listing(self.out)) == {"film.iso", *left}
        self.check_gone()

    def is_whole(self) -> bool:
        """Return whether the file has arrived as it is."""
        return digest_of(self.copy) == digest_of(self.film)

    def check_gone(self) -> None:
        """See that no process of this test is alive."""
        assert processes_of(self.machine) == []

    def start_anew(self) -> None:
        """Forget what has arrived."""
        for name in (self.copy.name, *OURS):
            (self.out / name).unlink(missing_ok=True)

    def _carried(self) -> int | None:
        """Return how many bytes the loopback of the namespace has carried."""
        if self._wire is None:
            return None
        command = ("ip", "netns", "exec", self._wire, "cat", "/proc/net/dev")
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        line = next(line for line in text.splitlines() if line.strip().startswith("lo:"))
        return int(line.split()[1])


def saved(side: Side) -> int:
    """Return how many bytes a side says that it was spared."""
    return sum(event["bytes"] for event in side.events if event["event"] == "resumed")


def digest_of(path: Path) -> str:
    """Return the BLAKE3 digest of a file."""
    return blake3().update_mmap(path).hexdigest()


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes are the same, from the first on."""
    differ = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def processes_of(machine: Machine) -> list[str]:
    """Return the command lines of processes that were started for a machine and are alive."""
    mark = f"XDG_RUNTIME_DIR={machine.folder}/run".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # has ended, or somebody else's
            continue
    return found
