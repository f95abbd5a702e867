"""The other side breaks the rules: a clean error here, and nothing under the final name."""

from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

SENDER = "tests.e2e.hostile_sender"
RECEIVER = "tests.e2e.hostile_receiver"


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("trick", "code", "sentence"),
    [
        ("more than proposed", "peer-protocol", "more data than it had proposed"),
        ("wrong offset", "peer-protocol", "for the wrong place"),
        ("wrong bytes", "digest-mismatch", "damaged"),
        ("early bye", "peer-protocol", "left before the end"),
        ("a malformed digest", "peer-protocol", "malformed digest"),
        ("garbage", "peer-protocol", "not valid JSON"),
        ("a long message", "peer-protocol", "too long"),
        ("two proposals", "peer-protocol", "proposed twice"),
    ],
)
async def test_hostile_sender(
    machine: Machine, out: Path, trick: str, code: str, sentence: str
) -> None:
    film = random_file(machine.folder / "film.iso", 400_000)
    async with machine.run(trick, "send", "--json", film, module=SENDER) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            error = await receiver.fails(code)
            assert sentence in error["message"]
            assert (await sender.fails(code))["exit"] == error["exit"]
    assert listing(out) == []


async def test_a_sender_that_ignores_the_window(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 18 << 20)
    async with machine.run("any window", "send", "--json", film, module=SENDER) as sender:
        command = ("stuck disk", "receive", "--json", "-y", await sender.code(), "-o", out)
        async with machine.run(*command, module=RECEIVER) as receiver:
            error = await receiver.fails("peer-protocol")
            assert "window" in error["message"]
            await sender.fails("peer-protocol")
    assert listing(out) == []


@pytest.mark.parametrize(
    ("trick", "code", "sentence"),
    [
        ("an absurd window", "peer-protocol", "window"),
        ("complete at once", "peer-protocol", "before the end"),
        ("written before it came", "peer-protocol", "cannot have written"),
        ("garbage", "peer-protocol", "not valid JSON"),
        ("another digest", "digest-mismatch", "another digest"),
        ("frames", "peer-protocol", "not valid JSON"),
    ],
)
async def test_hostile_receiver(
    machine: Machine, out: Path, trick: str, code: str, sentence: str
) -> None:
    film = random_file(machine.folder / "film.iso", 3 << 20)
    async with machine.send(film) as sender:
        command = (trick, "receive", "--json", "-y", await sender.code(), "-o", out)
        async with machine.run(*command, module=RECEIVER) as receiver:
            error = await sender.fails(code)
            assert sentence in error["message"]
            await receiver.exit()
    assert "done" not in sender.names()
    if trick != "another digest":  # then the file was saved well, and the sender lied to
        assert listing(out) == []
