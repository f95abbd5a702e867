"""The time of day is wrong, or moves: nothing depends on it."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.clocks import YEAR, Clock, jump, wrong
from tests.faults.scene import Scene

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None,
        reason="a clock of one process takes Linux and a C compiler",
    ),
]


def test_the_clock_moves(tmp_path: Path) -> None:
    clock = Clock(tmp_path, "test")
    today = clock.now()
    clock.set(YEAR)
    assert clock.now() - today >= YEAR
    clock.set(-YEAR)
    assert clock.now() - today < 0


@pytest.mark.parametrize(("sender", "receiver"), [(-20 * YEAR, 10 * YEAR)])
async def test_clocks_that_are_wrong(scene: Scene, sender: int, receiver: int) -> None:
    await wrong(scene, sender=sender, receiver=receiver)


async def test_clocks_that_are_set_amid_the_file(scene: Scene) -> None:
    await jump(scene)
