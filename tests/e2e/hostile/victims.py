"""The honest side: real commands, started by the fork server, weighed, and held to their end."""

import asyncio
from pathlib import Path
from typing import Any

from rtcsend.pairing.keys import Role
from tests.e2e.forks import Forks
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.trick import Play, Trick
from tests.e2e.processes import Machine, Side

MEMORY_LIMIT = 150_000_000  # bytes, as promised for files of any size; 75 of them are Python's
TIME_LIMIT = 90.0  # seconds for a whole trick, which takes half of one; the machine may be busy


class ForkServer(Forks):
    """Plays against what it starts."""

    async def receive(
        self, machine: Machine, url: str, out: Path, play: Trick | Play, *, module: str = "rtcsend"
    ) -> Side:
        """Play against ``rtcsend receive``: a trick ends as it says, another play well."""
        async with Peer(Role.SENDER, url) as peer:
            command = ("receive", "--json", "-y", peer.code, "--server", url, "-o", out)
            async with self.run(machine, *command, *_options(play), module=module) as side:
                async with asyncio.timeout(TIME_LIMIT):
                    await peer.connect()
                    await _play(peer, side, play)
        _weigh(side)
        return side

    async def send(
        self, machine: Machine, url: str, film: Path, play: Trick | Play, *, module: str = "rtcsend"
    ) -> Side:
        """Play against ``rtcsend send``: a trick ends as it says, another play well."""
        command = ("send", "--json", film, "--server", url)
        async with self.run(machine, *command, *_options(play), module=module) as side:
            async with Peer(Role.RECEIVER, url, code=await side.code()) as peer:
                async with asyncio.timeout(TIME_LIMIT):
                    await peer.connect()
                    await _play(peer, side, play)
        _weigh(side)
        return side


def _options(play: Trick | Play) -> tuple[str, ...]:
    return play.options if isinstance(play, Trick) else ()


async def _play(peer: Peer, side: Side, play: Trick | Play) -> None:
    if not isinstance(play, Trick):
        await play(peer)
        await side.succeeds()
        return
    await play.play(peer)
    told = await peer.hear_end()
    _check_end(side, play, await side.exit())
    assert told == play.told
    assert "done" not in side.names()


def _check_end(side: Side, trick: Trick, status: int) -> None:
    """Check how a process has ended, and what it says: in its own words, or clean ones."""
    error = side.last()
    assert (error["event"], error["code"], error["exit"]) == ("error", trick.code, status), error
    assert trick.sentence in error["message"], error
    assert all(line.isprintable() for line in side.stderr.splitlines()), side.stderr
    assert all(line.isascii() for line in side.stdout) or not trick.quotes
    assert len(side.stderr) < 5_000
    if not trick.quotes:
        assert error["message"].endswith(".")
        assert side.stderr == f"rtcsend: {error['message']}\n{error['hint']}\n"


def _weigh(side: Side) -> None:
    process: Any = side.process
    assert 0 < process.peak < MEMORY_LIMIT
