"""Routes between two machines: a direct one, and none at all.

::

    left ── 10.77.1.x ── middle ── 10.77.2.x ── right

The rendezvous runs in the middle, which both sides reach. Whether they reach each other
depends on whether it forwards.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file
from tests.fakes.namespaces import Host, cable, hosts, require_namespaces

pytestmark = [pytest.mark.e2e, pytest.mark.lab]

PORT = "8765"
LEFT_URL, RIGHT_URL = f"ws://10.77.1.1:{PORT}", f"ws://10.77.2.1:{PORT}"


@pytest.fixture
def network() -> Iterator[tuple[Host, Host, Host]]:
    require_namespaces()
    with hosts(3) as (left, middle, right):
        cable(middle, "10.77.1.1", left, "10.77.1.2")
        cable(middle, "10.77.2.1", right, "10.77.2.2")
        left.ip("route", "add", "default", "via", "10.77.1.1")
        right.ip("route", "add", "default", "via", "10.77.2.1")
        yield left, middle, right


@pytest.fixture
async def rendezvous(machine: Machine, network: tuple[Host, Host, Host]) -> AsyncIterator[None]:
    command = ("--host", "0.0.0.0", "--port", PORT)
    async with machine.run(*command, module="signal_server", wrapper=network[1].inside) as server:
        await server.line("listening")
        yield


@pytest.mark.datapaths
@pytest.mark.usefixtures("rendezvous")
async def test_a_direct_route(machine: Machine, network: tuple[Host, Host, Host]) -> None:
    left, middle, right = network
    middle.forward(on=True)
    source = random_file(machine.folder / "film.iso", 100_000)
    copy = machine.folder / "copy.iso"
    async with machine.send(source, "--server", LEFT_URL, wrapper=left.inside) as sender:
        command = (await sender.code(), "--server", RIGHT_URL, "-o", copy)
        async with machine.receive(*command, wrapper=right.inside) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert same(source, copy)
    for side in (sender, receiver):
        connected = await side.event("connected")
        assert (connected["route"], connected["protocol"]) == ("direct", "udp")
        assert (connected["local"], connected["remote"]) == ("host", "host")


@pytest.mark.usefixtures("rendezvous")
async def test_no_route(machine: Machine, network: tuple[Host, Host, Host]) -> None:
    """Both sides come to their end by their own deadline, and not by that of WebRTC."""
    left, middle, right = network
    middle.forward(on=False)
    source = random_file(machine.folder / "film.iso", 1_000)
    out = machine.folder / "out"
    out.mkdir()
    async with machine.send(source, "--server", LEFT_URL, wrapper=left.inside) as sender:
        command = (await sender.code(), "--server", RIGHT_URL, "-o", out)
        async with machine.receive(*command, wrapper=right.inside) as receiver:
            async with asyncio.timeout(55):  # WebRTC alone would take 63 s
                for side in (sender, receiver):
                    error = await side.fails("no-route")
                    assert error["exit"] == 30
                    assert "TURN" in error["hint"]
    assert sender.names() == ["code", "paired", "error"]
    assert receiver.names() == ["paired", "error"]
    assert listing(out) == []


@pytest.mark.datapaths
@pytest.mark.parametrize("dual_stack", [False, True], ids=["IPv6 only", "both"])
async def test_ipv6(machine: Machine, out: Path, *, dual_stack: bool) -> None:
    require_namespaces()
    source = random_file(machine.folder / "film.iso", 100_000)
    with hosts(2) as (left, right):
        cable(left, "10.78.1.1", right, "10.78.1.2")
        for number, host in enumerate((left, right), 1):
            device = host.device("10.78.1.")
            host.ip("address", "add", f"fd78::{number}/64", "dev", device, "nodad")
            if not dual_stack:
                host.ip("address", "del", f"10.78.1.{number}/24", "dev", device)
        command = ("--host", "::", "--port", PORT)
        async with machine.run(*command, module="signal_server", wrapper=left.inside) as server:
            await server.line("listening")
            url = ("--server", f"ws://[fd78::1]:{PORT}")
            async with machine.send(source, *url, wrapper=left.inside) as sender:
                code = await sender.code()
                async with machine.receive(code, *url, "-o", out, wrapper=right.inside) as receiver:
                    await receiver.succeeds()
                    await sender.succeeds()
        for side in (sender, receiver):
            assert (await side.event("connected"))["route"] == "direct"
    assert same(source, out / "film.iso")


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()
