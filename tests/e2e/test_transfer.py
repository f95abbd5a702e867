"""The main job, with two real processes."""

import json
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.processes import Machine, random_file

pytestmark = [pytest.mark.e2e, pytest.mark.datapaths]


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_000])
async def test_a_file_arrives(machine: Machine, size: int) -> None:
    source = random_file(machine.folder / "film.iso", size)
    target = machine.folder / "out"
    target.mkdir()
    async with machine.send(source) as sender:
        async with machine.receive(await sender.code(), "-o", target) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    digest = blake3(source.read_bytes()).hexdigest()
    assert (target / "film.iso").read_bytes() == source.read_bytes()
    assert [path.name for path in target.iterdir()] == ["film.iso"]
    assert sender.last()["event"] == receiver.last()["event"] == "done"
    assert sender.last()["blake3"] == receiver.last()["blake3"] == digest
    assert receiver.last()["paths"] == [str(target / "film.iso")]
    assert sender.names() == ["code", "paired", "connected", "done"]
    assert receiver.names() == ["paired", "connected", "proposal", "done"]
    assert sender.events[1]["verification"] == receiver.events[0]["verification"]
    assert sender.stderr == receiver.stderr == ""


async def test_to_standard_output(machine: Machine) -> None:
    source = random_file(machine.folder / "film.iso", 3_000_000)
    copy = machine.folder / "copy"
    async with machine.send(source) as sender:
        shell = f'"$@" -o - > {copy}'
        wrapper = ("sh", "-c", shell, "sh")
        async with machine.receive(await sender.code(), wrapper=wrapper) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert copy.read_bytes() == source.read_bytes()
    lines = [json.loads(line) for line in receiver.stderr.splitlines()]
    assert lines[0]["event"] == "paired"
    assert (lines[-1]["event"], lines[-1]["paths"]) == ("done", ["-"])


async def test_an_error_does_not_get_into_standard_output(machine: Machine) -> None:
    wrong = ("7-guitar-velvet", "-o", "-", "--server", "ws://127.0.0.1:1")
    async with machine.receive(*wrong) as receiver:
        assert await receiver.exit() == 10
    assert receiver.stdout == []
    assert json.loads(receiver.stderr.splitlines()[-1])["event"] == "error"


async def test_nothing_is_left_behind(machine: Machine) -> None:
    source = random_file(machine.folder / "film.iso", 100_000)
    async with machine.send(source) as sender:
        async with machine.receive(await sender.code(), "-o", machine.folder / "copy") as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert _files(machine.folder) == {"film.iso", "copy"}


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
