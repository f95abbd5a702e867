"""What a hostile sender does with a stream of unknown size, and with a text."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from rtcsend.errors import ConnectionLost
from rtcsend.manifest.entry import MAX_TEXT
from rtcsend.transfer.receiver import RECEIVE_WINDOW
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.sender_tricks import entry, folder, frame, offer, repeated, then
from tests.e2e.hostile.trick import Play, Trick, says
from tests.transfer.wire import accept, checking, end

STREAM: dict[str, object] = {"path": "x.tar", "kind": "stream"}
TEXT: dict[str, object] = {"path": "message.txt", "kind": "text", "size": 5}
OFFER = offer(STREAM, files=1)
SENT = 200_000  # bytes that are written before a trick that needs some


def offers() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield name, a proposal with its list, and what is said about it."""
    alone, cannot = "together with others", "what it cannot have"
    yield "a stream and a file", offer(STREAM, entry(path="y"), files=2), alone
    yield "a file and a stream", offer(entry(path="y"), STREAM, files=2), alone
    yield "two streams", offer(STREAM, {**STREAM, "path": "y"}, files=2), alone
    yield "a text and a folder", offer(TEXT, folder("y"), files=1), alone
    yield "a stream in a folder", offer({**STREAM, "path": "a/b"}, files=1), "not there"
    yield "a stream with a size", offer({**STREAM, "size": 5}, files=1), cannot
    yield "a stream with a sample", offer({**STREAM, "sample": "5a" * 32}, files=1), cannot
    yield "a stream that counts", offer(STREAM, files=1, bytes=1), "does not add up"
    yield "a stream that is no file", offer(STREAM, files=0), "more than it proposed"
    yield "a text of 65,537 bytes", offer({**TEXT, "size": MAX_TEXT + 1}, files=1), "bad “sizes”"
    yield "a text of unknown size", offer({"path": "x", "kind": "text"}, files=1), "bad “sizes”"


def accepted(play: Play, *said: str) -> Play:
    """Play when a stream, or what is said instead, is accepted."""

    async def wrapped(peer: Peer) -> None:
        await peer.say(*(said or OFFER))
        await peer.hear("accept")
        await play(peer)

    return wrapped


async def some_written(peer: Peer) -> None:
    await peer.content(bytes(SENT))
    while (await peer.hear("written"))["bytes"] < SENT:
        pass


def frames() -> Iterator[tuple[str, Play, str]]:
    wrong = "wrong place"
    yield "a gap", frame(1), wrong
    yield "twice the same", then(frame(0), frame(0)), wrong
    yield "beyond 2^53", frame((1 << 53) - 2, b"xx"), "more data than"
    yield "at 2^64", frame((1 << 64) - 1), "more data than"
    yield "more than it had said", then(says(end(8)), frame(0, b"123456789")), "than it had said"
    yield "kept", says(checking(5, sent=0)), wrong
    yield "kept behind the data", then(some_written, says(checking(SENT + 5, sent=SENT))), wrong
    yield "an end in the past", then(some_written, says(end(9))), "wrong time"
    yield "an end at 2^53", says(end((1 << 53) - 1)), "than the window allows"
    yield "an end below", says('{"type":"end","digest":"' + "ab" * 32 + '","sent":-1}'), "bad"
    yield "an end beyond the window", says(end(RECEIVE_WINDOW + 1)), "than the window allows"
    yield "two ends", says(end(5), end(6)), "wrong time"
    yield "its own answer", says(accept(0)), "only a receiver may send"


async def without_an_end(peer: Peer) -> None:
    """Send as long as the other side listens."""
    with suppress(ConnectionLost):
        for offset in count(0, 65_536):
            await peer.frame(offset, bytes(65_536))


async def back_after_a_cut(peer: Peer) -> None:
    await peer.say(*OFFER)
    await peer.hear("accept")
    await some_written(peer)
    await peer.meet_again()
    await peer.say(repeated(OFFER[0]))
    accepted = await peer.hear("accept")
    assert (accepted["start"], accepted["bytes"], accepted["blocks"]) == (SENT, 0, 0)
    await peer.frame(0)


STREAM_TRICKS = [
    *(
        Trick(name=f"list: {name}", play=says(*texts), sentence=said)
        for name, texts, said in offers()
    ),
    *(Trick(name=name, play=accepted(play), sentence=said) for name, play, said in frames()),
    Trick(name="back after a cut", play=back_after_a_cut, sentence="wrong place"),
    Trick(
        name="a digest that lies",
        play=accepted(then(frame(0, b"hello"), says(end(5)))),
        code="digest-mismatch",
        sentence="damaged",
        told="digest-mismatch",
    ),
    Trick(
        name="no end",
        play=accepted(without_an_end),
        code="declined",
        sentence="x.tar has more than the 1000000 bytes",
        told="declined",
        options=("--max-size", "1M"),
    ),
    Trick(
        name="a name that is none",
        play=says(*offer({**STREAM, "path": "../evil"}, files=1)),
        code="unsafe-path",
        sentence="a name that is none",
        told="unsafe-path",
    ),
    Trick(
        name="a text that is longer than it said",
        play=accepted(frame(0, b"123456"), *offer(TEXT, files=1)),
        sentence="more data than it had proposed",
    ),
]
