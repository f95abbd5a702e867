"""A hostile sender, and ``rtcsend receive``: a clean error, soon, small, and nothing left."""

from pathlib import Path

import pytest

from tests.e2e.hostile.nonsense import HARMLESS, NONSENSE
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.sender_tricks import (
    CONTENT,
    SENDER_TRICKS,
    bring_to_its_end,
    entry,
    offer,
    send_honestly,
    then,
)
from tests.e2e.hostile.trick import Play, Trick
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

TINY = 40_000  # bytes that come in frames of ten


@pytest.mark.parametrize("trick", [*NONSENSE, *SENDER_TRICKS], ids=str)
async def test_trick(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    before = listing(machine.folder)
    await forks.receive(machine, rendezvous, out, trick)
    assert listing(machine.folder) == before


async def tiny_frames(peer: Peer) -> None:
    await peer.say(*offer(entry()))
    await peer.hear("accept")
    await peer.content(CONTENT[:TINY], size=10)
    await peer.content(CONTENT[TINY:], start=TINY)
    await bring_to_its_end(peer)


@pytest.mark.parametrize("play", [*(then(one, send_honestly) for one in HARMLESS), tiny_frames])
async def test_harmless(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, play: Play
) -> None:
    await forks.receive(machine, rendezvous, out, play)
    assert (out / "film.iso").read_bytes() == CONTENT
    assert listing(out) == ["film.iso"]
