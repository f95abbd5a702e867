"""A hostile sender of folders, and ``rtcsend receive``: a clean error, small, and nothing left."""

from pathlib import Path

import pytest

from tests.e2e.hostile.tree_tricks import FILES, TREE_TRICKS, send_honestly
from tests.e2e.hostile.trick import Trick
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]


@pytest.mark.parametrize("trick", TREE_TRICKS, ids=str)
async def test_trick(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    before = listing(machine.folder)
    await forks.receive(machine, rendezvous, out, trick)
    assert listing(machine.folder) == before


async def test_an_honest_one(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    """That the tricks above differ from this by their tricks alone."""
    await forks.receive(machine, rendezvous, out, send_honestly)
    found = {path: (out / path).read_bytes() for path in FILES}
    assert found == FILES
