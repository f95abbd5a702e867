"""What a hostile sender makes of blocks that an earlier run has left, or of meeting again."""

import random
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from rtcsend.blocks import BLOCK_SIZE
from rtcsend.files.sink import FileSink
from rtcsend.options import Conflict
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.sender_tricks import entry, frame, offer, repeated, then
from tests.e2e.hostile.trick import Play, Trick, says
from tests.transfer.wire import BYE, SAMPLE, checking, end

SIZE = 3 * BLOCK_SIZE + 5
CONTENT = random.Random(11).randbytes(SIZE)
DIGEST = blake3(CONTENT).hexdigest()
LEFT = 2 * BLOCK_SIZE + 999  # bytes: two blocks, and a torn one
OFFER = offer(entry(size=SIZE))
REPEATED = repeated(OFFER[0])


async def leave(folder: Path, content: bytes, *, name: str = "film.iso") -> None:
    """Leave a partial file, as a run that was stopped does."""
    sink = await FileSink.create(folder, name, size=SIZE, sample=SAMPLE, conflict=Conflict.ASK)
    await sink.write(content)
    await sink.abandon(keep_partial=True)


async def resume(peer: Peer) -> None:
    """Propose, and hear what is there."""
    await peer.say(*OFFER)
    assert (await peer.hear("accept"))["blocks"] == 2
    assert len((await peer.hear("have"))["digests"]) == 86  # of 64 bytes


def resumed(play: Play) -> Play:
    return then(resume, play)


def kept() -> Iterator[tuple[str, Play, str]]:
    """Yield name, play, and what is said about it."""
    wrong, not_here, not_there = "wrong place", "left out what is not here", "what is not there"
    one, two, three = BLOCK_SIZE, 2 * BLOCK_SIZE, 3 * BLOCK_SIZE
    yield "a jump over a torn block", frame(three), not_here
    yield "a jump to the last byte", frame(SIZE - 1), wrong
    yield "a jump into a block", frame(one + 1), wrong
    yield "a jump from within a block", then(frame(0), frame(one)), wrong
    yield "a jump back", then(frame(one), frame(0)), wrong
    yield "checking a torn block", says(checking(three, sent=0)), not_here
    yield "checking within a block", says(checking(one + 1, sent=0)), wrong
    yield "checking backwards", says(*(checking(at, sent=0) for at in (two, one))), not_there
    yield "checking the same twice", says(*[checking(one, sent=0)] * 2), not_there
    yield "checking beyond the size", says(checking(SIZE + 1, sent=0)), not_there
    yield "sending what it has kept", then(says(checking(one, sent=0)), frame(0)), wrong
    yield "sent more than it says", then(says(checking(one, sent=9)), frame(0, bytes(10))), "said"
    yield "the end, and nothing more", says(end(0, DIGEST)), not_here
    yield "everything kept", says(checking(two, sent=0), end(0, DIGEST)), not_here


async def keep_what_is_wrong(peer: Peer) -> None:
    """Say that the blocks there are right, and send the rest: the digest is the true one."""
    await peer.content(CONTENT[2 * BLOCK_SIZE :], start=2 * BLOCK_SIZE)
    await peer.say(end(SIZE - 2 * BLOCK_SIZE, DIGEST))


KEPT_TRICKS = [
    *(Trick(name=name, play=resumed(play), sentence=said) for name, play, said in kept()),
    Trick(
        name="kept what is wrong",
        play=resumed(keep_what_is_wrong),
        code="digest-mismatch",
        sentence="damaged",
        told="digest-mismatch",
    ),
]
"""Against leftovers whose content is another."""


async def half(peer: Peer) -> None:
    """Send half of the file, until it is written; then lose the connection, and meet again."""
    await peer.say(*OFFER)
    await peer.hear("accept")
    await peer.content(CONTENT[: 2 * BLOCK_SIZE])
    while (await peer.hear("written"))["bytes"] < 2 * BLOCK_SIZE:
        pass
    await peer.meet_again()


def again(play: Play) -> Play:
    """Play when the same was proposed again, and accepted."""

    async def wrapped(peer: Peer) -> None:
        await half(peer)
        await peer.say(REPEATED)
        accepted = await peer.hear("accept")
        assert (accepted["start"], accepted["blocks"]) == (2 * BLOCK_SIZE, 0)
        await play(peer)

    return wrapped


def changed() -> Iterator[tuple[str, str]]:
    yield "another name", repeated(offer(entry(size=SIZE, path="other.iso"))[0])
    yield "another size", repeated(offer(entry(size=SIZE + 1))[0])
    yield "another sample", repeated(offer(entry(size=SIZE, sample="00" * 32))[0])
    yield "another transfer", repeated(offer(entry(size=SIZE), transfer="0" * 32)[0])


AGAIN_TRICKS = [
    *(
        Trick(name=name, play=then(half, says(text)), sentence="something else than before")
        for name, text in changed()
    ),
    Trick(name="from the beginning", play=again(frame(0)), sentence="wrong place"),
    Trick(name="further on", play=again(frame(3 * BLOCK_SIZE)), sentence="left out"),
    Trick(
        name="kept what was never offered",
        play=again(says(checking(3 * BLOCK_SIZE, sent=0))),
        sentence="left out",
    ),
    Trick(name="an end before the end", play=again(says(end(0, DIGEST))), sentence="left out"),
    Trick(name="frames at once", play=then(half, frame(2 * BLOCK_SIZE)), sentence="asked for"),
    Trick(
        name="the list again, and none was said",
        play=then(half, says(REPEATED, OFFER[1])),
        sentence="illegal move",
    ),
    Trick(name="a farewell", play=then(half, says(BYE)), sentence="illegal move"),
]
