"""The time of day is wrong, on one side or the other, or is set while a file is under way.

The machine's own clock is never touched. Each process gets a C library in front of its own
(``clock.c``) which adds a number of seconds to what programs take for the time of day; the number
is read from a file at each call, and so can change amid the transfer.
"""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.faults.kills import end_one
from tests.faults.scene import Pair, Resumption, Scene, saved

SOURCE: Final = Path(__file__).with_name("clock.c")
YEAR: Final = 365 * 86_400  # seconds
JUMPS: Final = (86_400, -86_400, 3, -YEAR, YEAR)  # seconds
LIMIT: Final = 16_000_000  # bytes a second, so that it lasts for some jumps


class Clock:
    """The time of day of one process.

    Args:
        folder: For the library and the number.
        name: Of the process, unique in the folder.
        seconds: That it is ahead at first.
    """

    def __init__(self, folder: Path, name: str, *, seconds: int = 0) -> None:
        self._file = folder / f"clock-{name}"
        self.set(seconds)
        self.wrapper = (
            "env",
            f"LD_PRELOAD={compiled(folder)}",
            f"RTCLAB_CLOCK={self._file}",
        )

    def set(self, seconds: int) -> None:
        """Be so far ahead from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)

    def now(self) -> float:
        """Return what a process with this clock takes for the time."""
        command = (*self.wrapper, sys.executable, "-c", "import time; print(time.time())")
        return float(subprocess.run(command, check=True, capture_output=True).stdout)


async def wrong(scene: Scene, *, sender: int, receiver: int) -> Resumption:
    """Run with clocks that are so many seconds ahead; kill one side, and go on without."""
    clocks = [
        Clock(scene.machine.folder, name, seconds=seconds)
        for name, seconds in (("sender", sender), ("receiver", receiver))
    ]
    async with scene.both(inside=(clocks[0].wrapper, clocks[1].wrapper)) as pair:
        await scene.arrived(scene.size // 2, pair.receiver)
        await end_one(pair, "sender")
    return await scene.go_on_spared()


async def jump(scene: Scene) -> Pair:
    """Set both clocks forward and back amid the file; nobody loses the connection by it."""
    clocks = [Clock(scene.machine.folder, name) for name in ("sender", "receiver")]
    inside = (clocks[0].wrapper, clocks[1].wrapper)
    async with scene.both("--limit", str(LIMIT), inside=inside) as pair:
        for number, seconds in enumerate(JUMPS, start=1):
            await pair.receiver.moving(scene.size * number // (len(JUMPS) + 1))
            clocks[number % 2].set(seconds)
        await pair.succeed()
    scene.check_whole(pair)
    assert "reconnecting" not in pair.sender.names() + pair.receiver.names()
    assert saved(pair.receiver) == 0
    for side in (pair.sender, pair.receiver):
        assert 0 < side.last()["seconds"] < max(JUMPS), "it was not measured by that clock"
    return pair


def compiled(folder: Path) -> Path:
    """Return the library, compiled if it was not yet."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = folder / f"clock-{digest}.so"
    if not library.exists():
        command = ("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        subprocess.run([*command, "-o", library, SOURCE], check=True, capture_output=True)
    return library
