"""Files: not readable, changed while they are sent, in the way, unwanted, or without space."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rtcsend.blocks import BLOCK_SIZE
from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

PARTIAL = ".film.iso.rtcsend-partial"
JOURNAL = ".film.iso.rtcsend-journal"
SIZE = 4_000_000
SLOW = ("--limit", "2M")  # two seconds for SIZE

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops rights or mounts: root on Linux")
# Root that may not read and write whatever it likes.
ORDINARY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def tmpfs(out: Path) -> Iterator[Path]:
    """Mount a file system of 3 MB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs", str(out)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr}")
    yield out
    subprocess.run(["umount", "--lazy", str(out)], check=True)


def missing(path: Path) -> None:
    """Leave it out."""


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def locked(path: Path) -> None:
    path.touch(mode=0)


def locked_folder(path: Path) -> None:
    path.parent.mkdir(mode=0)


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("film.iso", missing, "There is no file"),
        ("film.iso", device, "is not a regular file"),
        ("\x1b[2J", missing, "There is no file"),
        ("x" * 300, missing, "name too long"),
        pytest.param("film.iso", locked, "Permission denied", marks=needs_root),
        pytest.param("locked/film.iso", locked_folder, "Permission denied", marks=needs_root),
    ],
)
async def test_what_cannot_be_read(
    machine: Machine, name: str, make: Callable[[Path], object], sentence: str
) -> None:
    path = machine.folder / name
    make(path)
    wrapper = ORDINARY if sentence == "Permission denied" else ()
    async with machine.send(path, wrapper=wrapper) as sender:
        error = await sender.fails("cannot-read")
    assert error["exit"] == 50
    assert sentence in error["message"]
    assert sender.names() == ["error"]  # and no code


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def truncate(path: Path) -> None:
    os.truncate(path, 1_000)


def replace(path: Path) -> None:
    random_file(path.with_suffix(".new"), SIZE).replace(path)


@pytest.mark.parametrize("change", [append, truncate, replace, Path.unlink])
async def test_a_file_that_changes_while_it_is_sent(
    machine: Machine, out: Path, change: Callable[[Path], object]
) -> None:
    film = random_file(machine.folder / "film.iso", SIZE)
    async with machine.send(film, *SLOW) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            await receiver.moving()
            change(film)
            error = await sender.fails("cannot-read")
            assert error["exit"] == 50
            assert "film.iso changed" in error["message"]
            assert error["hint"] == "Send it again when it is at rest."
            error = await receiver.fails("aborted")
            assert error["exit"] == 41
            assert "film.iso changed while it was sent" in error["message"]
    assert set(listing(out)) <= {PARTIAL, JOURNAL}  # what is whole is kept for the next time


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_a_target_that_exists_without_a_terminal(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 10_000)
    (out / "film.iso").write_text("old")
    async with machine.send(film) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            error = await receiver.fails("exists")
            assert error["exit"] == 53
            assert "--overwrite" in error["hint"]
            error = await sender.fails("declined")
            assert error["exit"] == 40
            assert "exists" in error["message"]
            assert str(out) not in error["message"]  # nobody's business
    assert listing(out) == ["film.iso"]
    assert (out / "film.iso").read_text() == "old"


@pytest.mark.parametrize(
    ("option", "content", "sent"),
    [
        ("--overwrite", {"film.iso": "new"}, True),
        ("--rename", {"film.iso": "old", "film (1).iso": "new"}, True),
        ("--skip", {"film.iso": "old"}, False),
    ],
)
async def test_what_to_do_about_it(
    *, machine: Machine, out: Path, option: str, content: dict[str, str], sent: bool
) -> None:
    film = machine.folder / "film.iso"
    film.write_text("new")
    (out / "film.iso").write_text("old")
    async with machine.send(film) as sender:
        async with machine.receive(await sender.code(), "-o", out, option) as receiver:
            for side in (receiver, sender):
                done = await side.succeeds()
                assert (done["files"], bool(done["blake3"])) == ((1, True) if sent else (0, False))
    assert contents(out) == content


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--max-size", "9999"], "9999"), (["--accept-glob", "*.txt", "--accept-glob", "b*"], "film")],
)
async def test_what_is_not_wanted(
    machine: Machine, out: Path, options: list[str], sentence: str
) -> None:
    film = random_file(machine.folder / "film.iso", 10_000)
    async with machine.send(film) as sender:
        async with machine.receive(await sender.code(), "-o", out, *options) as receiver:
            for side in (receiver, sender):
                error = await side.fails("declined")
                assert error["exit"] == 40
                assert sentence in error["message"]
    assert receiver.names() == ["paired", "connected", "proposal", "error"]
    assert listing(out) == []


async def test_an_output_folder_that_is_missing_is_said_before_anybody_is_asked(
    machine: Machine,
) -> None:
    output = machine.folder / "missing" / "film.iso"
    async with machine.receive("7-guitar-velvet", "-o", output) as receiver:
        error = await receiver.fails("cannot-write")  # and not that there is no sender
    assert error["exit"] == 51
    assert "does not exist" in error["message"]
    assert not output.parent.exists()


@pytest.fixture
def read_only(out: Path) -> Path:
    out.chmod(0o555)
    return out


@needs_root
async def test_a_folder_that_cannot_be_written(machine: Machine, read_only: Path) -> None:
    film = random_file(machine.folder / "film.iso", 10_000)
    async with machine.send(film) as sender:
        command = (await sender.code(), "-o", read_only)
        async with machine.receive(*command, wrapper=ORDINARY) as receiver:
            for side in (receiver, sender):
                error = await side.fails("cannot-write")
                assert error["exit"] == 51
    assert listing(read_only) == []


@needs_root
async def test_no_space_is_said_before_accepting(machine: Machine, tmpfs: Path) -> None:
    film = random_file(machine.folder / "film.iso", SIZE)
    async with machine.send(film) as sender:
        async with machine.receive(await sender.code(), "-o", tmpfs) as receiver:
            for side in (receiver, sender):
                error = await side.fails("cannot-write")
                assert error["exit"] == 51
                assert "space" in error["message"]
    assert "progress" not in {event["event"] for event in receiver.events}
    assert listing(tmpfs) == []


@needs_root
async def test_a_disk_that_fills_meanwhile(machine: Machine, tmpfs: Path) -> None:
    film = random_file(machine.folder / "film.iso", 2_500_000)
    async with machine.send(film, *SLOW) as sender:
        async with machine.receive(await sender.code(), "-o", tmpfs) as receiver:
            await receiver.moving(BLOCK_SIZE)
            await asyncio.to_thread(fill, tmpfs / "other")
            for side in (receiver, sender):
                error = await side.fails("cannot-write")
                assert error["exit"] == 51
                assert "space" in error["message"].lower()
    assert listing(tmpfs) == [JOURNAL, PARTIAL, "other"]
    partial = (tmpfs / PARTIAL).read_bytes()
    assert len(partial) >= BLOCK_SIZE
    assert film.read_bytes().startswith(partial)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
