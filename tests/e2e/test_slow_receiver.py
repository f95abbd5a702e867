"""A receiver whose disk is far slower than the sender: no memory, and no connection, lost."""

import sys
from pathlib import Path

import pytest

from rtcsend.transfer.receiver import RECEIVE_WINDOW
from tests.e2e.processes import Machine, Side, random_file

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.datapaths,
    pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc"),
]

SIZE = 110_000_000  # bytes: two windows, so that they have to hold the sender back
SECONDS_PER_BLOCK = "0.05"  # 20 MB/s, where loopback carries more than 100
MEMORY_LIMIT = 150_000_000  # bytes, as promised for files of any size
SMALL_SIZE = 100_000


async def transfer(machine: Machine, size: int, **slowness: str) -> tuple[Side, int, int]:
    """Send a file; return the sender, and the peaks of memory of sender and receiver."""
    source = random_file(machine.folder / f"{size}.bin", size)
    copy = machine.folder / f"{size}.copy"
    peaks = machine.folder / f"{size}.sender", machine.folder / f"{size}.receiver"
    async with machine.run(
        "send", "--json", source, module="tests.e2e.weighed", env={"PEAK_FILE": str(peaks[0])}
    ) as sender:
        command = ("receive", "--json", "-y", await sender.code(), "-o", copy)
        env = {"PEAK_FILE": str(peaks[1]), **slowness}
        async with machine.run(*command, module="tests.e2e.weighed", env=env) as receiver:
            await receiver.succeeds()
            await sender.succeeds()
    assert same(source, copy)
    return sender, number_in(peaks[0]), number_in(peaks[1])


def number_in(path: Path) -> int:
    return int(path.read_text())


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def test_a_slow_disk_costs_neither_memory_nor_the_connection(machine: Machine) -> None:
    _, small_sender, small_receiver = await transfer(machine, SMALL_SIZE)
    sender, big_sender, big_receiver = await transfer(
        machine, SIZE, SECONDS_PER_BLOCK=SECONDS_PER_BLOCK
    )
    assert sender.names() == ["code", "paired", "connected", "done"], "one connection did it all"
    assert big_sender < MEMORY_LIMIT
    assert big_receiver < MEMORY_LIMIT
    # Two blocks and the queues of WebRTC; what waits for the disk waits at the receiver.
    assert big_sender - small_sender < RECEIVE_WINDOW // 2
    assert big_receiver - small_receiver < 2 * RECEIVE_WINDOW
    # The sender is told of what is written: it cannot be further ahead than a window.
    progress = [event["bytes"] for event in sender.events if event["event"] == "progress"]
    assert progress == sorted(progress)
    assert len(progress) > SIZE // RECEIVE_WINDOW
