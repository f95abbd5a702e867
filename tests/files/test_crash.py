"""A process that is killed while it writes: what its journal says is there, and is right."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE, block_digest
from rtcsend.files.folder import Folder
from rtcsend.files.journal_file import read_journal
from rtcsend.files.sink import FileSink
from rtcsend.options import Conflict

SIZE = 80 << 20  # bytes; enough for O_DIRECT
SAMPLE = "5a" * 32
PARTIAL = ".film.iso.rtcsend-partial"

WRITER = """
import asyncio, sys
from pathlib import Path
from rtcsend.files import checkpoints
from rtcsend.files.sink import FileSink
from rtcsend.options import Conflict
from tests.files.test_crash import SAMPLE, SIZE, pattern

checkpoints.SYNC_BYTES = 4 << 20

async def main() -> None:
    sink = await FileSink.create(
        Path(sys.argv[1]), "film.iso", size=SIZE, sample=SAMPLE, conflict=Conflict.ASK
    )
    content = memoryview(pattern())
    print("ready", flush=True)
    for start in range(0, SIZE, 60_000):
        await sink.write(content[start : start + 60_000])
        if start % 7 == 0:
            await sink.flush()
    await asyncio.sleep(60)

asyncio.run(main())
"""


def pattern() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture(scope="module")
def content() -> bytes:
    return pattern()


@pytest.mark.parametrize("seed", range(4))
def test_killed_while_it_writes(tmp_path: Path, seed: int, content: bytes) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    # How much is to be there before it is killed: moments, without measuring time.
    moment = random.Random(seed).randrange(SIZE)
    deadline = time.monotonic() + 90
    while (tmp_path / PARTIAL).stat().st_size < moment and time.monotonic() < deadline:
        time.sleep(0.001)
    writer.kill()
    writer.wait()
    writer.stdout.close()

    with Folder(tmp_path) as folder:
        journal = read_journal(folder, PARTIAL)
    assert journal is not None
    arrived = (tmp_path / PARTIAL).read_bytes()
    assert journal.synced <= len(arrived)
    assert arrived[: journal.synced] == content[: journal.synced]
    asyncio.run(go_on(tmp_path, content))


async def go_on(folder: Path, content: bytes) -> None:
    """Receive the rest, as a sender would send it."""
    sink = await FileSink.create(
        folder, "film.iso", size=SIZE, sample=SAMPLE, conflict=Conflict.ASK
    )
    number = 0
    async for _first, page in sink.survey(0):
        for at in range(0, len(page), 32):
            block = content[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]
            assert page[at : at + 32] == block_digest(block), f"block {number} is not whole"
            number += 1
    assert number == sink.blocks
    await sink.keep(number * BLOCK_SIZE)
    await sink.write(content[number * BLOCK_SIZE :])
    path = (await sink.finish(blake3(content).hexdigest()))[0]
    assert await asyncio.to_thread(path.read_bytes) == content
    assert os.listdir(folder) == ["film.iso"]  # noqa: PTH208 - of names
