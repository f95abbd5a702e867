"""A hostile receiver, and ``rtcsend send``: a clean error, soon and small, or its own loss."""

from pathlib import Path

import pytest

from rtcsend.blocks import BLOCK_SIZE
from tests.e2e.hostile.nonsense import HARMLESS, NONSENSE
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.receiver_tricks import (
    ACCEPT,
    NARROW,
    RECEIVER_TRICKS,
    SIZE,
    answer,
    receive_honestly,
    right_digests,
)
from tests.e2e.hostile.trick import Play, Trick, says
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, random_file
from tests.transfer.wire import have, written

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", SIZE)


@pytest.mark.parametrize("trick", [*NONSENSE, *RECEIVER_TRICKS], ids=str)
async def test_trick(
    machine: Machine, film: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    await forks.send(machine, rendezvous, film, trick)


NOTHING_WRITTEN = says(NARROW, *[written(0)] * 30_000)


@pytest.mark.parametrize(
    ("prelude", "accepting"),
    [*((play, ACCEPT) for play in HARMLESS), (NOTHING_WRITTEN, written(0))],
)
async def test_harmless(
    *,
    machine: Machine,
    film: Path,
    forks: ForkServer,
    rendezvous: str,
    prelude: Play,
    accepting: str,
) -> None:
    frames: dict[int, bytes] = {}

    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        await prelude(peer)
        frames.update(await receive_honestly(peer, accepting))

    await forks.send(machine, rendezvous, film, play)
    assert content(frames) == read(film)


def read(path: Path) -> bytes:
    return path.read_bytes()


def content(frames: dict[int, bytes]) -> bytes:
    return b"".join(frames[offset] for offset in sorted(frames))


async def test_digests_that_lie_save_nothing(
    machine: Machine, film: Path, forks: ForkServer, rendezvous: str
) -> None:
    """Every block travels but the one whose digest is right."""
    whole = read(film)
    right = right_digests(whole)

    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        lies = have(0, bytes(32), right[1], right[0])
        frames = await receive_honestly(peer, answer(blocks=3), lies)
        assert content(frames) == whole[:BLOCK_SIZE] + whole[2 * BLOCK_SIZE :]

    await forks.send(machine, rendezvous, film, play)


async def test_digests_of_what_is_not_there_are_its_own_loss(
    machine: Machine, film: Path, forks: ForkServer, rendezvous: str
) -> None:
    right = have(0, *right_digests(read(film)))

    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        assert await receive_honestly(peer, answer(blocks=3), right) == {}

    await forks.send(machine, rendezvous, film, play)


def again(second: str) -> Play:
    """Accept, lose the connection, and answer otherwise."""

    async def play(peer: Peer) -> None:
        first = await peer.hear("proposal")
        await peer.hear("entries")
        await peer.say(NARROW)
        while not isinstance(await peer.channels.receive(), bytes):
            pass  # it knows the answer
        await peer.meet_again()
        assert await peer.hear("proposal") == {**first, "repeated": True}
        await peer.say(second)

    return play


@pytest.mark.parametrize(
    "trick",
    [
        Trick(name="all", play=again(answer(start=SIZE)), sentence="never sent"),
        Trick(name="a block", play=again(answer(start=65_536 + BLOCK_SIZE)), sentence="never sent"),
        Trick(name="blocks", play=again(answer(blocks=4)), sentence="more blocks than there are"),
        Trick(name="another selection", play=again(answer(bytes=1)), sentence="does not add up"),
    ],
    ids=str,
)
async def test_after_a_reconnection(
    machine: Machine, film: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    await forks.send(machine, rendezvous, film, trick)
