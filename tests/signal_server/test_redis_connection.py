"""One connection to Redis: whose answer is whose, however they come, and what ends it."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError, ResponseError

from signal_server.store.redis_connection import (
    CALL_TIMEOUT,
    RedisAddress,
    RedisConnection,
    sha_of,
)
from signal_server.store.redis_shared import SharedConnection
from tests.doctor.certificates import server_context
from tests.fakes.clock import run_virtual
from tests.fakes.ports import free_port
from tests.fakes.redis_server import needs_redis, redis_server

PASSWORD = "p@ss/word"
ECHO = "return ARGV[1]"


class Wire(asyncio.Transport):
    """A transport that remembers what was written, and leads nowhere."""

    def __init__(self, connection: RedisConnection) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._connection = connection
        self._closed = False
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is kept."""

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


def wired(heard: list[bytes] | None = None) -> tuple[RedisConnection, Wire]:
    connection = RedisConnection(None if heard is None else heard.append)
    return connection, Wire(connection)


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def published(text: bytes) -> bytes:
    return b"*3\r\n" + bulk(b"message") + bulk(b"channel") + bulk(text)


async def turn() -> None:
    """Let everything happen that is ready to."""
    for _ in range(3):
        await asyncio.sleep(0)


@given(
    answers=st.lists(
        st.tuples(st.sampled_from(["text", "error", "message"]), st.binary(max_size=40)),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    gone=st.sets(st.integers(0, 11), max_size=3),
)
def test_each_call_has_its_own_answer(
    answers: list[tuple[str, bytes]], cuts: list[int], gone: set[int]
) -> None:
    """However they are cut, with errors and published messages between, and callers gone."""

    async def main() -> None:
        heard: list[bytes] = []
        connection, wire = wired(heard)
        calls: list[asyncio.Task[bytes]] = []
        wanted, data = [], b""
        for kind, body in answers:
            if kind == "message":
                data += published(body)
                continue
            calls.append(asyncio.create_task(connection.call("GET", len(calls))))
            text = b"%d %s" % (len(calls), body)
            wanted.append(text)
            data += bulk(text) if kind == "text" else b"-ERR %d\r\n" % len(calls)
        await turn()
        assert len(wire.written) == bool(calls)  # however many they are, one write
        for number in gone:
            if number < len(calls):
                calls[number].cancel()
        await turn()
        edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
        for start, end in pairwise(edges):
            connection.data_received(data[start:end])
        results = await asyncio.gather(*calls, return_exceptions=True)
        for number, (result, text) in enumerate(zip(results, wanted, strict=True)):
            if number in gone:
                assert isinstance(result, asyncio.CancelledError)
            elif isinstance(result, ResponseError):
                assert str(result) == f"ERR {number + 1}"
            else:
                assert result == text
        assert heard == [body for kind, body in answers if kind == "message"]
        assert connection.is_open
        await connection.aclose()

    run_virtual(main)


@pytest.mark.parametrize("data", [b"nonsense\r\n", b"+OK\r\n+OK\r\n", b"$-7\r\n", b"\0"])
def test_what_is_no_answer_ends_it(data: bytes) -> None:
    async def main() -> None:
        connection, _ = wired()
        call = asyncio.create_task(connection.call("PING"))
        later = asyncio.create_task(connection.call("PING")) if data != b"+OK\r\n+OK\r\n" else None
        await turn()
        connection.data_received(data)
        if later is None:
            assert await call == b"OK"
        else:
            for each in (call, later):
                with pytest.raises(RedisError):
                    await each
        assert not connection.is_open
        with pytest.raises(RedisError):
            await connection.call("PING")
        await connection.aclose()

    run_virtual(main)


def test_a_redis_that_says_nothing_is_given_up() -> None:
    async def main() -> None:
        connection, _ = wired()
        loop = asyncio.get_running_loop()
        silent = [asyncio.create_task(connection.call("PING")) for _ in range(2)]
        for each in silent:
            with pytest.raises(TimeoutError):
                await each
        assert loop.time() == CALL_TIMEOUT
        assert not connection.is_open
        await connection.lost

    run_virtual(main)


def test_a_long_answer_may_take_its_time() -> None:
    async def main() -> None:
        connection, _ = wired()
        call = asyncio.create_task(connection.call("GET", "long"))
        data = bulk(b"x" * 20)
        for index in range(len(data)):
            await asyncio.sleep(CALL_TIMEOUT * 0.9)
            connection.data_received(data[index : index + 1])
        assert await call == b"x" * 20
        await asyncio.sleep(10 * CALL_TIMEOUT)  # nobody waits, so nothing is missed
        assert connection.is_open
        await connection.aclose()

    run_virtual(main)


def test_calls_wait_while_redis_takes_nothing() -> None:
    async def main() -> None:
        connection, wire = wired()
        connection.pause_writing()
        calls = [asyncio.create_task(connection.call("PING")) for _ in range(3)]
        await turn()
        assert wire.written == []
        connection.resume_writing()
        await turn()
        assert len(wire.written) == 1
        connection.data_received(b"+OK\r\n" * 3)
        assert await asyncio.gather(*calls) == [b"OK"] * 3
        connection.pause_writing()
        late = asyncio.create_task(connection.call("PING"))
        await turn()
        await connection.aclose()
        with pytest.raises(RedisError):
            await late

    run_virtual(main)


@pytest.mark.parametrize("code", ["NOSCRIPT", "READONLY", "LOADING"])
def test_another_redis_than_before_is_connected_to_anew(code: str) -> None:
    async def main() -> None:
        connection, _ = wired()
        call = asyncio.create_task(connection.call("EVALSHA", sha_of(ECHO), 0))
        await turn()
        connection.data_received(f"-{code} for some reason\r\n".encode())
        with pytest.raises(ResponseError, match=code):
            await call
        assert not connection.is_open
        await connection.lost

    run_virtual(main)


@pytest.mark.parametrize(
    "address", ["redis://host:port/0", "http://host", "redis://host/0?socket_timeout=soon"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RedisAddress(address)


@needs_redis
@pytest.mark.net
@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
async def test_every_kind_of_address_leads_to_a_redis(tmp_path: Path, kind: str) -> None:
    server_context(tmp_path)
    tls_port, path = free_port(), tmp_path / "socket"
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    options = (
        *("--unixsocket", str(path), "--tls-port", str(tls_port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate),
    )
    with redis_server(tmp_path, *options) as redis:
        for command in (("SET", "who", "0"), ("CONFIG", "SET", "requirepass", PASSWORD)):
            assert redis.command(*command) == b"+OK\r\n"
        secret = "p%40ss%2Fword"
        address = {
            "tcp": f"redis://:{secret}@127.0.0.1:{redis.port}/3",
            "tls": f"rediss://default:{secret}@127.0.0.1:{tls_port}/3"
            f"?ssl_ca_certs={tmp_path}/cert.pem",
            "unix": f"unix://{path}?db=3&password={secret}",
        }[kind]
        shared = SharedConnection(RedisAddress(address), scripts=[ECHO])
        try:
            calls = (shared.call("SET", f"key{number}", number) for number in range(5))
            assert await asyncio.gather(*calls) == [b"OK"] * 5  # on one connection
            assert await shared.run(ECHO, ["key0"], b"\0\r\n\xff") == b"\0\r\n\xff"
            assert await shared.call("GET", "who") is None  # in another database
            with pytest.raises(ResponseError):
                await shared.call("INCRBY", "key0", "x")
            assert await shared.call("GET", "key4") == b"4"
            await shared.call("SCRIPT", "FLUSH")
            with pytest.raises(ResponseError, match="NOSCRIPT"):
                await shared.run(ECHO, [], "again")
            assert await shared.run(ECHO, [], "again") == b"again"
        finally:
            await shared.aclose()
        with pytest.raises(RedisError):
            await RedisAddress(address.replace(secret, "wrong")).connect()
