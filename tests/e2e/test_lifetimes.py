"""Transfers that live longer than credentials, nonces, allocations, permissions and channels.

All of them end after two or four seconds, at a real coturn, and a slow transfer outlives them
more than twice: by UDP, TCP and TLS, side by side.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import pytest

from rtcsend.peer.lanes import MAX_LANES
from tests.e2e.processes import Machine, Side, random_file
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = [pytest.mark.e2e, pytest.mark.coturn]

LIFETIME: Final = 4  # seconds of everything but the nonce; a busy machine may lose half
RATE: Final = 100_000  # bytes per second
SECONDS: Final = 10  # of the transfer: more than two lifetimes
SHORT: Final = (
    f"--max-allocate-lifetime={LIFETIME}",
    f"--permission-lifetime={LIFETIME}",
    f"--channel-lifetime={LIFETIME}",
    "--stale-nonce=2",
)
Way = Literal["udp", "tcp", "tls"]


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn"), *SHORT) as server:
        yield server


async def transfer(machine: Machine, film: Path, url: str, way: Way) -> tuple[Side, Side]:
    out = machine.folder / f"{way}.iso"
    options = ("--relay-only", "--ice", url, "--limit", str(RATE))
    module = "tests.e2e.lifetimes"
    async with machine.send(film, *options, module=module) as sender:
        code = await sender.code()
        async with machine.receive(code, "-o", out, *options, module=module) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert out.read_bytes() == film.read_bytes()  # noqa: ASYNC240 - at the end
    return sender, receiver


async def test_everything_ends_and_nobody_notices(machine: Machine, coturn: Coturn) -> None:
    film = random_file(machine.folder / "film.iso", SECONDS * RATE)
    machine.env |= coturn.environment
    ways: tuple[Way, ...] = ("udp", "tcp", "tls")
    urls = [coturn.ice_url(way) for way in ways]
    pairs = await asyncio.gather(
        *(transfer(machine, film, url, way) for url, way in zip(urls, ways, strict=True))
    )
    for way, sides in zip(ways, pairs, strict=True):
        for side in sides:
            assert "reconnecting" not in side.names(), side.names()
            assert not side.has_stalled()
            assert (await side.event("connected"))["relay_protocol"] == way
    refreshed = re.findall(rf"session (\d+): refreshed, .*, lifetime={LIFETIME}\b", coturn.log)
    sessions = 2 + 2 * 2 * MAX_LANES  # one a side by UDP, lanes by the two others
    assert len(set(refreshed)) >= min(sessions, 6)
    assert min(refreshed.count(session) for session in set(refreshed)) >= SECONDS // LIFETIME - 1
    assert "error 438: Stale nonce" in coturn.log


async def test_what_is_not_renewed_is_replaced(machine: Machine, coturn: Coturn) -> None:
    film = random_file(machine.folder / "film.iso", 2 * RATE)
    out = machine.folder / "out.iso"
    options = ("--relay-only", "--ice", coturn.ice_url(), "--limit", str(RATE))
    refused = ("--refused", "send", "--json", "-v")
    async with machine.run(*refused, film, *options, module="tests.e2e.lifetimes") as sender:
        async with machine.receive(await sender.code(), "-o", out, *options) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert out.read_bytes() == film.read_bytes()
    assert "the relay does not go on: error-401" in sender.stderr
    names = sender.names()
    assert names.count("connected") == names.count("reconnecting") + 1 > 1
    assert not sender.has_stalled()  # it was known at once
