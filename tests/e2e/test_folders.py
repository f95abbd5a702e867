"""Folders and many files, with two real processes."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing
from tests.files.trees import MIXED, Tree, digest, make, read, stream

pytestmark = pytest.mark.e2e

NAMES: Tree = {
    "odd": None,
    "odd/ space ": b"1",
    "odd/-rf": b"2",
    "odd/.hidden": b"3",
    "odd/new\nline": b"4",
    "odd/\x1b[31mred": b"5",
    "odd/日本": b"6",
    os.fsdecode(b"odd/\xff\xfe"): b"7",
    "odd/NUL.txt": b"8",
    "odd/a": None,
    "odd/a/" + "x" * 255: b"9",
}


@pytest.fixture
def source(machine: Machine) -> Path:
    folder = machine.folder / "from"
    folder.mkdir()
    make(folder, MIXED | NAMES | {"single": b"a file"})
    return folder


@pytest.fixture
def into(machine: Machine) -> Path:
    folder = machine.folder / "into"
    folder.mkdir()
    return folder


async def test_folders_and_files(machine: Machine, source: Path, into: Path) -> None:
    (source / "top" / "a").chmod(0o750)
    os.utime(source / "top" / "z", ns=(1, 1_600_000_000_000_000_001))
    things = [source / "top", source / "single"]
    async with machine.send(*things) as sender:
        async with machine.receive(await sender.code(), "-o", into) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    tree = MIXED | {"single": b"a file"}
    assert read(into) == tree
    assert (into / "top" / "a").stat().st_mode & 0o777 == 0o750
    assert (into / "top" / "z").stat().st_mtime_ns == 1_600_000_000_000_000_001
    done = receiver.last()
    assert done["paths"] == [str(into / "top"), str(into / "single")]
    assert (done["files"], done["bytes"]) == (7, len(stream(tree)))
    assert sender.last()["blake3"] == done["blake3"]
    (proposal,) = (event for event in receiver.events if event["event"] == "proposal")
    assert (proposal["files"], proposal["links"], proposal["tops"]) == (7, 1, ["top", "single"])
    assert sender.stderr == receiver.stderr == ""


async def test_a_damaged_file_is_named_and_only_it_travels_again(
    machine: Machine, source: Path, into: Path
) -> None:
    spoiled = stream(MIXED).index(b"x" * 70_000)  # in top/b/x
    async with machine.send(source / "top") as sender:
        command = ("-o", into)
        async with machine.receive(
            await sender.code(), *command, module="tests.e2e.bad_memory", env={"FLIP": str(spoiled)}
        ) as receiver:
            told, heard = (
                await receiver.fails("digest-mismatch"),
                await sender.fails("digest-mismatch"),
            )
    assert told["message"] == heard["message"]
    assert told["message"] == "top/b/x arrived damaged: its BLAKE3 digest is wrong."
    kept = into / ".top.rtcsend-partial" / "top" / "b"
    assert listing(kept) == ["empty", "large"]
    async with machine.send(source / "top") as sender:
        async with machine.receive(await sender.code(), *command) as receiver:
            done = await receiver.succeeds()
            await sender.succeeds()
    assert read(into) == MIXED
    assert 70_000 <= done["moved"] < 140_000


async def test_odd_names(machine: Machine, source: Path, into: Path) -> None:
    async with machine.send(source / "odd") as sender:
        async with machine.receive(await sender.code(), "-o", into) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    found = read(into)
    assert len(found) == len(NAMES)
    assert found[os.fsdecode(b"odd/\xff\xfe")] == b"7"
    assert found["odd/new_line"] == b"4"
    assert found["odd/_[31mred"] == b"5"
    assert found["odd/日本"] == b"6"
    assert found["odd/_NUL.txt"] == b"8"
    assert receiver.last()["blake3"] == digest(NAMES)


@pytest.mark.parametrize(("option", "exit_code"), [("--overwrite", 0), ("--skip", 0), ("", 53)])
async def test_into_a_folder_that_is_there(
    machine: Machine, source: Path, into: Path, option: str, exit_code: int
) -> None:
    there: Tree = {"top": None, "top/a": b"old", "top/mine": b"mine"}
    make(into, there)
    async with machine.send(source / "top") as sender:
        options = [option] if option else []
        async with machine.receive(await sender.code(), "-o", into, *options) as receiver:
            assert await receiver.exit() == exit_code
            assert await sender.exit() == (40 if exit_code else 0)
    expected = {"--overwrite": there | MIXED, "--skip": MIXED | there, "": there}
    assert read(into) == expected[option]


async def test_all_of_it_is_there(machine: Machine, source: Path, into: Path) -> None:
    make(into, MIXED)
    async with machine.send(source / "top") as sender:
        async with machine.receive(await sender.code(), "-o", into, "--skip") as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert receiver.last()["blake3"] == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_it_goes_on_after_the_receiver_is_gone(
    machine: Machine, into: Path, number: signal.Signals
) -> None:
    tree: Tree = {"top": None}
    for count in range(300):
        tree[f"top/{count % 7}"] = None
        # Nothing that is smaller on its way: the limit is to give time.
        tree[f"top/{count % 7}/{count}"] = random.Random(count).randbytes(40_000)
    source = machine.folder / "many"
    source.mkdir()
    make(source, tree)
    async with machine.send(source / "top", "--limit", "4M") as sender:
        async with machine.receive(await sender.code(), "-o", into) as receiver:
            await receiver.moving(3_000_000)
            receiver.signal(number)
            await receiver.exit()
            if number is signal.SIGKILL:  # else the sender is told, and ends by itself
                sender.signal(signal.SIGINT)
            await sender.exit()
    assert listing(into)[0] == ".top.rtcsend-partial"
    async with machine.send(source / "top") as sender:
        async with machine.receive(await sender.code(), "-o", into) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert read(into) == tree
    assert 0 < receiver.last()["moved"] <= len(stream(tree)) - 2_000_000


async def test_what_cannot_be_sent(machine: Machine, source: Path) -> None:
    (source / "top" / "outside").symlink_to("/etc/passwd")
    async with machine.send(source / "top") as sender:
        assert await sender.exit() == 50
    assert "--links follow" in sender.stderr
    async with machine.send(source / "single", source / "top" / ".." / "single") as sender:
        assert await sender.exit() == 2
    assert "would both be saved as single" in sender.stderr


async def test_a_file_that_changes_meanwhile(machine: Machine, source: Path, into: Path) -> None:
    async with machine.send(source / "top") as sender:
        code = await sender.code()
        (source / "top" / "z").write_bytes(b"changed")
        async with machine.receive(code, "-o", into) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (41, 50)
    assert "'top/z' changed while it was sent" in sender.stderr
    assert "top" not in read(into)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-files", "3"), "at most 3 are accepted"),
        (("--max-size", "1k"), "at most 1000 are accepted"),
        (("--accept-glob", "*.txt"), "matches none of the patterns"),
    ],
)
async def test_declined_by_options(
    machine: Machine, source: Path, into: Path, options: tuple[str, ...], words: str
) -> None:
    async with machine.send(source / "top") as sender:
        async with machine.receive(await sender.code(), "-o", into, *options) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (40, 40)
    assert words in receiver.stderr
    assert read(into) == {}
