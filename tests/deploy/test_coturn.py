"""The coturn configuration for operators, with a real coturn: whom it relays to, and whom not."""

import asyncio
import base64
import contextlib
import datetime
import hmac
import ipaddress
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aioice import stun
from aioice.turn import TurnClientTcpProtocol, TurnClientUdpProtocol

from tests.fakes.coturn import READY, START_TIMEOUT, require_coturn
from tests.fakes.ports import free_port

pytestmark = pytest.mark.coturn

DEPLOY = Path(__file__).parents[2] / "deploy"
FORBIDDEN = 403  # RFC 8656 section 9.2
UNSUPPORTED = 442  # RFC 8656 section 7.2: no such transport

REFUSED = (
    *("0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.168.1.1", "198.18.0.1", "203.0.113.7"),
    *("224.0.0.1", "239.255.255.255", "255.255.255.255"),
)
ALLOWED = ("1.1.1.1", "9.9.9.9", "100.63.255.255", "172.15.0.1", "172.32.0.1", "192.167.1.1")


@contextlib.asynccontextmanager
async def coturn(tmp_path: Path) -> AsyncIterator[tuple[int, str, str]]:
    """A coturn with the operators' configuration: its port, a user name and a password."""
    require_coturn()
    folder = set_up(tmp_path)
    secret = (folder / "secrets" / "turn-secret").read_text()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("turnserver", "-c", str(folder / "secrets" / "turnserver.conf")),
        *(f"--listening-port={port}", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"),
        *(f"--pidfile={tmp_path / 'pid'}", f"--userdb={tmp_path / 'db'}", "--verbose"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        await listening(process)
        now = datetime.datetime.now(datetime.UTC).timestamp()
        expiry = str(int(now) + 600)
        digest = hmac.digest(secret.encode(), expiry.encode(), "sha1")
        yield port, expiry, base64.b64encode(digest).decode()
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[TurnClientUdpProtocol]:
    """An allocation at a coturn that runs with the operators' configuration."""
    async with coturn(tmp_path) as (port, name, password):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: TurnClientUdpProtocol(
                ("127.0.0.1", port), name, password, lifetime=600, channel_refresh_time=500
            ),
            remote_addr=("127.0.0.1", port),
        )
        try:
            await protocol.connect()
            yield protocol
            await protocol.delete()
        finally:
            transport.close()


def set_up(tmp_path: Path) -> Path:
    """Return the folder of an operator."""
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    subprocess.run(
        ["sh", "setup.sh", "turn.example.org"], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return folder


async def listening(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None, "it was started with a pipe"
    seen = ""
    async with asyncio.timeout(START_TIMEOUT):
        async for line in process.stdout:
            seen += line.decode()
            if READY in seen:
                return
    raise AssertionError(f"coturn did not start: {seen}")


async def permission(relay: TurnClientUdpProtocol, peer: str) -> int:
    """Ask for a permission, and return the error code; 0 when it is given."""
    request = stun.Message(
        message_method=stun.Method.CREATE_PERMISSION, message_class=stun.Class.REQUEST
    )
    request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
    try:
        await relay.request_with_retry(request)
    except stun.TransactionFailed as exc:
        return int(exc.response.attributes["ERROR-CODE"][0])
    return 0


async def test_nobody_gets_into_private_networks(relay: TurnClientUdpProtocol) -> None:
    refusals = {peer: await permission(relay, peer) for peer in REFUSED}
    assert refusals == dict.fromkeys(REFUSED, FORBIDDEN)


async def test_peers_on_the_internet_are_reached(relay: TurnClientUdpProtocol) -> None:
    """Nothing is sent to them: a permission is a matter between client and relay."""
    assert {peer: await permission(relay, peer) for peer in ALLOWED} == dict.fromkeys(ALLOWED, 0)


async def test_it_makes_no_tcp_connections_for_anybody(tmp_path: Path) -> None:
    """By RFC 6062 section 4.1 one asks for them over TCP, with 6 in REQUESTED-TRANSPORT."""
    async with coturn(tmp_path) as (port, name, password):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(
            lambda: TurnClientTcpProtocol(
                ("127.0.0.1", port), name, password, lifetime=600, channel_refresh_time=500
            ),
            "127.0.0.1",
            port,
        )
        request = stun.Message(
            message_method=stun.Method.ALLOCATE, message_class=stun.Class.REQUEST
        )
        request.attributes["LIFETIME"] = 600
        request.attributes["REQUESTED-TRANSPORT"] = 6 << 24
        with pytest.raises(stun.TransactionFailed) as refused:
            await protocol.request_with_retry(request)
        transport.close()
    assert refused.value.response.attributes["ERROR-CODE"][0] in {FORBIDDEN, UNSUPPORTED}


def test_all_that_is_not_global_is_denied() -> None:
    """Held against Python's copy of the IANA registries."""
    text = (DEPLOY / "coturn" / "turnserver.conf").read_text()
    ranges = []
    for line in text.splitlines():
        if line.startswith("denied-peer-ip="):
            low, _, high = line.partition("=")[2].partition("-")
            first, last = ipaddress.ip_address(low), ipaddress.ip_address(high or low)
            assert first.version == last.version
            ranges.append((first.version, int(first), int(last)))

    def denied(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(v == address.version and a <= int(address) <= b for v, a, b in ranges)

    for number in range(256 * 256):
        address = ipaddress.IPv4Address(number << 16 | 1)
        if not address.is_global or address.is_multicast:
            assert denied(address), address
    for text_ in ("::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2001:db8::1", "2002:a00:1::"):
        assert denied(ipaddress.ip_address(text_)), text_
    for text_ in ("fc00::1", "fd12:3456::1", "fe80::1", "ff02::1", "100::1"):
        assert denied(ipaddress.ip_address(text_)), text_
    for text_ in ("8.8.8.8", "2600::1", "2a00:1450::1", "2001:4860::8888"):
        assert not denied(ipaddress.ip_address(text_)), text_
