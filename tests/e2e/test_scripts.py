"""What scripts rely on: they wait, give up, and leave behind what they were asked to."""

import signal
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"


@pytest.fixture
def photos(machine: Machine) -> Path:
    """A folder with two files, one of them deeper, and one that has nothing in it."""
    folder = machine.folder / "photos"
    (folder / "2024").mkdir(parents=True)
    random_file(folder / "2024" / "beach.jpg", 3_000_000)
    random_file(folder / "line\nfeed", 1000)
    (folder / "empty").touch()
    return folder


def digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


async def test_the_receiver_may_be_first(machine: Machine, out: Path, rendezvous: str) -> None:
    film = random_file(machine.folder / "film.iso", 1000)
    args = ("--server", rendezvous)
    async with machine.run(
        "receive", "-y", "--wait", "60", CODE, "-o", out, "--print-path", *args
    ) as receiver:
        await receiver.stderr_has("There is no such code yet. Looking again…")
        async with machine.send(film, "--code", CODE, *args) as sender:
            await sender.succeeds()
        assert await receiver.exit() == 0
    assert receiver.stdout == [str(out / "film.iso")]


async def test_nearby_too(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 1000)
    async with machine.receive("--wait", "60", CODE, "-o", out, "-v") as receiver:
        async with machine.send(film, "--code", CODE) as sender:
            await sender.succeeds()
        await receiver.succeeds()


async def test_it_does_not_wait_for_ever(machine: Machine, out: Path) -> None:
    async with machine.receive("--wait", "0.2", CODE, "-o", out) as receiver:
        await receiver.fails("rendezvous-unreachable")


async def test_checksums_are_the_same_on_both_sides(
    machine: Machine, photos: Path, out: Path
) -> None:
    ours, theirs = machine.folder / "ours", machine.folder / "theirs"
    async with machine.send(photos, "--checksums", ours) as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out, "--checksums", theirs) as receiver:
            done = await receiver.succeeds()
        await sender.succeeds()
    # The receiver's has the names as they are stored.
    stored = theirs.read_text().replace("/line_feed", "/line\\nfeed")
    assert sorted(line.lstrip("\\") for line in ours.read_text().splitlines()) == sorted(
        stored.splitlines()
    )
    lines = {
        f"{digest(photos / '2024/beach.jpg')}  photos/2024/beach.jpg",
        f"\\{digest(photos / ('line' + chr(10) + 'feed'))}  photos/line\\nfeed",
        f"{digest(photos / 'empty')}  photos/empty",
    }
    assert set(ours.read_text().splitlines()) == lines
    assert done["files"] == 3


async def test_checksums_of_one_file(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 1000)
    sums = machine.folder / "SUMS"
    async with machine.send(film) as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out / "other.iso", "--checksums", sums) as receiver:
            await receiver.succeeds()
        await sender.succeeds()
    assert sums.read_text() == f"{digest(film)}  other.iso\n"


async def test_checksums_that_cannot_be_written_are_told_before_anybody_is_contacted(
    machine: Machine, photos: Path
) -> None:
    async with machine.send(photos, "--checksums", "nowhere/SUMS") as sender:
        await sender.fails("cannot-write")
    assert sender.names() == ["error"]


async def test_a_transfer_that_stands_still_is_given_up(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 400_000)
    slow = ("--limit", "100k")
    async with machine.send(film, "--idle-timeout", "1", *slow) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            await receiver.moving()
            receiver.signal(signal.SIGSTOP)
            error = await sender.fails("connection-lost")
            receiver.process.kill()
    assert error["message"] == "Nothing has moved for 1 s."
    assert sender.has_stalled()
    assert "film.iso" not in listing(out)
