from pathlib import Path

import pytest

from tests.e2e.processes import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
