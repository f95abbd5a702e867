"""The path dies amid a file: both sides meet again by themselves, and go on where they were.

::

    left ── 10.79.1.x ── middle ── 10.79.2.x ── right

The rendezvous runs in the middle. What the two say to each other directly passes through it, and
is cut by nftables, with or without what they say to the rendezvous.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file
from tests.fakes.namespaces import Host, cable, hosts, require_namespaces

pytestmark = [pytest.mark.e2e, pytest.mark.lab]

SIZE = 12_000_000  # bytes
SECONDS = 20  # to meet again, within which both have to notice that they are to
LIMIT = ("--limit", "3M")  # four seconds in which something can happen
PORT = "8765"
LEFT_URL, RIGHT_URL = f"ws://10.79.1.1:{PORT}", f"ws://10.79.2.1:{PORT}"


class Network:
    """Two machines, and one between them that can be told to drop things."""

    def __init__(self, left: Host, middle: Host, right: Host) -> None:
        self.left, self.middle, self.right = left, middle, right
        self._nft("add table ip cut")

    def cut(self, *, rendezvous: bool) -> None:
        """Drop what the two say to each other; and what they say to the rendezvous."""
        for hook in ("forward", *(("input", "output") if rendezvous else ())):
            self._nft(f"add chain ip cut {hook} {{ type filter hook {hook} priority 0; }}")
            self._nft(f"add rule ip cut {hook} drop")

    def heal(self) -> None:
        """Drop nothing."""
        self._nft("delete table ip cut")
        self._nft("add table ip cut")

    def _nft(self, command: str) -> None:
        nft(self.middle, command)


def nft(host: Host, command: str) -> None:
    """Change what a machine passes on; no more than a system call's time."""
    subprocess.run([*host.inside, "nft", command], check=True, capture_output=True)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


@pytest.fixture
def network() -> Iterator[Network]:
    require_namespaces()
    with hosts(3) as (left, middle, right):
        cable(middle, "10.79.1.1", left, "10.79.1.2")
        cable(middle, "10.79.2.1", right, "10.79.2.2")
        left.ip("route", "add", "default", "via", "10.79.1.1")
        right.ip("route", "add", "default", "via", "10.79.2.1")
        middle.forward(on=True)
        yield Network(left, middle, right)


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", SIZE)


@pytest.fixture
def copy(machine: Machine) -> Path:
    return machine.folder / "copy.iso"


@asynccontextmanager
async def server(machine: Machine, network: Network) -> AsyncIterator[Side]:
    command = ("--host", "0.0.0.0", "--port", PORT)
    async with machine.run(
        *command, module="signal_server", wrapper=network.middle.inside
    ) as running:
        await running.line("listening")
        yield running


@asynccontextmanager
async def transfer(
    machine: Machine, network: Network, film: Path, copy: Path, *, seconds: int | None = None
) -> AsyncIterator[tuple[Side, Side]]:
    """Both commands, with the first bytes written; ``seconds``: to meet again."""
    how: dict[str, Any] = {}
    if seconds is not None:
        how = {"module": "tests.e2e.soon_lost", "env": {"SECONDS": str(seconds)}}
    async with machine.send(
        film, "--server", LEFT_URL, *LIMIT, wrapper=network.left.inside, **how
    ) as sender:
        command = (await sender.code(), "--server", RIGHT_URL, "-o", copy)
        async with machine.receive(*command, wrapper=network.right.inside, **how) as receiver:
            await receiver.moving()
            yield sender, receiver


async def both_succeed(sender: Side, receiver: Side, film: Path, copy: Path) -> None:
    done = [await receiver.succeeds(), await sender.succeeds()]
    assert [event["bytes"] for event in done] == [SIZE, SIZE]
    assert same(copy, film)
    for side in (sender, receiver):
        assert side.names().count("connected") == 1 + losses(side)
        resumed = [event["bytes"] for event in side.events if event["event"] == "resumed"]
        assert resumed
        assert all(0 < count < SIZE for count in resumed)


def losses(side: Side) -> int:
    return sum(event["event"] == "reconnecting" and event["attempt"] == 1 for event in side.events)


async def all_reconnect(*sides: Side) -> None:
    await asyncio.gather(*(side.event("reconnecting") for side in sides))


@pytest.mark.datapaths
@pytest.mark.parametrize("rendezvous", [False, True], ids=["path", "path and rendezvous"])
async def test_the_link_is_cut_until_both_have_noticed(
    *, machine: Machine, network: Network, film: Path, copy: Path, rendezvous: bool
) -> None:
    async with server(machine, network):
        async with transfer(machine, network, film, copy) as (sender, receiver):
            network.cut(rendezvous=rendezvous)
            await all_reconnect(sender, receiver)
            network.heal()
            await both_succeed(sender, receiver, film, copy)
    assert receiver.has_stalled() or sender.has_stalled()


async def test_the_link_is_cut_amid_a_folder(machine: Machine, network: Network) -> None:
    photos, out = machine.folder / "photos", machine.folder / "out"
    (photos / "empty").mkdir(parents=True)
    out.mkdir()
    for number in range(120):
        random_file(photos / f"{number:03}", number * 1_700, seed=number)  # 12 MB together
    async with server(machine, network):
        async with transfer(machine, network, photos, out) as (sender, receiver):
            network.cut(rendezvous=False)
            await all_reconnect(sender, receiver)
            network.heal()
            done = [await receiver.succeeds(), await sender.succeeds()]
    assert [event["files"] for event in done] == [120, 120]
    assert done[0]["blake3"] == done[1]["blake3"]
    assert listing(out) == ["photos", *(f"photos/{name}" for name in listing(photos))]
    for path in photos.iterdir():
        assert path.is_dir() or same(path, out / "photos" / path.name)


