"""The loop whose UDP endpoints are batched, under asyncio's and aioice's own use."""

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aioice
import pytest
from aioice import stun, turn

from rtcsend.datapath.loop import DatagramBatchingLoop, new_event_loop
from rtcsend.datapath.udp import BatchedDatagramTransport
from tests.datapath.udp_ends import Recorder

pytestmark = pytest.mark.net

Main = Callable[[], Coroutine[Any, Any, None]]


def run(main: Main) -> None:
    """Run in the loop under test, with asyncio's own checks on."""
    with asyncio.Runner(loop_factory=new_event_loop, debug=True) as runner:
        runner.run(main())


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_local_and_remote_addresses(host: str) -> None:
    async def main() -> None:
        server, heard = await loop().create_datagram_endpoint(Recorder, local_addr=(host, 0))
        assert heard.calls == ["made"]
        address = server.get_extra_info("sockname")
        client, _ = await loop().create_datagram_endpoint(Recorder, remote_addr=address[:2])
        both, _ = await loop().create_datagram_endpoint(
            Recorder, local_addr=(address[0], 0), remote_addr=address[:2]
        )
        for transport in (server, client, both):
            assert isinstance(transport, BatchedDatagramTransport)
        assert client.get_extra_info("peername") == address
        client.sendto(b"client")
        both.sendto(b"both")
        await heard.until(lambda: len(heard.datagrams) == 2)
        assert heard.datagrams == [b"client", b"both"]
        assert heard.senders[1] == both.get_extra_info("sockname")
        for transport in (server, client, both):
            transport.close()
        await heard.lost.wait()

    run(main)


def test_a_name_with_several_families_takes_the_first_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infos = [
        (family, socket.SOCK_DGRAM, 17, "", address)
        for family, address in (
            (socket.AF_INET6, ("2001:db8::1", 0, 0, 0)),  # no address of this machine
            (socket.AF_INET, ("127.0.0.1", 0)),
        )
    ]

    async def main() -> None:
        async def resolve(*args: Any, **kwargs: Any) -> Any:
            return infos

        monkeypatch.setattr(loop(), "getaddrinfo", resolve)
        transport, protocol = await loop().create_datagram_endpoint(
            Recorder, local_addr=("name.invalid", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        transport.close()
        await protocol.lost.wait()

    run(main)


def test_errors_are_asyncios_own() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r".+"):
            await loop().create_datagram_endpoint(Recorder, local_addr=("192.0.2.1", 0))
        with pytest.raises(ValueError, match="address information"):
            await loop().create_datagram_endpoint(
                Recorder, local_addr=("127.0.0.1", 0), remote_addr=("::1", 9)
            )
        with pytest.raises(OverflowError):
            await loop().create_datagram_endpoint(Recorder, remote_addr=("127.0.0.1", 70_000))
        with pytest.raises(TypeError):
            await loop().create_datagram_endpoint(Recorder, local_addr=("127.0.0.1",))  # type: ignore[arg-type]  # the mistake

    run(main)


def test_a_failing_factory_leaves_no_socket_open() -> None:
    def fail() -> asyncio.DatagramProtocol:
        raise LookupError

    async def main() -> None:
        with pytest.raises(LookupError):  # an open socket would warn, which is an error here
            await loop().create_datagram_endpoint(fail, local_addr=("127.0.0.1", 0))

    run(main)


def test_cancelled_while_being_made() -> None:
    protocol = Recorder()

    async def main() -> None:
        task = asyncio.create_task(
            loop().create_datagram_endpoint(lambda: protocol, local_addr=("127.0.0.1", 0))
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.lost.wait()
        assert protocol.calls.count("lost") == 1

    run(main)


def test_everything_else_is_asyncios_own(tmp_path: Path) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        here = ("127.0.0.1", 0)
        cases: list[dict[str, Any]] = [
            {"sock": sock},
            {"family": socket.AF_INET},
            {"local_addr": here, "allow_broadcast": True},
            {"local_addr": here, "family": socket.AF_INET},
        ]
        if hasattr(socket, "SO_REUSEPORT"):
            cases.append({"local_addr": here, "reuse_port": True})
        if hasattr(socket, "AF_UNIX"):
            cases.append({"local_addr": str(tmp_path / "socket"), "family": socket.AF_UNIX})
        for case in cases:
            transport, protocol = await loop().create_datagram_endpoint(Recorder, **case)
            assert not isinstance(transport, BatchedDatagramTransport)
            transport.close()
            await protocol.lost.wait()

    run(main)


def test_options_that_say_nothing_keep_it_batched() -> None:
    async def main() -> None:
        transport, protocol = await loop().create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0), reuse_port=False, family=0, sock=None
        )
        assert isinstance(transport, BatchedDatagramTransport)
        transport.close()
        await protocol.lost.wait()

    run(main)


def test_the_loop_can_do_without_offload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatagramBatchingLoop, "offload", False)

    async def main() -> None:
        transport, protocol = await loop().create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        assert isinstance(transport, BatchedDatagramTransport)
        assert not transport.segmentation
        assert not transport.coalescing
        transport.close()
        await protocol.lost.wait()

    run(main)


def test_windows_keeps_its_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = new_event_loop()
    monkeypatch.setattr(sys, "platform", "win32")
    theirs = new_event_loop()
    assert isinstance(ours, DatagramBatchingLoop)
    assert not isinstance(theirs, DatagramBatchingLoop)
    ours.close()
    theirs.close()


# aioice


def test_two_ice_connections_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"], raising=True)

    async def main() -> None:
        one = aioice.Connection(ice_controlling=True)
        other = aioice.Connection(ice_controlling=False)
        for this, that in ((one, other), (other, one)):
            await this.gather_candidates()
            that.remote_username = this.local_username
            that.remote_password = this.local_password
        for this, that in ((one, other), (other, one)):
            assert this.local_candidates
            for candidate in this.local_candidates:
                await that.add_remote_candidate(candidate)
            await that.add_remote_candidate(None)
        await asyncio.gather(one.connect(), other.connect())
        transport = one._nominated[1].protocol.transport
        assert isinstance(transport, BatchedDatagramTransport)
        await one.send(b"there")
        await other.send(b"and back")
        assert await other.recv() == b"there"
        assert await one.recv() == b"and back"
        await one.close()
        await other.close()

    run(main)


class TurnServer(asyncio.DatagramProtocol):
    """Says yes to allocations, and nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        response = stun.Message(
            message_method=request.message_method,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        response.attributes["LIFETIME"] = 600
        response.attributes["XOR-RELAYED-ADDRESS"] = ("192.0.2.9", 4_000)
        response.attributes["XOR-MAPPED-ADDRESS"] = addr
        self.transport.sendto(bytes(response), addr)


def test_turn_over_udp_is_batched_too() -> None:
    async def main() -> None:
        server, _ = await loop().create_datagram_endpoint(TurnServer, local_addr=("127.0.0.1", 0))
        protocol = Recorder()
        transport, _ = await turn.create_turn_endpoint(
            lambda: protocol,
            server_addr=server.get_extra_info("sockname"),
            username=None,
            password=None,
        )
        assert transport.get_extra_info("sockname") == ("192.0.2.9", 4_000)
        inner = vars(transport)["_TurnTransport__inner_protocol"].transport
        assert isinstance(inner, BatchedDatagramTransport)
        transport.close()
        await protocol.lost.wait()
        server.close()
        await asyncio.sleep(0)

    run(main)
