"""The path dies, heals, or becomes another one, amid a file: it goes on by itself."""

from collections.abc import Iterator

import pytest

from rtcsend.blocks import BLOCK_SIZE
from tests.e2e.processes import Machine
from tests.faults.network import Networked
from tests.lab import Kind, Lab
from tests.lab.required import require_lab

pytestmark = [pytest.mark.e2e, pytest.mark.lab]


@pytest.fixture
def networked(machine: Machine) -> Iterator[Networked]:
    require_lab()
    with Lab() as lab:
        yield Networked(lab, machine, seconds=4)


async def test_the_link_is_cut_for_two_seconds(networked: Networked) -> None:
    """Nobody has to meet again for that."""
    site = networked.lab.a
    fault = await networked.happen(site.cut, site.heal, seconds=2)
    assert (fault.losses, fault.twice) == (0, 0)


@pytest.mark.coturn
async def test_the_nat_forgets_and_gets_another_address(networked: Networked) -> None:
    turn = networked.lab.turn()
    networked.lab.a.kind = Kind.PORT_RESTRICTED
    fault = await networked.happen(
        lambda: networked.lab.a.rebind(address=True),
        options=("--ice", turn.stun_url()),
    )
    assert fault.losses <= 1  # none while better pairs are still looked for: one is found
    assert fault.twice <= BLOCK_SIZE


@pytest.mark.coturn
async def test_the_relay_is_killed_and_comes_back(networked: Networked) -> None:
    turn = networked.lab.turn()
    fault = await networked.happen(
        lambda: networked.lab.kill("turn"),
        lambda: networked.lab.start_again("turn"),
        seconds=None,
        options=("--relay-only", "--ice", turn.ice_url()),
        env=turn.environment,
    )
    assert fault.losses == 1
    assert fault.twice <= BLOCK_SIZE


async def test_one_side_sleeps(networked: Networked) -> None:
    fault = await networked.asleep("sender", seconds=11)
    assert fault.losses >= 1
    assert fault.twice <= BLOCK_SIZE
