"""Behind an HTTP proxy: the rendezvous through it, and every way in which one is no help."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file
from tests.fakes.connect_proxy import ConnectProxy
from tests.fakes.coturn import NAME as RELAY
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = [pytest.mark.e2e, pytest.mark.net]

NAME = "rendezvous.invalid"  # which the proxy knows, and nobody else
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "WS_PROXY", "WSS_PROXY")


@pytest.fixture
def note(machine: Machine) -> Path:
    return random_file(machine.folder / "note.txt", 100_000)


@pytest.fixture
async def server(machine: Machine) -> AsyncIterator[str]:
    """A rendezvous server, by a name that leads there through the proxy only."""
    for name in VARIABLES:
        machine.env.pop(name, None)
        machine.env.pop(name.lower(), None)
    async with machine.server() as (_, url):
        yield url.replace("127.0.0.1", NAME)


def proxy(**options: Any) -> ConnectProxy:
    return ConnectProxy(names={NAME: "127.0.0.1", RELAY: "127.0.0.1"}, **options)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
async def test_both_sides_through_it(
    machine: Machine, server: str, note: Path, variable: str
) -> None:
    out = machine.folder / "out"
    out.mkdir()
    async with proxy(credentials="ada:l@ce") as between:
        machine.env[variable] = between.url.replace("://", "://ada:l%40ce@")
        async with machine.send(note, "--server", server) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, "--server", server) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    assert same(out / note.name, note)
    assert between.asked == [server.removeprefix("ws://")] * 2
    assert "l@ce" not in "".join(side.stderr for side in machine.sides)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def check_unreachable(side: Side, reason: str) -> None:
    error = await side.fails("rendezvous-unreachable")
    assert error["exit"] == 10
    assert error["message"] == f"The rendezvous server cannot be reached: {reason}."
    assert "NO_PROXY" in error["hint"]


async def test_a_proxy_that_is_no_help(machine: Machine, server: str, note: Path) -> None:
    async with proxy(credentials="ada:x") as between:
        machine.env["HTTPS_PROXY"] = between.url
        async with machine.send(note, "--server", server) as sender:
            await check_unreachable(sender, "the proxy wants a user and a password")


async def test_a_proxy_that_is_none(machine: Machine, server: str, note: Path) -> None:
    machine.env["ALL_PROXY"] = "socks5://ada:secret@127.0.0.1:1080"
    async with machine.send(note, "--server", server) as sender:
        await check_unreachable(sender, "the proxy that is set is of the kind SOCKS5, not HTTP")
    assert "secret" not in sender.stderr + "".join(sender.stdout)


async def test_what_is_near_needs_no_proxy(machine: Machine, note: Path) -> None:
    out = machine.folder / "out"
    out.mkdir()
    async with ConnectProxy(answer=b"HTTP/1.1 403 No\r\n\r\n") as between:
        machine.env |= {"ALL_PROXY": between.url, "HTTPS_PROXY": between.url}
        async with machine.send(note) as sender:
            async with machine.receive(await sender.code(), "-o", out) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    assert between.asked == []
    assert listing(out) == [note.name]


@pytest.fixture
async def coturn(
    tmp_path_factory: pytest.TempPathFactory, machine: Machine
) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        machine.env |= server.environment
        yield server


@pytest.mark.coturn
@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_a_relay_through_it(
    machine: Machine, server: str, coturn: Coturn, note: Path, way: Literal["tcp", "tls"]
) -> None:
    out = machine.folder / "out.txt"
    options = ("--relay-only", "--server", server, "--ice", coturn.ice_url(way, host=RELAY))
    async with proxy(credentials="ada:x") as between:
        machine.env["HTTPS_PROXY"] = between.url.replace("://", "://ada:x@")
        async with machine.send(note, *options) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, *options) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    assert same(out, note)
    for side in (sender, receiver):
        connected = await side.event("connected")
        assert (connected["route"], connected["relay_protocol"]) == ("relay", way)
    assert set(between.asked) == {server.removeprefix("ws://"), f"{RELAY}:{coturn.port}"}


@pytest.mark.coturn
async def test_a_relay_that_the_proxy_refuses(
    machine: Machine, rendezvous: str, coturn: Coturn, note: Path
) -> None:
    url = coturn.ice_url("tls", host=RELAY)
    options = ("-v", "--relay-only", "--server", rendezvous, "--ice", url)
    async with proxy(answer=b"HTTP/1.1 403 No\r\n\r\n") as between:
        machine.env["HTTPS_PROXY"] = between.url
        async with machine.send(note, "--trace", "one", *options) as sender:
            async with machine.receive(await sender.code(), "--trace", "two", *options) as receiver:
                for side in (sender, receiver):
                    assert (await side.fails("no-route"))["exit"] == 30
    # The first that has no relay ends both.
    traces = [(machine.folder / name).read_text() for name in ("one", "two")]
    assert '"result": "proxy"' in "".join(traces)
    assert "no relay by tls: proxy" in sender.stderr + receiver.stderr


@pytest.mark.coturn
async def test_the_doctor_looks_at_relays_through_it(
    machine: Machine, server: str, coturn: Coturn
) -> None:
    async with proxy() as between:
        machine.env["HTTPS_PROXY"] = between.url
        async with machine.run(
            "doctor", "--json", "--ice", coturn.ice_url("tls", host=RELAY)
        ) as one:
            assert await one.exit() == 0
        found = {event["check"]: event for event in one.events if event.get("area") == "turn"}
        assert found["proxy"]["text"] == f"goes through the proxy 127.0.0.1:{between.port}"
        assert {found[check]["status"] for check in ("allocation", "throughput")} == {"ok"}
    assert set(between.asked) == {f"{RELAY}:{coturn.port}"}


async def test_the_doctor_goes_the_same_way(machine: Machine, server: str) -> None:
    async with proxy(credentials="ada:x") as between:
        machine.env["HTTPS_PROXY"] = between.url.replace("://", "://ada:x@")
        async with machine.run("doctor", "--json", "--server", server) as doctor:
            assert await doctor.exit() == 0
        found = {(event["check"]): event for event in doctor.events if event.get("area")}
        assert found["proxy"]["text"] == f"goes through the proxy 127.0.0.1:{between.port}"
        assert found["round-trip"]["status"] == "ok"
        machine.env["HTTPS_PROXY"] = between.url
        async with machine.run("doctor", "--json", "--server", server) as doctor:
            assert await doctor.exit() == 10
        (failed,) = (event for event in doctor.events if event.get("status") == "failed")
        assert failed["text"] == "The proxy wants a user and a password."
        assert failed["values"] == {"reason": "proxy-credential"}
