"""Ctrl-C, SIGTERM and SIGHUP, on either side and at any time: 130 or 143, and the other is told."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file

pytestmark = pytest.mark.e2e

SLOW = ("--limit", "100k")  # of 4 MB: more seconds than a test has
SLUGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "terminated"}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 4_000_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


@asynccontextmanager
async def transfer(
    machine: Machine, film: Path, out: Path, *options: str
) -> AsyncIterator[tuple[Side, Side]]:
    async with machine.send(film, *SLOW, *options) as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out, *options) as receiver:
            yield sender, receiver


async def stop(side: Side, other: Side, number: signal.Signals) -> None:
    """Send the signal; check how this side ends, and that the other hears of it."""
    side.signal(number)
    error = await side.fails(SLUGS[number])
    assert error["exit"] == CODES[number]
    error = await other.fails("aborted")
    assert error["exit"] == 41
    assert error["message"] == "The other side was stopped by its user."


@pytest.mark.parametrize("number", list(SLUGS))
async def test_waiting_for_the_other_side(
    machine: Machine, film: Path, number: signal.Signals
) -> None:
    async with machine.send(film) as sender:
        await sender.code()
        assert len(machine.announcements()) == 1
        sender.signal(number)
        assert (await sender.fails(SLUGS[number]))["exit"] == CODES[number]
    assert machine.announcements() == []


async def test_waiting_at_a_server_gives_the_number_back(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.server() as (_, url):
        async with machine.send(film, "--server", url) as sender:
            code = await sender.code()
            sender.signal(signal.SIGTERM)
            await sender.fails("terminated")
        async with machine.receive(code, "-o", out, "--server", url) as receiver:
            assert (await receiver.fails("no-such-code"))["exit"] == 12


@pytest.mark.datapaths
@pytest.mark.parametrize("phase", ["paired", "connected"])
@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_while_the_two_connect(
    machine: Machine, film: Path, out: Path, phase: str, who: str
) -> None:
    async with transfer(machine, film, out) as (sender, receiver):
        side, other = (sender, receiver) if who == "sender" else (receiver, sender)
        await side.event(phase)
        await stop(side, other, signal.SIGINT)
    assert listing(out) == machine.announcements() == []


@pytest.mark.datapaths
@pytest.mark.parametrize(
    ("who", "number", "embedded"),
    [
        ("sender", signal.SIGINT, True),
        ("sender", signal.SIGTERM, False),
        ("receiver", signal.SIGINT, False),
        ("receiver", signal.SIGTERM, True),
        ("receiver", signal.SIGHUP, True),
    ],
)
async def test_amid_the_file(
    *, machine: Machine, film: Path, out: Path, who: str, number: signal.Signals, embedded: bool
) -> None:
    async with machine.server() as (_, url):
        options = () if embedded else ("--server", url)
        async with transfer(machine, film, out, *options) as (sender, receiver):
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            await receiver.moving()
            assert listing(out) == [".film.iso.rtcsend-journal", ".film.iso.rtcsend-partial"]
            await stop(side, other, number)
    assert listing(out) == machine.announcements() == []


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_at_the_question(machine: Machine, film: Path, out: Path, who: str) -> None:
    async with machine.send(film) as sender:
        command = ("receive", "--json", await sender.code(), "-o", out)
        async with machine.on_terminal(*command, stdout_is_pipe=True) as receiver:
            await receiver.stderr_has("Accept? [Y/n] ")
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            await stop(side, other, signal.SIGTERM)
            assert receiver.echoes()
    assert listing(out) == machine.announcements() == []


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_while_the_sender_compares(machine: Machine, film: Path, out: Path, who: str) -> None:
    command = ("send", "--json", "--verify", film)
    async with machine.on_terminal(*command, stdout_is_pipe=True) as sender:
        async with machine.receive(await sender.code(), "--verify", "-o", out) as receiver:
            await sender.stderr_has("the same? [y/N] ")
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            await stop(side, other, signal.SIGINT)
            assert sender.echoes()
    assert listing(out) == machine.announcements() == []


async def test_a_second_signal_ends_it_at_once(machine: Machine, film: Path, out: Path) -> None:
    async with transfer(machine, film, out) as (sender, receiver):
        await receiver.moving()
        receiver.signal(signal.SIGSTOP)  # the sender's farewell would wait for it
        while sender.process.returncode is None:
            sender.signal(signal.SIGINT)
            await asyncio.wait([asyncio.create_task(sender.process.wait())], timeout=0.2)
        assert await sender.exit() == 130
    assert "error" not in sender.names()  # it had no time to say so


@pytest.mark.parametrize(("number", "command"), [(signal.SIGINT, ["serve"]), (signal.SIGTERM, [])])
async def test_a_server_ends_well(
    machine: Machine, number: signal.Signals, command: list[str]
) -> None:
    module = "rtcsend" if command else "signal_server"
    arguments = (*command, "--host", "127.0.0.1", "--port", "0")
    async with machine.run(*arguments, module=module) as server:
        await server.line("ws://")
        server.signal(number)
        assert await server.exit() == 0
    *_, last = server.stderr.splitlines()
    assert last.endswith(" INFO closed")
    assert all(" INFO " in line for line in server.stderr.splitlines())
