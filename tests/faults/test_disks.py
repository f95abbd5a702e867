"""A disk that fills, and folders that are closed, removed or moved, amid a file."""

import os

import pytest

from tests.faults.disks import CURES, Cure, fill, forbid, move, remove
from tests.faults.scene import Scene, digest_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="drops rights or mounts: root on Linux"),
]


@pytest.mark.parametrize("cure", CURES)
async def test_a_disk_that_fills_and_then_has_room(scene: Scene, cure: Cure) -> None:
    result = await fill(scene, cure)
    assert result.resumed > 0


async def test_a_folder_that_nothing_may_be_put_into(scene: Scene) -> None:
    await forbid(scene)


async def test_a_folder_that_is_removed(scene: Scene) -> None:
    await remove(scene)


async def test_a_folder_that_is_moved(scene: Scene) -> None:
    folder = await move(scene)
    assert digest_of(folder / "film.iso") == digest_of(scene.film)
