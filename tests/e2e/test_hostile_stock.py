"""What ends plain aiortc, or hangs it, as it comes: against commands that run on it.

All other hostile peers meet them in ``make test-stock``.
"""

from pathlib import Path

import pytest

from tests.e2e.hostile.nonsense import NONSENSE, oddities
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.receiver_tricks import ACCEPT, SIZE, receive_honestly
from tests.e2e.hostile.sender_tricks import send_honestly, then
from tests.e2e.hostile.trick import Trick
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing, random_file

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hostile,
    pytest.mark.parametrize("datapath", ["stock"], indirect=True),
]

BENT = [each for each in NONSENSE if each.name in ("no UTF-8", "a message of 4 MiB")]


@pytest.mark.parametrize("trick", BENT, ids=str)
async def test_a_sender(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    before = listing(machine.folder)
    await forks.receive(machine, rendezvous, out, trick)
    assert listing(machine.folder) == before


@pytest.mark.parametrize("trick", BENT, ids=str)
async def test_a_receiver(
    machine: Machine, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    film = random_file(machine.folder / "film.iso", SIZE)
    await forks.send(machine, rendezvous, film, trick)


async def test_channels_that_nobody_wanted(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    await forks.receive(machine, rendezvous, out, then(oddities, send_honestly))
    assert listing(out) == ["film.iso"]


async def test_channels_that_nobody_wanted_of_a_receiver(
    machine: Machine, forks: ForkServer, rendezvous: str
) -> None:
    film = random_file(machine.folder / "film.iso", SIZE)

    async def play(peer: Peer) -> None:
        await peer.hear("entries")
        await oddities(peer)
        await receive_honestly(peer, ACCEPT)

    await forks.send(machine, rendezvous, film, play)
