"""TURN, with a real coturn: the bytes go through it, and it says so."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from rtcsend.options import DATAPATH_VARIABLE
from rtcsend.peer.lanes import MAX_LANES
from tests.e2e.processes import Machine, Side, listing, random_file
from tests.fakes.coturn import Coturn, require_coturn
from tests.fakes.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.coturn]

SIZE = 5_000_000  # bytes of what is weighed at the relay
SMALL = 100_000
RELAY = {"route": "relay", "local": "relay", "remote": "relay", "protocol": "udp"}


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        yield server


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", SIZE)


@pytest.fixture
def note(machine: Machine) -> Path:
    return random_file(machine.folder / "note.txt", SMALL)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


async def route_of(side: Side) -> dict[str, object]:
    connected = await side.event("connected")
    return {name: connected[name] for name in RELAY}


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def check_relayed(coturn: Coturn, *, lanes: int = 1) -> None:
    """Check that the file went through coturn: in from one client, out to the other.

    Args:
        coturn: After the transfer.
        lanes: Allocations a side.
    """
    usage = await coturn.usage(sessions=2 * lanes)
    assert len(usage) == 2 * lanes, coturn.log
    # Which of them are the sender's cannot be told: a lane may have carried next to nothing.
    assert sum(received for received, _ in usage.values()) > SIZE, coturn.log
    assert sum(sent for _, sent in usage.values()) > SIZE, coturn.log


async def check_arrives(
    machine: Machine, source: Path, out: Path, *options: str, server: str | None = None
) -> tuple[Side, Side]:
    """Send a file with these options on both sides."""
    where = () if server is None else ("--server", server)
    async with machine.send(source, *options, *where) as sender:
        async with machine.receive(await sender.code(), "-o", out, *options, *where) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert listing(out) == [source.name]
    assert same(out / source.name, source)
    return sender, receiver


@pytest.mark.datapaths
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_through_the_relay_only(
    machine: Machine, coturn: Coturn, film: Path, out: Path, transport: Literal["udp", "tcp"]
) -> None:
    url = coturn.ice_url(transport)
    for side in await check_arrives(machine, film, out, "--relay-only", "--ice", url):
        assert await route_of(side) == RELAY
        assert (await side.event("connected"))["relay_protocol"] == transport
    one = transport == "udp" or os.environ.get(DATAPATH_VARIABLE) == "stock"
    await check_relayed(coturn, lanes=1 if one else MAX_LANES)


async def test_a_quota_is_left_to_others(
    machine: Machine, film: Path, note: Path, out: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two transfers of one user: the lanes of the first do not take what the second needs."""
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("quota"), "--user-quota=12") as coturn:
        options = ("--relay-only", "--ice", coturn.ice_url("tcp"))
        async with machine.send(film, *options, "--limit", "100k") as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", machine.folder / "later", *options) as receiver:
                await receiver.event("progress")
                if os.environ.get(DATAPATH_VARIABLE) != "stock":  # which has no lanes
                    await coturn.until(lambda: "error 486" in coturn.log)
                await check_arrives(machine, note, out, *options)
                assert "done" not in receiver.names()


async def test_the_rendezvous_server_hands_it_out(
    machine: Machine, coturn: Coturn, film: Path, out: Path
) -> None:
    async with machine.server("--ice", coturn.ice_url()) as (_, url):
        for side in await check_arrives(machine, film, out, "--relay-only", server=url):
            assert await route_of(side) == RELAY
    await check_relayed(coturn)


async def test_one_side_that_shows_no_address(
    machine: Machine, coturn: Coturn, film: Path, out: Path
) -> None:
    url = coturn.ice_url()
    async with machine.send(film, "--relay-only", "--ice", url) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert (await route_of(sender))["local"] == "relay"
    assert (await route_of(receiver))["remote"] == "relay"
    (received, _) = (await coturn.usage(sessions=1)).popitem()[1]
    assert received > SIZE


async def test_direct_only_uses_no_relay(
    machine: Machine, coturn: Coturn, note: Path, out: Path
) -> None:
    url = coturn.ice_url()
    for side in await check_arrives(machine, note, out, "--direct-only", "--ice", url):
        assert (await route_of(side))["route"] == "direct"
    assert coturn.sessions() == []


@pytest.mark.datapaths
async def test_a_direct_way_is_preferred(
    machine: Machine, coturn: Coturn, note: Path, out: Path
) -> None:
    url = coturn.ice_url()
    for side in await check_arrives(machine, note, out, "--ice", url):
        assert (await route_of(side))["route"] == "direct"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_wrong_credential(
    machine: Machine, coturn: Coturn, note: Path, out: Path, transport: Literal["udp", "tcp"]
) -> None:
    wrong = ("--relay-only", "--ice", coturn.ice_url(transport, password="not-the-right-one"))
    right = ("--relay-only", "--ice", coturn.ice_url(transport))
    async with machine.send(note, *wrong) as sender:
        async with machine.receive(await sender.code(), "-o", out, *right) as receiver:
            error = await sender.fails("no-route")
            assert (error["exit"], error["message"]) == (
                30,
                "Only relays are allowed, and no TURN server gave one.",
            )
            assert "the TURN server's address and credential" in error["hint"]
            assert (await receiver.fails("no-route"))["exit"] == 30
    assert "not-the-right-one" not in sender.stderr + "".join(sender.stdout)
    assert listing(out) == []


@pytest.mark.datapaths
async def test_a_relay_that_hangs_up_is_noticed_at_once(
    machine: Machine, coturn: Coturn, film: Path, out: Path
) -> None:
    options = ("--relay-only", "--limit", "1M")
    async with (
        TcpProxy(coturn.port) as between,
        machine.send(
            film,
            *options,
            "--ice",
            coturn.ice_url("tcp").replace(f":{coturn.port}", f":{between.port}"),
        ) as sender,
    ):
        code, url = await sender.code(), coturn.ice_url()
        async with machine.receive(code, "-o", out, *options, "--ice", url) as receiver:
            await receiver.moving()
            between.drop_all()
            await sender.event("reconnecting")
            assert not sender.has_stalled()
            await receiver.succeeds()
            await sender.succeeds()
    assert same(out / film.name, film)


async def test_relays_only_without_a_relay(machine: Machine, note: Path, out: Path) -> None:
    async with machine.send(note, "--relay-only") as sender:
        async with machine.receive(await sender.code(), "-o", out, "--relay-only") as receiver:
            for side in (sender, receiver):
                assert (await side.fails("no-route"))["exit"] == 30
    assert listing(out) == []


async def test_one_wants_relays_only_and_the_other_none(
    machine: Machine, coturn: Coturn, note: Path, out: Path
) -> None:
    async with machine.send(note, "--relay-only", "--ice", coturn.ice_url()) as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out, "--direct-only") as receiver:
            for side in (sender, receiver):
                error = await side.fails("no-route")
                assert error["exit"] == 30
                assert "--relay-only" in error["hint"]
    assert coturn.sessions() == []
