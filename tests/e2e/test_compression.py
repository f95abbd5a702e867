"""Compression in real processes: less on the way, and the same on the other side."""

from pathlib import Path

import pytest

from tests.e2e.processes import Machine, random_file

pytestmark = pytest.mark.e2e

LINE = b"2026-11-21 INFO request served in 12 ms\n"
SIZE = len(LINE) * 75_000  # three blocks, the last one short


def text_file(path: Path) -> Path:
    path.write_bytes(LINE * 75_000)
    return path


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("options", "most"),
    [
        (("--compress", "always"), SIZE // 20),
        (("--limit", "1M"), SIZE // 20),  # a slow path, and three seconds of it without
        (("--compress", "never"), SIZE),
    ],
)
async def test_text(machine: Machine, out: Path, options: tuple[str, ...], most: int) -> None:
    source = text_file(machine.folder / "server.log")
    async with machine.send(source, *options) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            received, sent = await receiver.succeeds(), await sender.succeeds()
    assert same(out / "server.log", source)
    assert received["wire"] == sent["wire"] <= most
    assert received["moved"] == received["bytes"] == SIZE
    assert received["blake3"] == sent["blake3"]
    # Progress is in plain bytes.
    assert max(e["bytes"] for e in receiver.events if e["event"] == "progress") == SIZE


async def test_a_folder_of_both_kinds(machine: Machine, out: Path) -> None:
    folder = machine.folder / "mixed"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_bytes(LINE * 30 * number)
        random_file(folder / f"{number}.bin", 9_000, seed=number)
    async with machine.send(folder, "--compress", "always") as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            received = await receiver.succeeds()
            await sender.succeeds()
    assert received["wire"] < received["bytes"] * 0.7
    assert all(same(out / "mixed" / path.name, path) for path in folder.iterdir())


async def test_what_cannot_shrink_is_not_larger(machine: Machine, out: Path) -> None:
    source = random_file(machine.folder / "film.iso", SIZE)
    async with machine.send(source, "--compress", "always") as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            assert (await receiver.succeeds())["wire"] == SIZE
            await sender.succeeds()
    assert same(out / "film.iso", source)
