"""The rendezvous is killed and starts again, with no memory of the two."""

from collections.abc import Iterator

import pytest

from tests.e2e.processes import Machine
from tests.faults.network import Networked
from tests.faults.servers import while_pairing, while_waiting
from tests.lab import Lab
from tests.lab.required import require_lab

pytestmark = [pytest.mark.e2e, pytest.mark.lab]


@pytest.fixture
def networked(machine: Machine) -> Iterator[Networked]:
    require_lab()
    with Lab() as lab:
        yield Networked(lab, machine, seconds=4)


async def test_while_the_sender_waits(networked: Networked) -> None:
    await while_waiting(networked)


async def test_while_the_two_pair(networked: Networked) -> None:
    pair = await while_pairing(networked)
    for side in (pair.sender, pair.receiver):
        error = await side.fails("no-such-code")
        assert error["exit"] == 12
    assert "no longer has this mailbox" in (await pair.sender.fails("no-such-code"))["message"]
