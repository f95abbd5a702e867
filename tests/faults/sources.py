"""The sender's file changes between two runs: what arrives is what it is now, never a mixture."""

import os
from collections.abc import Callable
from typing import Final

from rtcsend.blocks import BLOCK_SIZE
from tests.e2e.processes import listing, random_file
from tests.faults.kills import end_one
from tests.faults.scene import JOURNAL, OURS, PARTIAL, Resumption, Scene

SHARE: Final = 0.6  # of the file that has come before the first run is killed

Change = Callable[[Scene], None]


def touched(scene: Scene) -> None:
    """It gets another time, and nothing else."""
    os.utime(scene.film, (1_000_000_000, 1_000_000_000))


def replaced_by_a_copy(scene: Scene) -> None:
    """It is another file with the same content."""
    copy = scene.film.with_suffix(".copy")
    copy.write_bytes(scene.film.read_bytes())
    copy.replace(scene.film)


def one_byte_changed(scene: Scene) -> None:
    """A byte in the middle of what has come is another one; the time stays as it was."""
    facts = scene.film.stat()
    with scene.film.open("r+b") as film:
        film.seek(scene.size // 4)
        byte = film.read(1)[0]
        film.seek(scene.size // 4)
        film.write(bytes([byte ^ 1]))
    os.utime(scene.film, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def appended(scene: Scene) -> None:
    """It becomes longer."""
    with scene.film.open("ab") as film:
        film.write(b"more" * BLOCK_SIZE)


def truncated(scene: Scene) -> None:
    """It becomes shorter."""
    os.truncate(scene.film, scene.size // 2 + 5)


def replaced(scene: Scene) -> None:
    """It is another file of the same name and size."""
    random_file(scene.film, scene.size, seed=2)


KEPT: Final[dict[Change, int | None]] = {
    touched: 0,
    replaced_by_a_copy: 0,
    one_byte_changed: 1,
}
"""What changes nothing, or little, and how many blocks it changes."""
NOT_KEPT: Final[tuple[Change, ...]] = (appended, truncated, replaced)
"""After these nothing of what has come is needed."""


async def change(scene: Scene, how: Change) -> Resumption:
    """Kill the receiver amid the file, change the source, and start both again."""
    async with scene.both() as pair:
        await scene.arrived(int(scene.size * SHARE), pair.receiver)
        await end_one(pair, "receiver")
    assert set(listing(scene.out)) == set(OURS)
    length = scene.length()
    how(scene)
    scene.size = scene.film.stat().st_size
    # What belongs to another size stays: that content may come again.
    left = [JOURNAL, PARTIAL] if how in (appended, truncated) else []
    result = await scene.go_on(left=left)
    if how in KEPT:
        whole = length // BLOCK_SIZE
        assert result.resumed == (whole - (KEPT[how] or 0)) * BLOCK_SIZE
    else:
        assert result.resumed == 0
    return result
