"""What a hostile receiver does, from the proposal to the end."""

import base64
import json
from collections.abc import Iterator

from rtcsend.blocks import BLOCK_SIZE, block_digest
from rtcsend.transfer.frames import FRAME_HEADER
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.trick import Play, Trick, says
from tests.transfer.wire import (
    BYE,
    SKIP_ALL,
    accept,
    checking,
    complete,
    end,
    have,
    page,
    proposal,
    skip,
    written,
)

SIZE = 2 * BLOCK_SIZE + 5  # bytes of the file: three blocks
ACCEPT = accept(SIZE)
NARROW = accept(SIZE, 65_536)  # the smallest window: the sender soon waits
NEVER = "never sent"
OTHERS = "other blocks than it offered"


def answer(**fields: object) -> str:
    """Return an acceptance, but for some fields."""
    return json.dumps({**json.loads(ACCEPT), **fields})


def digests(first: object, raw: bytes, **fields: object) -> str:
    text = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return json.dumps({"type": "have", "first": first, "digests": text, **fields})


def answers() -> Iterator[tuple[str, str, str]]:
    """Yield name, acceptance, and what is said about it."""
    yield "a window of one byte", answer(window=1), "bad “window”"
    yield "a window of none", answer(window=0), "bad “window”"
    yield "a window of less than a frame", answer(window=65_535), "bad “window”"
    yield "a window of 2^30 and one", answer(window=(1 << 30) + 1), "bad “window”"
    yield "a window of 2^60", answer(window=1 << 60), "not valid JSON"
    yield "less than no limit", answer(limit=-1), "bad “limit”"
    yield "a byte a second", answer(limit=1), "slower than anybody can wait for"
    yield "a limit of 2^63", answer(limit=1 << 63), "not valid JSON"
    yield "entries in a list", answer(entries=[0]), "bad “entries”"
    yield "entry minus one", answer(entries=-1), "bad “entries”"
    yield "entries in words", answer(entries="1"), "bad “entries”"
    yield "more entries than there are", answer(entries=2), "does not add up"
    yield "fewer bytes than there are", answer(bytes=SIZE - 1), "does not add up"
    yield "more bytes than there are", answer(bytes=SIZE + 1), "does not add up"
    yield "a start that is not its own", answer(start=1), NEVER
    yield "a start at the end", answer(start=SIZE), NEVER
    yield "a start beyond the end", answer(start=(1 << 53) - 1), NEVER
    yield "a start below", answer(start=-1), "bad “start”"
    yield "more blocks than there are", answer(blocks=4), "more blocks than there are"
    yield "more blocks than there may be", answer(blocks=1_310_721), "bad “blocks”"


def words() -> Iterator[tuple[str, tuple[str, ...], str]]:
    only, shrunk = "only a sender may send", "cannot have written"
    yield "accepted twice", (ACCEPT, ACCEPT), "illegal move"
    yield "accepted, then skipped", (ACCEPT, SKIP_ALL), "illegal move"
    yield "a proposal of its own", (proposal(SIZE),), only
    yield "a list of its own", (page(SIZE),), only
    yield "skips what is not there", (skip(1, 2),), "skips what is not there"
    yield "skips it, and takes all", (skip(0, 1), ACCEPT), "does not add up"
    yield "skips it twice", (skip(0, 1), skip(0, 1)), "in disorder"
    yield "skips backwards", ('{"type":"skip","ranges":[1,0]}',), "malformed ranges"
    yield "skips nothing", ('{"type":"skip","ranges":[]}',), "malformed ranges"
    yield "skips it too late", (NARROW, skip(0, 1)), "illegal move"
    yield "an end of its own", (NARROW, end(0)), only
    yield "a walk of its own", (NARROW, checking(BLOCK_SIZE, sent=0)), only
    yield "a farewell of its own", (NARROW, BYE), only
    yield "written before it came", (NARROW, written(SIZE)), shrunk
    yield "written beyond everything", (NARROW, written((1 << 53) - 1)), shrunk
    yield "written before it accepted", (written(0),), "illegal move"
    yield "less than nothing written", (NARROW, written(-1)), "bad “bytes”"
    yield "a half byte written", (NARROW, '{"type":"written","bytes":0.5}'), "not valid"
    yield "complete at once", (NARROW, complete()), "illegal move"
    yield "complete before it accepted", (complete(),), "illegal move"
    yield "a digest that is none", (NARROW, complete("x" * 64)), "malformed digest"
    offered, one = answer(blocks=2, window=65_536), bytes(32)
    yield "digests that nobody offered", (NARROW, have(0, one)), OTHERS
    yield "digests before it accepted", (have(0, one),), "illegal move"
    yield "digests out of order", (offered, have(1, one), have(0, one)), OTHERS
    yield "digests beyond a gap", (offered, have(0, one), have(2, one)), OTHERS
    yield "digests twice", (offered, have(0, one), have(0, one)), OTHERS
    yield "more digests than offered", (offered, have(0, one, one, one)), OTHERS
    yield "digests of the last block there can be", (offered, have(1_310_719, one)), OTHERS
    yield "digests of a block beyond", (offered, have(1_310_721, one)), "bad “first”"
    yield "digests of a block below", (offered, digests(-1, one)), "bad “first”"
    yield "half of a digest", (offered, digests(0, bytes(48))), "malformed digests"
    yield "no digests, and nothing new", (offered, digests(0, b"")), OTHERS
    yield "1,025 digests", (offered, digests(0, bytes(32 * 1_025))), "bad “digests”"
    yield "digests with padding", (offered, have(0, one).replace('"}', '="}')), "malformed"
    yield "digests of other letters", (offered, have(0, one).replace("AAA", "é😀\\n")), "malformed"
    yield "no digests beyond the last", (offered, digests(3, b"")), OTHERS


