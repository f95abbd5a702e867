"""The path dies amid a live stream: nothing of it is lost, nothing comes twice."""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.processes import Machine
from tests.e2e.test_reconnection import LEFT_URL, RIGHT_URL, Network, network, server

__all__ = ["network"]  # a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.lab]

CODE = "7-guitar-velvet"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading end, writing end; a test closes the latter."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


async def test_lines_over_a_lost_path(
    machine: Machine, network: Network, pipe: tuple[int, int]
) -> None:
    def write(first: int, end: int) -> list[str]:
        lines = [f"line {number}" for number in range(first, end)]
        os.write(pipe[1], "".join(f"{line}\n" for line in lines).encode())
        return lines

    async with server(machine, network):
        command = ("send", "-", "--code", CODE, "--server", LEFT_URL, "--json")
        wrapper = network.left.inside
        async with machine.run(*command, wrapper=wrapper, stdin=pipe[0]) as sender:
            await sender.event("code")
            command = ("receive", "-y", CODE, "--server", RIGHT_URL, "-o", "-")
            async with machine.run(*command, wrapper=network.right.inside) as receiver:
                lines = write(0, 10)
                await receiver.line("line 9")
                network.cut(rendezvous=True)
                lines += write(10, 2_000)  # goes nowhere, and is not lost
                await sender.event("reconnecting")
                network.heal()
                await receiver.line("line 1999")
                lines += write(2_000, 2_010)
                await receiver.line("line 2009")
                os.close(pipe[1])
                done = await sender.succeeds()
                assert await receiver.exit() == 0
    assert receiver.stdout == lines
    assert done["bytes"] == sum(len(line) + 1 for line in lines)
    assert "resumed" in sender.names()
