"""The rendezvous: not there, silent, killed, restarted, and its sockets broken; nobody comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file
from tests.fakes.tcp_proxy import TcpProxy

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"
SLOW = ("--limit", "400k")  # of 400,000 bytes: a second in which something can happen


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 400_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@asynccontextmanager
async def listener(answer: bytes) -> AsyncIterator[str]:
    """Take connections; say ``answer`` to whoever says something, and nothing more."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.read(4096)
            writer.write(answer)
            await reader.read()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def both_fail_to_reach(machine: Machine, film: Path, out: Path, url: str) -> str:
    """Run both commands against ``url``; return the sentence, which is the same."""
    async with machine.send(film, "--server", url) as sender:
        async with machine.receive(CODE, "-o", out, "--server", url) as receiver:
            errors = [await side.fails("rendezvous-unreachable") for side in (sender, receiver)]
    assert [error["exit"] for error in errors] == [10, 10]
    assert errors[0]["message"] == errors[1]["message"]
    assert "--server" in errors[0]["hint"]
    assert listing(out) == []
    message: str = errors[0]["message"]
    return message


async def test_nobody_listens(machine: Machine, film: Path, out: Path) -> None:
    async with listener(b"") as url:
        pass
    message = await both_fail_to_reach(machine, film, out, url)
    assert "refused" in message


async def test_nobody_listens_at_a_name_with_two_addresses(
    machine: Machine, film: Path, out: Path
) -> None:
    async with listener(b"") as url:
        pass
    url = url.replace("127.0.0.1", "localhost")
    message = await both_fail_to_reach(machine, film, out, url)
    assert "OSError" not in message


async def test_it_takes_the_connection_and_never_answers(
    machine: Machine, film: Path, out: Path
) -> None:
    async with listener(b"") as url:
        message = await both_fail_to_reach(machine, film, out, url)
    assert "does not answer" in message


async def test_it_is_something_else(machine: Machine, film: Path, out: Path) -> None:
    async with listener(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as url:
        message = await both_fail_to_reach(machine, film, out, url)
    assert "404" in message


async def test_its_name_does_not_exist(machine: Machine, film: Path) -> None:
    command = ("--no-names", "send", "--json", film, "--server", "ws://nowhere.invalid")
    async with machine.run(*command, module="tests.e2e.impatient") as sender:
        assert (await sender.fails("rendezvous-unreachable"))["exit"] == 10


async def test_it_dies_before_the_other_side_comes(machine: Machine, film: Path) -> None:
    async with machine.server() as (server, url):
        command = ("send", "--json", film, "--server", url)
        async with machine.run(*command, module="tests.e2e.impatient") as sender:
            await sender.code()
            server.process.kill()
            assert (await sender.fails("rendezvous-unreachable"))["exit"] == 10
    assert sender.names() == ["code", "error"]


@pytest.mark.parametrize("restarted", [True, False])
async def test_it_dies_when_the_two_are_connected(
    machine: Machine, film: Path, out: Path, *, restarted: bool
) -> None:
    async with machine.server() as (server, url):
        async with machine.send(film, "--server", url, *SLOW) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, "--server", url) as receiver:
                await asyncio.gather(sender.event("connected"), receiver.event("connected"))
                server.process.kill()
                await server.exit()
                if restarted:
                    async with machine.server(port=port_of(url)):
                        await both_succeed(sender, receiver)
                else:
                    await both_succeed(sender, receiver)
    assert listing(out) == ["film.iso"]


async def both_succeed(sender: Side, receiver: Side) -> None:
    await receiver.succeeds()
    await sender.succeeds()


@pytest.mark.parametrize("phase", ["code", "paired", "connected", "progress"])
async def test_its_sockets_break(machine: Machine, film: Path, out: Path, phase: str) -> None:
    async with machine.server() as (_, url), TcpProxy(port_of(url)) as proxy:
        async with machine.send(film, "--server", proxy.url, *SLOW) as sender:
            code = await sender.code()
            if phase == "code":
                proxy.drop_all()
            async with machine.receive(code, "-o", out, "--server", proxy.url) as receiver:
                if phase != "code":
                    await sender.event(phase)
                    proxy.drop_all()
                await both_succeed(sender, receiver)
    assert proxy.connections > 2
    assert listing(out) == ["film.iso"]


@pytest.mark.parametrize("cut_after", [400, 1200])
async def test_its_socket_breaks_amid_a_message(
    machine: Machine, film: Path, out: Path, cut_after: int
) -> None:
    async with machine.server() as (_, url), TcpProxy(port_of(url)) as proxy:
        async with machine.send(film, "--server", proxy.url) as sender:
            code = await sender.code()
            proxy.cut_after = cut_after
            async with machine.receive(code, "-o", out, "--server", proxy.url) as receiver:
                await both_succeed(sender, receiver)
    assert proxy.connections == 3


async def test_the_other_side_never_comes(machine: Machine, film: Path) -> None:
    async with machine.send(film, "--timeout", "0.5") as sender:
        error = await sender.fails("peer-never-came")
    assert error["exit"] == 13
    assert "--timeout" in error["hint"]
    assert machine.announcements() == []


async def test_the_receiver_never_answers(machine: Machine, film: Path, out: Path) -> None:
    async with machine.send(film, "--timeout", "15") as sender:  # the receiver starts in that time
        command = ("receive", "--json", await sender.code(), "-o", out)
        async with machine.on_terminal(*command, stdout_is_pipe=True) as receiver:
            await receiver.stderr_has("Accept? [Y/n] ")
            assert (await sender.fails("peer-never-came"))["exit"] == 13
            error = await receiver.fails("aborted")
            assert "did not answer" in error["message"]
            assert receiver.echoes()
    assert listing(out) == []