async def test_the_rendezvous_is_killed_and_restarted_while_the_link_is_cut(
    machine: Machine, network: Network, film: Path, copy: Path
) -> None:
    """It has forgotten the two; they meet by the name that only they can derive."""
    async with server(machine, network) as first:
        async with transfer(machine, network, film, copy) as (sender, receiver):
            first.process.kill()
            await first.exit()
            network.cut(rendezvous=False)
            await all_reconnect(sender, receiver)
            async with server(machine, network) as second:
                await asyncio.sleep(1)  # they wait for each other there, or try to connect
                second.process.kill()
                await second.exit()
                network.heal()
                async with server(machine, network):
                    await both_succeed(sender, receiver, film, copy)


@pytest.mark.datapaths
async def test_an_address_changes(
    machine: Machine, network: Network, film: Path, copy: Path
) -> None:
    async with server(machine, network):
        async with transfer(machine, network, film, copy) as (sender, receiver):
            network.left.change_address("10.79.1.2", "10.79.1.3")
            network.left.ip("route", "add", "default", "via", "10.79.1.1")
            await both_succeed(sender, receiver, film, copy)
    reason = (await sender.event("reconnecting"))["reason"]
    assert reason == "This machine has lost the network address that it used."


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_stopped_while_the_path_is_lost(
    machine: Machine, network: Network, film: Path, copy: Path, who: str
) -> None:
    """The other side hears of it by the rendezvous."""
    async with server(machine, network):
        async with transfer(machine, network, film, copy) as (sender, receiver):
            network.cut(rendezvous=False)
            await all_reconnect(sender, receiver)
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            side.signal(signal.SIGINT)
            assert (await side.fails("interrupted"))["exit"] == 130
            assert (await other.fails("aborted"))["exit"] == 41


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_stopped_while_nothing_works(
    machine: Machine, network: Network, film: Path, copy: Path, who: str
) -> None:
    async with server(machine, network):
        async with transfer(machine, network, film, copy, seconds=SECONDS) as sides:
            sender, receiver = sides
            network.cut(rendezvous=True)
            await all_reconnect(sender, receiver)
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            side.signal(signal.SIGINT)
            assert (await side.fails("interrupted"))["exit"] == 130  # and not "connection-lost"
            error = await other.fails("connection-lost")
            assert error["exit"] == 31
            assert f"could not meet again in {SECONDS} seconds" in error["message"]
            assert "only the rest travels" in error["hint"]


@pytest.mark.datapaths
@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_killed_for_good(
    machine: Machine, network: Network, film: Path, copy: Path, who: str
) -> None:
    async with server(machine, network):
        async with transfer(machine, network, film, copy, seconds=6) as sides:
            side, other = sides if who == "sender" else reversed(sides)
            side.process.kill()
            error = await other.fails("connection-lost")
            assert error["exit"] == 31
            assert "could not meet again" in error["message"]


async def test_with_the_senders_own_rendezvous(machine: Machine, copy: Path, film: Path) -> None:
    """One machine; what is dropped is UDP, so that the rendezvous works all the time."""
    require_namespaces()
    with hosts(1) as (alone,):
        async with machine.send(film, *LIMIT, wrapper=alone.inside) as sender:
            command = (await sender.code(), "-o", copy)
            async with machine.receive(*command, wrapper=alone.inside) as receiver:
                await receiver.moving()
                nft(alone, "add table ip cut")
                nft(alone, "add chain ip cut input { type filter hook input priority 0; }")
                nft(alone, "add rule ip cut input ip protocol udp drop")
                await all_reconnect(sender, receiver)
                nft(alone, "delete table ip cut")
                await both_succeed(sender, receiver, film, copy)
    assert listing(machine.folder / "run") == ["rtcsend"]


async def test_one_of_two_receivers_is_cut_off_and_the_other_notices_nothing(
    machine: Machine, network: Network, film: Path, copy: Path
) -> None:
    near = machine.folder / "near.iso"
    arguments = (film, "--server", LEFT_URL, "--receivers", "2", "--limit", "4M")
    async with (
        server(machine, network),
        machine.send(*arguments, wrapper=network.left.inside) as sender,
    ):
        code = await sender.code()
        patient = (code, "--wait", "30", "-o")
        async with (
            machine.receive(
                *patient, near, "--server", LEFT_URL, wrapper=network.left.inside
            ) as beside,
            machine.receive(
                *patient, copy, "--server", RIGHT_URL, wrapper=network.right.inside
            ) as behind,
        ):
            await asyncio.gather(beside.moving(), behind.moving())
            network.cut(rendezvous=False)
            await all_reconnect(sender, behind)
            network.heal()
            assert (await beside.exit(), await behind.exit(), await sender.exit()) == (0, 0, 0)
    assert same(near, film)
    assert same(copy, film)
    assert "reconnecting" not in beside.names()
    lost = {event["receiver"] for event in sender.events if event["event"] == "reconnecting"}
    assert len(lost) == 1
    assert {event["receiver"] for event in sender.events if event["event"] == "resumed"} == lost
