"""What a real coturn does with an allocation whose credential has expired, and whose nonces do."""

import asyncio
import urllib.parse
from pathlib import Path

import pytest
from aioice.turn import TurnTransport

from rtcsend.peer.turn_client import TurnUdpClient
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = pytest.mark.coturn

LIFETIME = 4  # seconds of the allocation: it is renewed each half, so a busy machine may lose two
NONCE = 1  # seconds
CREDENTIAL = 3  # seconds
REFRESHES = 3  # after 2, 4 and 6 seconds: two of them after the end of the credential


class Receiver(asyncio.DatagramProtocol):
    """Keeps whether it was told of the end."""

    is_lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


async def test_a_credential_that_has_expired_is_good_for_its_allocation(tmp_path: Path) -> None:
    require_coturn()
    options = (f"--max-allocate-lifetime={LIFETIME}", f"--stale-nonce={NONCE}")
    async with Coturn(tmp_path, *options) as coturn:
        address = ("127.0.0.1", coturn.port)
        user, password = credential(coturn.ice_url(lifetime=CREDENTIAL))
        _, client = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: TurnUdpClient(address, username=user, password=password), remote_addr=address
        )
        relay, receiver = TurnTransport(client), Receiver()
        await relay._connect(receiver)
        await coturn.until(lambda: coturn.log.count(": refreshed, ") >= REFRESHES)
        assert "error 438: Stale nonce" in coturn.log
        assert not receiver.is_lost
        relay.close()
        await coturn.until(lambda: ", lifetime=0" in coturn.log)


def credential(url: str) -> tuple[str, str]:
    """Return user and password of an ``--ice`` URL."""
    user, password = url.partition(":")[2].rpartition("@")[0].split(":")
    return urllib.parse.unquote(user), urllib.parse.unquote(password)
