"""The source changes between two runs."""

import pytest

from tests.faults.scene import Scene
from tests.faults.sources import Change, appended, change, one_byte_changed, touched

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("how", [touched, one_byte_changed, appended], ids=lambda how: how.__name__)
async def test_changed_between_two_runs(scene: Scene, how: Change) -> None:
    await change(scene, how)
