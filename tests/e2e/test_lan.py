"""Senders on a LAN are found without a server: real mDNS, between network namespaces."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import STEP_TIMEOUT, Machine, random_file
from tests.fakes.namespaces import Host, cable, hosts, require_namespaces

pytestmark = [pytest.mark.e2e, pytest.mark.lab]

ON_LAN = {"RTCSEND_DISCOVERY": ""}  # what a user has: the LAN part is not turned off


@pytest.fixture
def lan() -> Iterator[tuple[Host, Host]]:
    require_namespaces()
    with hosts(2) as (one, other):
        cable(one, "10.78.0.1", other, "10.78.0.2")
        yield one, other


def another_machine(machine: Machine, name: str) -> dict[str, str]:
    """Return an environment in which the runtime folder of ``machine`` is not seen."""
    folder = machine.folder / name
    folder.mkdir(mode=0o700)
    return {**ON_LAN, "XDG_RUNTIME_DIR": str(folder)}


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def test_a_sender_is_found(machine: Machine, lan: tuple[Host, Host]) -> None:
    here, there = lan
    source = random_file(machine.folder / "film.iso", 100_000)
    copy = machine.folder / "copy.iso"
    async with machine.send(source, env=ON_LAN, wrapper=here.inside) as sender:
        command = (await sender.code(), "-o", copy)
        environment = another_machine(machine, "there")
        async with machine.receive(*command, env=environment, wrapper=there.inside) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert same(source, copy)
    connected = await receiver.event("connected")
    assert (connected["route"], connected["remote"]) == ("direct", "host")


async def test_the_right_one_of_two_senders_is_found(
    machine: Machine, lan: tuple[Host, Host]
) -> None:
    here, there = lan
    one, other = (
        random_file(machine.folder / f"{name}.bin", 10_000, seed=seed)
        for seed, name in enumerate(("one", "other"))
    )
    copy = machine.folder / "copy.bin"
    async with machine.send(
        one, "--code", "41-guitar-velvet", env=ON_LAN, wrapper=here.inside
    ) as wrong:
        await wrong.code()
        async with machine.send(
            other, "--code", "42-guitar-velvet", env=ON_LAN, wrapper=here.inside
        ) as right:
            await right.code()
            environment = another_machine(machine, "there")
            async with machine.receive(
                "42-guitar-velvet", "-o", copy, env=environment, wrapper=there.inside
            ) as receiver:
                await receiver.succeeds()
                await right.succeeds()
        assert wrong.names() == ["code"]
    assert same(other, copy)


async def test_nobody_has_this_number(machine: Machine, lan: tuple[Host, Host]) -> None:
    here, there = lan
    source = random_file(machine.folder / "film.iso", 1_000)
    async with machine.send(
        source, "--code", "41-guitar-velvet", env=ON_LAN, wrapper=here.inside
    ) as sender:
        await sender.code()
        environment = another_machine(machine, "there")
        async with machine.receive(
            "42-guitar-velvet", env=environment, wrapper=there.inside
        ) as receiver:
            error = await receiver.fails("no-such-code")
            assert error["exit"] == 12


async def test_a_sender_whose_address_changes_is_found_again(
    machine: Machine, lan: tuple[Host, Host]
) -> None:
    """The rendezvous moves with it: the receiver looks for it on the LAN again."""
    here, there = lan
    source = random_file(machine.folder / "film.iso", 20_000_000)
    copy = machine.folder / "copy.iso"
    async with machine.send(source, "--limit", "2M", env=ON_LAN, wrapper=here.inside) as sender:
        command = (await sender.code(), "-o", copy)
        environment = another_machine(machine, "there")
        async with machine.receive(*command, env=environment, wrapper=there.inside) as receiver:
            await receiver.moving()
            here.change_address("10.78.0.1", "10.78.0.7")
            await receiver.succeeds()
            await sender.succeeds()
    assert same(source, copy)
    assert "reconnecting" in receiver.names()


async def test_a_number_of_the_lan_is_completed(machine: Machine, lan: tuple[Host, Host]) -> None:
    here, there = lan
    source = random_file(machine.folder / "film.iso", 1_000)
    async with machine.send(
        source, "--code", "41-guitar-velvet", env=ON_LAN, wrapper=here.inside
    ) as sender:
        await sender.code()
        environment = {
            **another_machine(machine, "there"),
            "_RTCSEND_COMPLETE": "complete_bash",
            "COMP_WORDS": "rtcsend\nreceive\n4",
            "COMP_CWORD": "2",
        }
        completed = ""
        async with asyncio.timeout(STEP_TIMEOUT):
            while completed != "41-abandon":  # announcing it takes the sender a second
                async with machine.run(env=environment, wrapper=there.inside) as shell:
                    assert await shell.exit() == 0
                completed = shell.stdout[0]
