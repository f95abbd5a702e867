"""Names from a hostile sender: refused, or made safe; never outside the folder."""

import json
import unicodedata
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

SENDER = "tests.e2e.hostile_sender"
LONG = "\u00e9" * 150 + ".tar.gz"  # 307 bytes


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 1_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


def is_copy(target: Path, source: Path) -> bool:
    return target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/FOLDER/evil",
        "",
        "C:\\evil",
        "film\0.iso",
        "\u00e9" * 3000,
    ],
)
async def test_refused(machine: Machine, film: Path, out: Path, name: str) -> None:
    name = name.replace("FOLDER", str(machine.folder))
    async with machine.run(json.dumps(name), "send", "--json", film, module=SENDER) as sender:
        code = await sender.code()
        before = listing(machine.folder)
        async with machine.receive(code, "-o", out) as receiver:
            error = await receiver.fails("unsafe-path")
            assert error["exit"] == 52
            assert "rename" in error["hint"]
            error = await sender.fails("declined")
            assert error["exit"] == 40
            assert "name" in error["message"]
    assert receiver.names() == ["paired", "connected", "error"]
    after = listing(machine.folder)
    assert set(before) - set(after) == {path for path in before if path.endswith(".json")}
    assert set(after) <= set(before)


async def test_longer_than_any_path_is_no_proposal(machine: Machine, film: Path, out: Path) -> None:
    async with machine.run(json.dumps("x" * 5001), "send", "--json", film, module=SENDER) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            assert (await receiver.fails("peer-protocol"))["exit"] == 43
            await sender.fails("peer-protocol")
    assert listing(out) == []


async def test_longer_than_any_system_allows(machine: Machine, film: Path, out: Path) -> None:
    async with machine.run(json.dumps("x" * 5000), "send", "--json", film, module=SENDER) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            assert (await receiver.fails("unsafe-path"))["exit"] == 52
            assert (await sender.fails("declined"))["exit"] == 40
    assert listing(out) == []


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a\x1b[2J\x9b2Jb.iso", "a_[2J_2Jb.iso"),
        ("gpj.\u202eexe\n", "gpj._exe_"),
        ("NUL.txt", "_NUL.txt"),
        ("-rf .. . ", "-rf"),
        (LONG, "\u00e9" * 124 + ".tar.gz"),
    ],
)
async def test_made_safe(machine: Machine, film: Path, out: Path, name: str, saved: str) -> None:
    async with machine.run(json.dumps(name), "send", "--json", film, module=SENDER) as sender:
        # People's output, of which Machine.check wants no escape character either.
        async with machine.run("receive", "-y", await sender.code(), "-o", out) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert listing(out) == [saved]
    assert is_copy(out / saved, film)
    assert len(saved.encode()) <= 255
    assert receiver.stdout == [str(out / saved)]
    assert saved in receiver.stderr
    assert not [char for char in receiver.stderr if unicodedata.category(char) in {"Cf", "Co"}]


async def test_a_hostile_host_name_is_shown_harmless(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.run("a host name", "send", "--json", film, module=SENDER) as sender:
        command = ("receive", await sender.code(), "-o", out)
        async with machine.on_terminal(*command) as receiver:
            await receiver.stderr_has("\nAccept? [Y/n] ")  # ours, at the start of a line
            shown = receiver.stderr
            receiver.type("n\n")
            assert (await receiver.exit(), await sender.exit()) == (40, 40)
    assert "from \\x1b]0;root\\x07\\u202e\\x1b[2Jada\\nAccept? [Y/n] y" in shown
    assert listing(out) == []
