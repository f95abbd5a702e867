"""A hostile sender, now or in an earlier run, and what is left: never a mixed file."""

import asyncio
import json
import zlib
from pathlib import Path

import pytest

from rtcsend.base64url import decode_base64url_untrusted
from rtcsend.blocks import BLOCK_SIZE
from rtcsend.pairing.keys import Role
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.resume_tricks import (
    AGAIN_TRICKS,
    CONTENT,
    DIGEST,
    KEPT_TRICKS,
    LEFT,
    REPEATED,
    SIZE,
    half,
    leave,
    resume,
)
from tests.e2e.hostile.sender_tricks import entry, offer
from tests.e2e.hostile.trick import Trick
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing
from tests.transfer.wire import ABORT, BYE, checking, end

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

WRONG = bytes(byte ^ 1 for byte in CONTENT[:LEFT])


@pytest.mark.parametrize("trick", KEPT_TRICKS, ids=str)
async def test_kept(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    await leave(out, WRONG)
    _, partial = listing(out)
    await forks.receive(machine, rendezvous, out, trick)
    # What an earlier run had left is still there, and no more of it than that.
    assert len(listing(out)) == 2
    assert (out / partial).stat().st_size == LEFT - LEFT % BLOCK_SIZE


@pytest.mark.parametrize("trick", AGAIN_TRICKS, ids=str)
async def test_again(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, trick: Trick
) -> None:
    await forks.receive(machine, rendezvous, out, trick)
    assert listing(out) == []


async def test_the_rest_after_a_reconnection(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    """That the tricks above differ from this by their tricks alone."""

    async def play(peer: Peer) -> None:
        await half(peer)
        await peer.say(REPEATED)
        await peer.hear("accept")
        await peer.content(CONTENT[2 * BLOCK_SIZE :], start=2 * BLOCK_SIZE)
        await finish(peer, SIZE - 2 * BLOCK_SIZE)

    await forks.receive(machine, rendezvous, out, play)
    assert (out / "film.iso").read_bytes() == CONTENT


async def finish(peer: Peer, sent: int) -> None:
    await peer.say(end(sent, DIGEST))
    await peer.hear("complete")
    await peer.say(BYE)
    await peer.channels.wait_closed()


async def test_blocks_that_are_right_save_their_way(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    async def play(peer: Peer) -> None:
        await resume(peer)
        await peer.say(checking(2 * BLOCK_SIZE, sent=0))
        await peer.content(CONTENT[2 * BLOCK_SIZE :], start=2 * BLOCK_SIZE)
        await finish(peer, SIZE - 2 * BLOCK_SIZE)

    await leave(out, CONTENT[:LEFT])
    await forks.receive(machine, rendezvous, out, play)
    assert (out / "film.iso").read_bytes() == CONTENT
    assert listing(out) == ["film.iso"]


async def test_what_a_hostile_run_has_left_is_mended_by_an_honest_one(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    """The same name, size and sample; one block of it is right."""
    film = machine.folder / "film.iso"
    film.write_bytes(CONTENT)
    sample = ""

    async def play(peer: Peer) -> None:
        await peer.say(*offer(entry(size=SIZE, sample=sample)))
        await peer.hear("accept")
        await peer.content(CONTENT[:BLOCK_SIZE] + WRONG[BLOCK_SIZE : 2 * BLOCK_SIZE])
        while (await peer.hear("written"))["bytes"] < 2 * BLOCK_SIZE:
            pass
        await peer.say(ABORT)

    async with forks.run(machine, "send", "--json", film, "--server", rendezvous) as sender:
        async with Peer(Role.RECEIVER, rendezvous, code=await sender.code()) as peer:
            await peer.connect()
            page = decode_base64url_untrusted((await peer.hear("entries"))["page"])
            assert page is not None
            sample = json.loads(zlib.decompress(page))[0]["samples"][0]
            await peer.say(ABORT)
        await sender.fails("aborted")
    stopped = Trick(name="", play=play, sentence="stopped", code="aborted", told=None)
    await forks.receive(machine, rendezvous, out, stopped)
    assert len(listing(out)) == 2, "a partial file, and its journal"
    async with forks.run(machine, "send", "--json", film, "--server", rendezvous) as sender:
        command = ("receive", "--json", "-y", await sender.code(), "--server", rendezvous)
        async with forks.run(machine, *command, "-o", out) as receiver:
            async with asyncio.timeout(90):
                await receiver.succeeds()
                await sender.succeeds()
    assert (await receiver.event("resumed"))["bytes"] == BLOCK_SIZE
    assert (out / "film.iso").read_bytes() == CONTENT
    assert listing(out) == ["film.iso"]
