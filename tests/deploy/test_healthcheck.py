"""The container's health check, run as Docker runs it: beside a real server on loopback."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from signal_server.server import RendezvousServer
from tests.fakes.ports import free_port
from tests.signal_server.loopback import config

pytestmark = pytest.mark.net

CHECK = Path(__file__).parents[2] / "deploy" / "healthcheck.py"


async def check(port: int) -> tuple[int | None, str]:
    """Return the exit code, and what is said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", CHECK),
        env={**os.environ, "RTCSEND_SERVER_PORT": str(port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_a_server_is_healthy_with_tls_and_without(tmp_path: Path) -> None:
    for tls in (False, True):
        settings = config(tls_self_signed=tls, state_dir=tmp_path)
        async with RendezvousServer(settings) as server:
            assert await check(server.port) == (0, "")


async def test_what_does_not_answer_is_not_healthy() -> None:
    code, said = await check(free_port())
    assert code == 1
    assert said.count("\n") == 1


async def test_another_answer_is_not_health() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        code, said = await check(server.sockets[0].getsockname()[1])
    assert code == 1
    assert said.count("\n") == 1
