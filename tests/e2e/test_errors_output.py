"""What programs read: JSON lines and nothing else, silence on success, and logs without secrets."""

import json
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"
TURN = "turn:alice:sesame-open@127.0.0.1:9"


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 2_000_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


async def test_quiet_prints_the_code_and_the_path(machine: Machine, film: Path, out: Path) -> None:
    async with machine.run("send", "--quiet", film) as sender:
        code = await sender.line("-")
        async with machine.run("receive", "-y", "-q", code, "-o", out) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    assert sender.stdout == [code]
    assert receiver.stdout == [str(out / "film.iso")]
    assert sender.stderr == receiver.stderr == ""


async def test_every_event_is_a_line(machine: Machine, film: Path, out: Path) -> None:
    async with machine.send(film, "--limit", "4M") as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out) as receiver:
            done = await receiver.succeeds()
            assert (await sender.succeeds())["blake3"] == done["blake3"]
    for side in (sender, receiver):
        assert [json.loads(line) for line in side.stdout] == side.events
        moved = [event["bytes"] for event in side.events if event["event"] == "progress"]
        assert moved == sorted(moved)
        assert moved[-1] == 2_000_000
    proposal = await receiver.event("proposal")
    entry = {"path": "film.iso", "kind": "file", "bytes": 2_000_000, "odd": []}
    assert proposal["entries"] == [entry]


@pytest.mark.datapaths
@pytest.mark.parametrize("verbosity", ["-v", "-vv"])
async def test_logs_hold_no_secret(machine: Machine, film: Path, out: Path, verbosity: str) -> None:
    options = (verbosity, "--ice", TURN, "--direct-only")
    async with machine.server("--ice", TURN, "-v") as (server, url):
        async with machine.send(film, "--code", CODE, "--server", url, *options) as sender:
            await sender.code()
            async with machine.receive(CODE, "-o", out, "--server", url, *options) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    for side in (sender, receiver, server):
        for secret in ("guitar", "velvet", "sesame", "ice-pwd", "a=", "fingerprint", "token"):
            assert secret not in side.stderr, side.stderr
    for side in (sender, receiver):
        assert "127.0.0.1" not in side.stderr or verbosity == "-vv"
        assert all(" rtcsend." in line for line in side.stderr.splitlines()), side.stderr
    if verbosity == "-vv":
        assert "rtcsend.peer: = selected" in sender.stderr
    assert listing(out) == ["film.iso"]


async def test_logs_of_a_failure_hold_no_secret(machine: Machine, film: Path, out: Path) -> None:
    async with machine.send(film, "--code", CODE, "-vv") as sender:
        await sender.code()
        async with machine.receive("7-guitar-zebra", "-o", out, "-vv") as receiver:
            await receiver.fails("wrong-code")
            await sender.fails("wrong-code")
    for side in (sender, receiver):
        assert "velvet" not in side.stderr + side.last()["message"]
        assert "zebra" not in side.stderr + side.last()["message"]
