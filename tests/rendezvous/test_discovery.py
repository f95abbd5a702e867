import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.errors import NoSuchCode, Refused, RendezvousUnreachable
from rtcsend.rendezvous import discovery
from rtcsend.rendezvous.discovery import find_rendezvous, first_reachable
from rtcsend.rendezvous.lan import LanService

LOCAL = "ws://127.0.0.1:1/v1"
LAN = "ws://192.168.1.7:2/v1"


class Network:
    """What this machine and the LAN answer."""

    def __init__(self) -> None:
        self.local: dict[str, list[str]] = {}
        self.services: list[LanService] = []
        self.searches = 0

    def find_local(self, nameplate: str) -> list[str]:
        return self.local.get(nameplate, [])

    def any_local(self) -> bool:
        return bool(self.local)

    async def browse_lan(self, nameplate: str, **options: float) -> list[LanService]:
        assert nameplate
        assert options == {"timeout": 3.0}
        self.searches += 1
        return self.services


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    for name in ("find_local", "any_local", "browse_lan"):
        monkeypatch.setattr(discovery, name, getattr(network, name))
    return network


def service(nameplate: str, *urls: str) -> LanService:
    return LanService(f"{nameplate}-{urls}", nameplate, urls)


async def test_this_machine_comes_first(network: Network) -> None:
    network.local = {"7": [LOCAL]}
    network.services = [service("7", LAN)]
    assert await find_rendezvous("7", lan=True) == LOCAL
    assert network.searches == 0


async def test_then_the_lan(network: Network) -> None:
    network.local = {"8": [LOCAL]}
    network.services = [service("9", "ws://10.0.0.1:3/v1"), service("7", LAN)]
    assert await find_rendezvous("7", lan=True) == LAN


async def test_the_lan_can_be_turned_off(network: Network) -> None:
    network.services = [service("7", LAN)]
    with pytest.raises(RendezvousUnreachable) as caught:
        await find_rendezvous("7", lan=False)
    assert network.searches == 0
    assert "network" not in caught.value.message
    assert "--server" in caught.value.hint


async def test_nothing_at_all(network: Network) -> None:
    with pytest.raises(RendezvousUnreachable) as caught:
        await find_rendezvous("7", lan=True)
    assert "rtcsend send" in caught.value.hint


@pytest.mark.parametrize("where", ["local", "lan"])
async def test_others_but_not_this_one(network: Network, where: str) -> None:
    if where == "local":
        network.local = {"8": [LOCAL]}
    else:
        network.services = [service("8", LAN)]
    with pytest.raises(NoSuchCode):
        await find_rendezvous("7", lan=True)


async def test_two_senders_with_one_number(network: Network) -> None:
    network.services = [service("7", LAN), service("7", "ws://192.168.1.8:2/v1")]
    with pytest.raises(Refused) as caught:
        await find_rendezvous("7", lan=True)
    assert "--server" in caught.value.hint


async def test_one_server_announced_twice_is_one(network: Network) -> None:
    network.services = [service("7", LAN), service("7", LAN)]
    assert await find_rendezvous("7", lan=True) == LAN


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.net
async def test_the_first_that_takes_connections(listening: str, closed: str) -> None:
    assert await first_reachable([closed, listening]) == listening
    assert await first_reachable([listening, closed]) == listening
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.net
async def test_none_takes_connections(closed: str) -> None:
    assert await first_reachable([closed, closed]) == closed


@pytest.mark.net
async def test_a_filtered_address_does_not_hold_up(
    listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asyncio.open_connection

    async def filtered(host: str, port: int) -> object:
        if host == "192.0.2.1":
            await asyncio.Event().wait()
        return await real(host, port)

    monkeypatch.setattr(asyncio, "open_connection", filtered)
    assert await first_reachable(["ws://192.0.2.1:1/v1", listening]) == listening
    monkeypatch.setattr(discovery, "PROBE_TIMEOUT", 0.05)
    first = "ws://192.0.2.1:1/v1"
    assert await first_reachable([first, "ws://192.0.2.1:2/v1"]) == first


@pytest.mark.net
async def test_the_second_is_not_tried_while_the_first_answers(
    listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asyncio.open_connection
    tried = []

    async def recording(host: str, port: int) -> object:
        tried.append(host)
        return await real(host, port)

    monkeypatch.setattr(asyncio, "open_connection", recording)
    monkeypatch.setattr(discovery, "PROBE_STAGGER", 1.0)
    assert await first_reachable([listening, "ws://192.0.2.1:1/v1"]) == listening
    assert tried == ["127.0.0.1"]


async def test_one_url_is_not_probed(tmp_path: Path) -> None:
    assert await first_reachable([LOCAL]) == LOCAL
