"""What every command prints with --json is what docs/events.schema.json says, and nothing else.

Transfers are held to it by all tests of processes (tests/e2e/processes.py), the doctor by its own.
"""

import json
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, Side, random_file
from tests.events_schema import check_event

pytestmark = pytest.mark.e2e


def names_of(side: Side) -> list[str]:
    events = [json.loads(line) for line in side.stdout]
    for event in events:
        check_event(event)
    return [event["event"] for event in events]


@pytest.fixture
async def leftover(machine: Machine, out: Path) -> Path:
    """What a receiver has left that was killed."""
    film = random_file(machine.folder / "film.iso", 3_000_000)
    async with machine.send(film, "--limit", "1M") as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            await receiver.moving(1_000_000)
            receiver.process.kill()
    return out


@pytest.mark.parametrize("option", ["--dry-run", "--older-than=1d", ""])
async def test_clean(machine: Machine, leftover: Path, option: str) -> None:
    options = ("--json", *filter(None, [option]))
    async with machine.run("clean", leftover, *options) as cleans:
        assert await cleans.exit() == 0
    assert names_of(cleans) == ["leftover", "cleaned"]


@pytest.mark.parametrize(
    ("command", "last"),
    [
        (("demo", "--size", "2M"), "demo"),
        (("bench", "--seconds", "0.2"), "bench"),
        (("doctor", "--no-throughput", "--timeout", "2"), "conclusion"),
        (("clean",), "cleaned"),
        (("clean", "missing"), "error"),
        (("send", "missing"), "error"),
        (("receive", "guitar"), "error"),
        (("bench", "--seconds", "0"), "error"),
    ],
)
async def test_a_command(machine: Machine, command: tuple[str, ...], last: str) -> None:
    async with machine.run(*command, "--json") as side:
        await side.exit()
    assert names_of(side)[-1] == last
