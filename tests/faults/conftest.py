from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Machine
from tests.faults.scene import Scene

SIZE = 64 << 20  # bytes; the runner takes half a gigabyte


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.check()


@pytest.fixture
def scene(machine: Machine) -> Scene:
    return Scene(machine, size=SIZE)
