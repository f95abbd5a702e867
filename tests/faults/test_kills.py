"""Either side killed amid the file, and both started again: what was there does not travel."""

from collections.abc import Iterator

import pytest

from tests.e2e.processes import Machine
from tests.fakes.namespaces import hosts, require_namespaces
from tests.faults.conftest import SIZE
from tests.faults.kills import kill, kill_repeatedly
from tests.faults.scene import Scene

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def alone(machine: Machine) -> Iterator[Scene]:
    """A scene on a machine of which nobody else uses the network."""
    require_namespaces()
    with hosts(1) as (host,):
        yield Scene(machine, size=SIZE, wire=host.name)


@pytest.mark.lab
@pytest.mark.parametrize("who", ["sender", "receiver"])
@pytest.mark.parametrize("seed", [0, 1])
async def test_killed_and_started_again(alone: Scene, who: str, seed: int) -> None:
    await kill(alone, who=who, seed=seed)


async def test_killed_again_and_again(scene: Scene) -> None:
    results = await kill_repeatedly(scene, times=3, seed=1)
    assert all(result.twice <= 1 << 20 for result in results), results
    assert results[-1].resumed > 0
