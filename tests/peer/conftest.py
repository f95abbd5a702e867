"""What the tests with real sockets share: loopback alone, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rtcsend.peer.gathering import loopback_addresses

_TURNS = 200  # of the loop, in which what was cancelled must have ended


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ICE gather 127.0.0.1 and nothing else, whatever this machine is connected to."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_families: ["127.0.0.1"])
    addresses = loopback_addresses(["127.0.0.1"])
    monkeypatch.setattr("rtcsend.peer.ice.host_addresses", lambda: addresses)


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail when a task outlives the test; its loop has no others."""
    yield
    for _ in range(_TURNS):
        if not _others():
            return
        await asyncio.sleep(0)
    assert _others() == set()


def _others() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.fixture(params=["own", "stock"])
def datapath(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test over our own data path, and over plain aiortc's."""
    path: str = request.param
    if path == "stock":
        monkeypatch.setenv("RTCSEND_DATAPATH", "stock")
    else:
        monkeypatch.delenv("RTCSEND_DATAPATH", raising=False)
    return path
