"""A hostile sender of a stream or a text, and a hostile receiver of a stream."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.stream_tricks import STREAM_TRICKS
from tests.e2e.hostile.trick import Play, Trick
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing
from tests.transfer.wire import accept, have, written

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

SENT = 50_000  # bytes that are in the pipe


@pytest.mark.parametrize("trick", STREAM_TRICKS, ids=str)
async def test_sender(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    before = listing(machine.folder)
    await forks.receive(machine, rendezvous, out, trick)
    assert listing(machine.folder) == before


@pytest.fixture
def pipe(machine: Machine) -> Iterator[Path]:
    """A named pipe with some bytes in it, whose writer does not go."""
    path = machine.folder / "pipe"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    os.write(fd, bytes(SENT))
    yield path
    with suppress(OSError):
        os.close(fd)


async def read_all(peer: Peer) -> None:
    received = 0
    while received < SENT:
        message = await peer.channels.receive()
        received += len(message) - 16 if isinstance(message, bytes) else 0


def back(start: int) -> Play:
    """Acknowledge all, lose the connection, and want some of it again."""

    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        await peer.say(accept(0))
        await read_all(peer)
        await peer.say(written(SENT))
        await peer.hear("ping")  # it has read that
        await peer.meet_again()
        await peer.hear("proposal")
        await peer.say(accept(0, start=start))

    return play


def answers(*texts: str) -> Play:
    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        await peer.say(*texts)

    return play


@pytest.mark.parametrize(
    "trick",
    [
        Trick(name="from the beginning", play=back(0), sentence="wants again what it said"),
        Trick(name="one byte back", play=back(SENT - 1), sentence="wants again what it said"),
        Trick(name="beyond what there was", play=back(SENT + 1), sentence="never sent"),
        Trick(name="a size", play=answers(accept(5)), sentence="does not add up"),
        Trick(name="blocks", play=answers(accept(0, blocks=1)), sentence="more blocks than"),
        Trick(
            name="digests",
            play=answers(accept(0), have(0, bytes(32))),
            sentence="other blocks than it offered",
        ),
    ],
    ids=str,
)
async def test_receiver(
    machine: Machine, pipe: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    await forks.send(machine, rendezvous, pipe, trick)
