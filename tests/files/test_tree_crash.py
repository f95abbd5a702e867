"""A process that is killed while a tree arrives: the next one goes on, and nothing is torn."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtcsend.files.tree_sink import TreeSink
from tests.files.trees import Tree, deliver, digest, make, manifest_of, read, stream, target

WRITER = """
import asyncio, sys
from pathlib import Path
from rtcsend.files.tree_sink import TreeSink
from tests.files.test_tree_crash import tree
from tests.files.trees import deliver, digest, manifest_of, stream, target

async def main() -> None:
    source, into = map(Path, sys.argv[1:])
    sink = await TreeSink.create(target(into, manifest_of(source, "top")))
    print("ready", flush=True)
    await deliver(sink, stream(tree()), cut=60_000)
    await sink.finish(digest(tree()))
    print("finished", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
SMALL = 1500  # files


def tree() -> Tree:
    rng = random.Random(3)
    made: Tree = {"top": None, "top/large": rng.randbytes(5 << 20)}
    for number in range(SMALL):
        made[f"top/d{number // 100}"] = None
        made[f"top/d{number // 100}/{number}"] = rng.randbytes(rng.randrange(3000))
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("from")
    make(folder, tree())
    return folder


@pytest.mark.parametrize("moment", [0, 300, 1200, SMALL + 1])
def test_killed_while_it_writes(tmp_path: Path, source: Path, moment: int) -> None:
    """``moment``: how many files are to be there before it is killed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(source), str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 90
    while _count(tmp_path) < moment and time.monotonic() < deadline:
        time.sleep(0.001)
    writer.kill()
    writer.wait()
    writer.stdout.close()

    top = tmp_path / "top"
    if top.exists():  # killed at the end: then all of it is there
        assert read(tmp_path) == tree()
        return
    moved = asyncio.run(go_on(tmp_path, source))
    assert read(tmp_path) == tree()
    # What was whole when it was killed did not travel again, but for what was on its way.
    if moment >= 300:
        assert moved < len(stream(tree()))


def _count(folder: Path) -> int:
    # Some of them are being moved; os.walk reads over what is gone.
    return sum(len(files) for _, _, files in os.walk(folder))


async def go_on(into: Path, source: Path) -> int:
    sink = await TreeSink.create(target(into, manifest_of(source, "top")))
    moved = await deliver(sink, stream(tree()))
    await sink.finish(digest(tree()))
    return moved