async def shrinking(peer: Peer) -> None:
    await peer.say(NARROW)
    frame = await peer.channels.receive()
    while not isinstance(frame, bytes):
        frame = await peer.channels.receive()
    await peer.say(written(len(frame) - FRAME_HEADER.size))
    await peer.say(written(1))


async def frames(peer: Peer) -> None:
    await peer.frame(0)


async def another_digest(peer: Peer) -> None:
    await take(peer, ACCEPT)
    await peer.say(complete("0" * 64))


def proposed(play: Play) -> Play:
    """Play when the proposal has come, with its list."""

    async def wrapped(peer: Peer) -> None:
        await peer.hear("entries")
        await play(peer)

    return wrapped


RECEIVER_TRICKS = [
    *(Trick(name=name, play=proposed(says(text)), sentence=said) for name, text, said in answers()),
    *(
        Trick(name=name, play=proposed(says(*texts)), sentence=said)
        for name, texts, said in words()
    ),
    Trick(name="an acknowledgement that shrinks", play=shrinking, sentence="cannot have written"),
    Trick(name="frames of its own", play=frames, sentence="not valid JSON"),
    Trick(
        name="another digest",
        play=proposed(another_digest),
        code="digest-mismatch",
        sentence="another digest",
        told="digest-mismatch",
    ),
]


async def take(peer: Peer, accepting: str, *more: str) -> tuple[dict[int, bytes], str]:
    """Accept, and take everything to the end; return the frames, and the digest."""
    for text in (accepting, *more):
        await peer.say(text)
    taken: dict[int, bytes] = {}
    count, sent, digest = 0, -1, ""
    while count != sent:
        message = await peer.channels.receive()
        if isinstance(message, bytes):
            *_, offset = FRAME_HEADER.unpack_from(message)
            taken[offset] = message[FRAME_HEADER.size :]
            count += len(taken[offset])
            await peer.say(written(count))
        elif (said := json.loads(message))["type"] == "end":
            sent, digest = said["sent"], said["digest"]
    return taken, digest


async def receive_honestly(peer: Peer, accepting: str, *more: str) -> dict[int, bytes]:
    """Take the file as one should, whatever was said before; return the frames."""
    taken, digest = await take(peer, accepting, *more)
    await peer.say(complete(digest))
    await peer.hear("bye")
    await peer.path.close()
    return taken


async def flood_of_acknowledgements(peer: Peer) -> None:
    """Acknowledge nothing, thirty thousand times; then the file is taken after all."""
    for _ in range(30_000):
        await peer.say(written(0))


def right_digests(content: bytes) -> list[bytes]:
    return [block_digest(content[at : at + BLOCK_SIZE]) for at in range(0, SIZE, BLOCK_SIZE)]
