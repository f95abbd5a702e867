"""Behind an HTTP proxy: the rendezvous through it, and every way in which one is no help."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file
from tests.fakes.connect_proxy import ConnectProxy

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
    return ConnectProxy(names={NAME: "127.0.0.1"}, **options)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
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


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"credentials": "ada:x"}, "the proxy wants a user and a password"),
        ({"answer": b"HTTP/1.1 403 No\r\n\r\n"}, "the proxy refuses to connect (HTTP 403)"),
        ({"answer": b"220 mail ESMTP\r\n"}, "the proxy does not answer as a proxy"),
        (
            {"answer": b"HTTP/1.1 200 OK\r\n", "repeat": b"A: b\r\n" * 999},
            "the proxy does not answer as a proxy",
        ),
    ],
)
async def test_a_proxy_that_is_no_help(
    machine: Machine, server: str, note: Path, options: dict[str, Any], reason: str
) -> None:
    async with proxy(**options) as between:
        machine.env["HTTPS_PROXY"] = between.url
        async with machine.send(note, "--server", server) as sender:
            await check_unreachable(sender, reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("socks5://127.0.0.1:1080", "the proxy that is set is of the kind SOCKS5, not HTTP"),
        ("http://ada:secret@127.0.0.1:x", "the proxy that is set has no valid address"),
        ("http://127.0.0.1:9", "the proxy that is set cannot be reached"),
    ],
)
async def test_a_proxy_that_is_none(
    machine: Machine, server: str, note: Path, value: str, reason: str
) -> None:
    machine.env["ALL_PROXY"] = value
    async with machine.send(note, "--server", server) as sender:
        await check_unreachable(sender, reason)
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


async def test_exceptions(machine: Machine, server: str, note: Path) -> None:
    async with proxy() as between:
        machine.env |= {"ALL_PROXY": between.url, "NO_PROXY": "example.org,.invalid"}
        async with machine.send(note, "--server", server) as sender:
            error = await sender.fails("rendezvous-unreachable")
            assert "proxy" not in error["message"]
    assert between.asked == []


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
