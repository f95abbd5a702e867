"""The receiver's disk: it fills up, nothing may be put into the folder, the folder goes away."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from tests.e2e.processes import listing
from tests.faults.scene import OURS, Resumption, Scene

SPARE: Final = 8 << 20  # bytes that the disk has more than the file
SLOWLY: Final = ("--limit", "32M")  # seconds in which something can happen
Cure = Literal["other file removed", "disk made larger"]
CURES: Final[tuple[Cure, ...]] = ("other file removed", "disk made larger")
# Root that may not write whatever it likes.
ORDINARY: Final = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")


@contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[None]:
    """Have a file system of that size at a folder."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "rtcsend-faults", folder)
    try:
        yield
    finally:
        _run("umount", "--lazy", folder)


async def fill(scene: Scene, cure: Cure) -> Resumption:
    """Let the disk become full amid the file; make room, and go on."""
    filler = scene.out / "filler"
    with small_disk(scene.out, size=scene.size + SPARE):
        async with scene.both(*SLOWLY) as pair:
            await scene.arrived(scene.size // 3, pair.receiver)
            _write_until_full(filler)
            theirs, ours = await pair.fail(sender="cannot-write", receiver="cannot-write")
        assert theirs == "The receiver has no space left for film.iso."
        assert ours == f"No space left for film.iso in {scene.out}."
        assert set(listing(scene.out)) == {*OURS, filler.name}
        scene.check_gone()
        if cure == "disk made larger":
            _run("mount", "-o", f"remount,size={2 * scene.size + SPARE}", scene.out)
            return await scene.go_on_spared(left=[filler.name])
        filler.unlink()
        return await scene.go_on_spared()


async def forbid(scene: Scene) -> Resumption:
    """Make the folder read-only amid the file; what has come stays, and is enough later."""
    async with scene.both(*SLOWLY, inside=((), ORDINARY)) as pair:
        await scene.arrived(scene.size // 2, pair.receiver)
        scene.out.chmod(0o555)
        theirs, ours = await pair.fail(sender="cannot-write", receiver="cannot-write")
    assert theirs == "The receiver cannot write film.iso: Permission denied."
    assert "Permission denied" in ours
    assert set(listing(scene.out)) == set(OURS)
    scene.out.chmod(0o755)
    result = await scene.go_on_spared()
    assert result.resumed == scene.size
    return result


async def remove(scene: Scene) -> Resumption:
    """Remove the folder with what is in it amid the file; it begins anew in a new one."""
    async with scene.both(*SLOWLY) as pair:
        await scene.arrived(scene.size // 2, pair.receiver)
        shutil.rmtree(scene.out)
        await pair.fail(sender="cannot-write", receiver="cannot-write")
    assert not scene.out.exists()
    scene.out.mkdir()
    result = await scene.go_on()
    assert result.resumed == 0
    return result


async def move(scene: Scene) -> Path:
    """Give the folder another name amid the file; return where the file is then."""
    elsewhere = scene.out.with_name("moved")
    async with scene.both(*SLOWLY) as pair:
        await scene.arrived(scene.size // 2, pair.receiver)
        scene.out.rename(elsewhere)
        await pair.succeed()
    scene.check_gone()
    return elsewhere


def _write_until_full(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
