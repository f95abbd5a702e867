"""Credentials for TURN servers: as the draft has them, and as a real coturn takes them."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from aioice import stun, turn

from signal_server.messages import IceServer
from signal_server.turn import ID_BYTES, turn_server
from tests.fakes.coturn import Coturn, require_coturn

URLS = ("turn:t.example:3478",)


def minted(secret: str, *, now: float, lifetime: float = 60.0, entropy: bytes = b"") -> IceServer:
    entropy = entropy or bytes(ID_BYTES)
    return turn_server(URLS, secret=secret, now=now, lifetime=lifetime, entropy=entropy)


def test_a_known_answer() -> None:
    # openssl: printf 1800000060:AAAAAAAAAAAA | openssl dgst -sha1 -hmac north -binary | base64
    server = minted("north", now=1_800_000_000.5)
    assert server == IceServer(URLS, "1800000060:AAAAAAAAAAAA", "+uxcLI5Kq/czJh0pFUGtYTYoAHU=")


def test_each_client_has_its_own() -> None:
    one, other = (minted("north", now=0.0, entropy=bytes([n] * ID_BYTES)) for n in (1, 2))
    assert one.username != other.username
    assert one.credential != other.credential
    assert "credential" not in repr(one)


async def allocate(coturn: Coturn, server: IceServer) -> None:
    """Begin an allocation, and give it back.

    Raises:
        TransactionFailed: coturn refuses.
    """
    address = ("127.0.0.1", coturn._port)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: turn.TurnClientUdpProtocol(address, server.username, server.credential, 600, 500),
        remote_addr=address,
    )
    try:
        relayed = await protocol.connect()
        assert relayed[0] == "127.0.0.1"
        await protocol.delete()
    finally:
        transport.close()


@pytest.mark.coturn
@pytest.mark.net
async def test_coturn_takes_them_until_they_expire(tmp_path: Path) -> None:
    require_coturn()
    now = time.time()  # noqa: TID251 - coturn's clock
    async with Coturn(tmp_path) as coturn:
        secret = coturn._secret
        await allocate(coturn, minted(secret, now=now))
        for refused in (minted(secret, now=now - 120.0), minted("another", now=now)):
            with pytest.raises(stun.TransactionFailed):  # 401, after which it may also be 438
                await allocate(coturn, refused)
        assert len(coturn.sessions()) == 1
        assert re.search(r"user <\d+:AAAAAAAAAAAA>", coturn.log)
