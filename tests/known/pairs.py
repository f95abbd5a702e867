"""Two machines in one process: each with keys of its own, paired as a real pairing leaves them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rtcsend.known.record import Machine
from rtcsend.known.store import Store
from rtcsend.meeting.known_receiving import Doors, Guest
from rtcsend.meeting.known_sending import come_to
from rtcsend.meeting.met import Met
from rtcsend.options import SendOptions

SECRET = bytes(range(32))
STEP = 90.0  # seconds for any single thing to happen; the machine may be busy


def store_in(folder: Path) -> Store:
    return Store(folder / "rtcsend")


def acquaint(one: Store, name: str, other: Store, *, secret: bytes = SECRET) -> None:
    """Have ``one`` know ``other`` by a name."""
    key = other.identity().public_key().public_bytes_raw()
    one.add(Machine(name=name, key=key, secret=secret, paired=1_000))


@dataclass
class Pair:
    """A desktop that sends and a laptop that receives."""

    folder: Path
    server: str | None
    token: str | None = None

    def __post_init__(self) -> None:
        self.desktop = store_in(self.folder / "desktop")
        self.laptop = store_in(self.folder / "laptop")
        acquaint(self.desktop, "laptop", self.laptop)
        acquaint(self.laptop, "desktop", self.desktop)
        self.waits = asyncio.Event()
        """Set when a sender says that it waits."""
        self.waits_at_doors = asyncio.Event()
        self.refusals: list[str] = []

    @asynccontextmanager
    async def sending(self, *, patience: float = STEP) -> AsyncIterator[Met]:
        """Come to the laptop, from the desktop."""
        options = SendOptions(
            paths=(), to="laptop", server=self.server, timeout=patience, token=self.token
        )
        emit = lambda _event: self.waits.set()  # noqa: E731 - nothing else is told
        async with come_to(options, store=self.desktop, emit=emit) as met:
            yield met

    def doors(self, names: Sequence[str] | None = ("desktop",), *, at_once: int = 1) -> Doors:
        """Have the laptop wait."""
        return Doors(
            self.laptop,
            names=names,
            server=self.server,
            token=self.token,
            at_once=at_once,
            on_waiting=self.waits_at_doors.set,
            on_refusal=None if names else lambda name, _error: self.refusals.append(name),
        )


async def both(sender: Met, guest: Guest) -> None:
    """Say something both ways in the room of the two."""
    await sender.mailbox.send(b"from the sender")
    await guest.met.mailbox.send(b"from the receiver")
    assert await guest.met.mailbox.receive_body() == b"from the sender"
    assert await sender.mailbox.receive_body() == b"from the receiver"
    assert sender.keys == guest.met.keys


def private_runtime(folder: Path) -> dict[str, str]:
    """Return the environment in which the two find each other, and nobody else."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(folder), "RTCSEND_DISCOVERY": "local"}
