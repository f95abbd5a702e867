"""``rtcsend doctor`` as people run it: a process, on a terminal and in a script."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from tests.e2e.processes import Machine
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = [pytest.mark.e2e, pytest.mark.coturn]


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        yield server


async def test_all_is_well(machine: Machine, coturn: Coturn) -> None:
    ice = ("--ice", coturn.ice_url(), "--no-throughput")
    async with (
        machine.server() as (_, url),
        machine.run("doctor", "--json", "--server", url, *ice) as doctor,
    ):
        conclusion = await doctor.event("conclusion")
        assert await doctor.process.wait() == 0
    assert (conclusion["rendezvous"], conclusion["relay"]) == ("works", "works")
    assert doctor.stderr == ""
    user, password = coturn.ice_url().removeprefix("turn:").partition("@")[0].split(":")
    for secret in (user, password):
        assert secret not in str(doctor.events)


async def test_on_a_terminal_it_moves_and_ends_with_a_table(
    machine: Machine, coturn: Coturn
) -> None:
    async with machine.on_terminal("doctor", "--ice", coturn.ice_url()) as doctor:
        await doctor.stderr_has("Checking the network")
        await doctor.stderr_has("Nothing needs to be done.")
        assert await doctor.process.wait() == 0
    table = doctor.stderr[doctor.stderr.index("This machine") :].splitlines()
    assert max(map(len, table)) <= 80
    assert any(line.startswith("  ok     throughput   ") for line in table)


async def test_a_rendezvous_that_is_not_there(machine: Machine) -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        async with machine.run("doctor", "--json", "--server", url) as doctor:
            assert await doctor.process.wait() == 10
    assert doctor.events[-1]["exit"] == 10


async def test_a_relay_that_is_not_there(machine: Machine) -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"turn:ada:secret@127.0.0.1:{sock.getsockname()[1]}?transport=tcp"
        async with machine.run("doctor", "--json", "--ice", url) as doctor:
            assert await doctor.process.wait() == 30
    assert "secret" not in str(doctor.events)


async def test_a_url_that_is_none(machine: Machine) -> None:
    async with machine.run("doctor", "--ice", "turn:ada:secret@@") as doctor:
        assert await doctor.process.wait() == 2
    assert "secret" not in doctor.stderr


async def test_ctrl_c(machine: Machine) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"stun:127.0.0.1:{sock.getsockname()[1]}"
        async with machine.run("doctor", "--json", "--ice", url) as doctor:
            await doctor.event("check")
            await asyncio.get_running_loop().run_in_executor(None, sock.recv, 1)
            doctor.process.send_signal(signal.SIGINT)
            assert await doctor.process.wait() == 130
