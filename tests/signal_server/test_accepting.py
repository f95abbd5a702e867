"""Connections let in, cut, given up and counted, on each event loop that a server may run on."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.machine_events import MessageReceived
from signal_server import accepting
from signal_server.accepting import MAX_ACCEPTS
from signal_server.event_loop import name_of, new_event_loop
from signal_server.limits import Limits
from signal_server.server import RendezvousServer
from tests.signal_server.loopback import config, dial, get, http, read, until

pytestmark = pytest.mark.net

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, new_event_loop], ids=["asyncio", "installed"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on an event loop: asyncio's, or the one that a server would choose."""

    def on_a_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test)

    return on_a_loop


async def test_uvloop_is_taken_where_it_is_installed() -> None:
    loop = new_event_loop()
    try:
        assert name_of(loop) == "uvloop"  # a package that the tests need
    finally:
        loop.close()
    assert name_of(asyncio.get_running_loop()) == "asyncio"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_two_sides_meet(run: Run, tmp_path: Path, *, tls: bool) -> None:
    async def test() -> None:
        own = config(tls_self_signed=tls, state_dir=tmp_path)
        async with RendezvousServer(own) as server:
            scheme, pin = ("wss", f"#sha256={server.fingerprint}") if tls else ("ws", "")
            url = f"{scheme}://127.0.0.1:{server.port}{pin}"
            async with RendezvousClient(url) as first, RendezvousClient(url) as second:
                nameplate = await first.allocate()
                await second.claim(nameplate)
                await first.send(b"x" * 40_000)
                while not isinstance(event := await second.receive(), MessageReceived):
                    pass
                assert event.body == b"x" * 40_000
            await until(lambda: not server.counters.connections)

    run(test())


def test_what_is_small_goes_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm would hold the second of two messages back for 40 ms."""
    options: list[int] = []

    async def test() -> None:
        make = accepting.Acceptor._connect

        async def noted(self: accepting.Acceptor, accepted: socket.socket, admitted: Any) -> None:
            options.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            await make(self, accepted, admitted)

        monkeypatch.setattr(accepting.Acceptor, "_connect", noted)
        async with (
            RendezvousServer(config()) as server,
            RendezvousClient(f"ws://127.0.0.1:{server.port}"),
        ):
            assert options
            assert all(options)

    run(test())


def test_a_flood_is_cut_and_others_are_served(run: Run) -> None:
    async def test() -> None:
        limits = Limits(sockets_per_source=2, new_sockets_per_minute=1)
        async with RendezvousServer(config(limits=limits)) as server:
            flood = [socket.socket() for _ in range(3 * MAX_ACCEPTS)]
            for each in flood:
                each.connect(("127.0.0.1", server.port))
            await until(lambda: server.counters.limits["connections"] > MAX_ACCEPTS)
            assert server.counters.connections <= 4
            for each in flood:
                each.close()
            await until(lambda: not server.counters.connections)
            elsewhere = await asyncio.open_connection(
                "127.0.0.1", server.port, local_addr=("127.0.0.9", 0)
            )
            elsewhere[1].write(get("/healthz"))
            assert (await elsewhere[0].readline()).startswith(b"HTTP/1.1 200")
            elsewhere[1].close()

    run(test())


def test_who_does_not_speak_tls_is_forgotten(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        own = config(tls_self_signed=True, state_dir=tmp_path, limits=Limits(handshake_seconds=0.2))
        async with RendezvousServer(own) as server:
            silent = await asyncio.open_connection("127.0.0.1", server.port)
            babbling = await asyncio.open_connection("127.0.0.1", server.port)
            babbling[1].write(get("/healthz"))
            for reader, writer in (silent, babbling):
                await reader.read()
                writer.close()
            await until(lambda: not server.counters.connections)

    run(test())


def test_a_server_that_ends_gives_up_handshakes(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        async with RendezvousServer(config(tls_self_signed=True, state_dir=tmp_path)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: server.counters.connections == 1)
        await until(lambda: not server.counters.connections)
        assert await reader.read() == b""
        writer.close()

    run(test())


def test_the_certificate_that_is_pinned_is_asked_for(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        async with RendezvousServer(config(tls_self_signed=True, state_dir=tmp_path)) as server:
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection(
                    "127.0.0.1", server.port, ssl=ssl.create_default_context()
                )
            await until(lambda: not server.counters.connections)

    run(test())


async def test_without_descriptors_it_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "REST", 0.01)
    failures = [errno.EMFILE, errno.ENOBUFS]
    accept = socket.socket.accept

    def failing(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise OSError(failures.pop(), "none left")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    async with RendezvousServer(config()) as server, dial(server) as websocket:
        await read(websocket)
    assert not failures


async def test_a_server_may_end_while_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    def failing(_self: socket.socket) -> tuple[socket.socket, Any]:
        tried.set()
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(socket.socket, "accept", failing)
    async with RendezvousServer(config()) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await tried.wait()
        writer.close()


async def test_a_loop_that_accepts_by_itself_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' event loop waits for no readable sockets."""

    def add_reader(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "add_reader", add_reader)
        server = RendezvousServer(config())
        await server.__aenter__()
    try:
        head, _ = await http(server, get("/healthz"))
        assert head.startswith(b"HTTP/1.1 200")
    finally:
        await server.__aexit__(None, None, None)
