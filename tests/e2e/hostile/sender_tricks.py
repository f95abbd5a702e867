"""What a hostile sender does, from its first word to its last."""

import asyncio
import base64
import dataclasses
import json
import zlib
from collections.abc import Iterator

from blake3 import blake3

from rtcsend.datapath.data_channel import PPID_BINARY_EMPTY
from rtcsend.transfer.compression import load, pack
from rtcsend.transfer.receiver import RECEIVE_WINDOW
from tests.e2e.hostile.nonsense import CONTROL, DATA
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.trick import Play, Trick, says
from tests.transfer.wire import BYE, SAMPLE, accept, checking, complete, end, have, skip, written

SIZE = 400_000  # bytes that are proposed where nothing else is said
_LISTS = {"size": "sizes", "sample": "samples", "target": "targets", "raw": "raw_names"}
_LISTS |= {"mtime": "mtimes", "mtime_ns": "mtimes_ns"}
CONTENT = bytes(range(250)) * (SIZE // 250)
DIGEST = blake3(CONTENT).hexdigest()
_ZEROS = bytes.fromhex("28b52ffda0000000400100")  # zstd: a frame that says to hold 2^30 bytes
assert load(), "these tricks are packed"


def offer(*entries: object, **fields: object) -> tuple[str, str]:
    """Return a proposal, but for some fields, and the list of its entries, whatever they are."""
    page = json.dumps([group(entry) for entry in entries]).encode()
    found = [entry for entry in entries if isinstance(entry, dict)]
    sizes = [entry["size"] for entry in found if isinstance(entry.get("size"), int)]
    message = {
        "type": "proposal",
        "transfer": "7e" * 16,
        "sender": "ada",
        "entries": max(1, len(entries)),
        "files": sum(entry.get("kind") == "file" for entry in found),
        "bytes": min(max(sum(sizes), 0), (1 << 53) - 1),
        "digest": blake3(page).hexdigest(),
        "repeated": False,
    }
    return json.dumps({**message, **fields}), listed(zlib.compress(page))


def group(entry: object) -> object:
    """Return an entry, whatever it is, as a page has it: in a group of its own."""
    if not isinstance(entry, dict):
        return entry
    fields = {key: value for key, value in entry.items() if key != "path"}
    listed = {name: [fields.pop(key)] for key, name in _LISTS.items() if key in fields}
    if "path" in entry:
        folder, _, name = str(entry["path"]).rpartition("/")
        listed["names"] = [name if folder else entry["path"]]
        fields |= {"folder": folder} if folder else {}
    return {**fields, **listed}


def repeated(proposal: str) -> str:
    return json.dumps({**json.loads(proposal), "repeated": True})


def listed(compressed: bytes, *, first: object = 0) -> str:
    """Return a message of some entries."""
    text = base64.urlsafe_b64encode(compressed).rstrip(b"=").decode()
    return json.dumps({"type": "entries", "first": first, "page": text})


def entry(**fields: object) -> dict[str, object]:
    return {"path": "film.iso", "kind": "file", "size": SIZE, "sample": SAMPLE, **fields}


def file(path: str) -> dict[str, object]:
    return entry(path=path)


def folder(path: str) -> dict[str, object]:
    return {"path": path, "kind": "directory"}


PROPOSAL, ENTRIES = offer(entry())


def proposals() -> Iterator[tuple[str, str, str]]:
    """Yield name, message, and what is said about it."""
    yield "no entries", offer(entry(), entries=0)[0], "bad “entries”"
    yield "over a million entries", offer(entry(), entries=(1 << 20) + 1)[0], "bad “entries”"
    yield "entries in a list", offer(entry(), entries=[entry()])[0], "bad “entries”"
    yield "a list that is too long", offer(sender=[0] * 80_000)[0], "too long"  # of 262,144 bytes
    yield "more files than entries", offer(entry(), files=2)[0], "bad “files”"
    yield "2^53 bytes in all", offer(entry(), bytes=1 << 53)[0], "not valid JSON"
    yield "less than nothing in all", offer(entry(), bytes=-1)[0], "bad “bytes”"
    yield "a digest of words", offer(entry(), digest="x" * 64)[0], "malformed digest"
    yield "a transfer that is none", offer(entry(), transfer="\n" * 32)[0], "malformed transfer"
    yield "a name for itself of 256", offer(entry(), sender="x" * 256)[0], "bad “sender”"
    yield "repeated, and never said", repeated(PROPOSAL), "never proposed"
    yield "perhaps repeated", offer(entry(), repeated=None)[0], "bad “repeated”"


def entries() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield name, a proposal with its list, and what is said about it."""
    kind = "unknown kind"
    yield "entries that are none", offer("film.iso"), kind
    yield "a fifo", offer(entry(kind="fifo")), kind
    yield "a folder of bytes", offer({**folder("x"), "size": 1}), "with what it cannot have"
    yield "a link to nowhere", offer({"path": "x", "kind": "link"}), "bad “targets”"
    yield "2^53 bytes", offer(entry(size=1 << 53)), "not valid JSON"
    yield "2^63 bytes", offer(entry(size=1 << 63)), "not valid JSON"
    yield "less than nothing", offer(entry(size=-1)), "bad “sizes”"
    yield "a size in words", offer(entry(size="1")), "bad “sizes”"
    yield "a size that is true", offer(entry(size=True)), "bad “sizes”"
    yield "a size that is missing", offer({"path": "x", "kind": "file"}), "bad “sizes”"
    yield "a path that is a number", offer(entry(path=7)), "bad “names”"
    yield "a path of 5,001", offer(entry(path="x" * 5_001)), "too long"
    yield "a path that is no Unicode", offer(entry(path="\ud800")), "no text"
    yield "a path and other bytes", offer(entry(raw="YQ")), "malformed name"
    yield "a sample that is none", offer(entry(sample="../../../etc")), "malformed sample"
    yield "a sample of 65 digits", offer(entry(sample="0" * 65)), "malformed sample"
    yield "a set-user-id bit", offer(entry(mode=0o4755)), "bad “mode”"
    yield "a time without end", offer(entry(mtime=1 << 50, mtime_ns=0)), "bad “mtimes”"
    yield "the same twice", offer(file("a"), file("a")), "twice"
    yield "a folder twice", offer(folder("a"), file("a/b"), folder("a")), "twice"
    yield "a file in a file", offer(file("a"), file("a/b")), "folder that is not there"
    yield "a file in no folder", offer(file("a/b")), "folder that is not there"
    yield "names in disorder", offer(folder("a"), file("a/c"), file("a/b")), "disorder"
    yield "folders without an end", offer(*NESTED), "nested too deeply"
    yield "fewer files than said", offer(entry(), files=0), "more than it proposed"
    yield "more files than said", offer(entry(), folder("x"), files=2), "does not add up"
    yield "fewer bytes than said", offer(entry(), bytes=SIZE - 1), "more than it proposed"
    yield "more bytes than said", offer(entry(), bytes=SIZE + 1), "does not add up"
    yield "another digest than said", offer(entry(), digest="00" * 32), "does not add up"
    yield "more entries than said", offer(entry(), folder("x"), entries=1), "another number"
    yield from pages()


NESTED = [folder("/".join("d" * depth)) for depth in range(1, 150)]


def pages() -> Iterator[tuple[str, tuple[str, ...], str]]:
    bomb = zlib.compress(b"[" + b" " * 40_000_000 + b"]")
    yield "a list of nothing", (PROPOSAL, listed(zlib.compress(b"[]"))), "another number"
    yield "a list that is none", (PROPOSAL, listed(zlib.compress(b"{}"))), "no JSON list"
    yield "a list that was not packed", (PROPOSAL, listed(b"[]")), "malformed page"
    yield "a list that grows", (PROPOSAL, listed(bomb)), "malformed page"
    yield "a list of trees", (PROPOSAL, listed(zlib.compress(b"[" * 9))), "nested too deeply"
    yield "a list from elsewhere", (PROPOSAL, listed(b"x", first=1)), "in disorder"
    yield "a list from below", (PROPOSAL, listed(b"x", first=-1)), "bad “first”"
    yield "the list again", (PROPOSAL, ENTRIES, ENTRIES), "illegal move"
    yield "a list before its proposal", (ENTRIES,), "illegal move"
    two, first = offer(entry(path="a"), entry(path="b")), offer(entry(path="a"))[1]
    yield "a page twice", (two[0], first, first), "in disorder"


def after_accept(play: Play, **fields: object) -> Play:
    """Play when a proposal is accepted."""

    async def wrapped(peer: Peer) -> None:
        await peer.say(*offer(entry(**fields)))
        await peer.hear("accept")
        await play(peer)

    return wrapped


def frame(offset: int, payload: bytes = b"x", more: int = 0, start: bytes = b"\1\0\0\0") -> Play:
    """Return a play of one frame."""

    async def play(peer: Peer) -> None:
        await peer.frame(offset, payload, more=more, start=start)

    return play


def data(message: bytes) -> Play:
    async def play(peer: Peer) -> None:
        await peer.channels.send_data(message)

    return play


def then(*plays: Play) -> Play:
    async def play(peer: Peer) -> None:
        for one in plays:
            await one(peer)

    return play


async def everything(peer: Peer) -> None:
    await peer.content(CONTENT)


async def an_empty_frame(peer: Peer) -> None:
    peer.raw(DATA, PPID_BINARY_EMPTY, b"\0")


async def all_acknowledged(peer: Peer) -> None:
    """Send half, and wait until it is written."""
    await peer.content(CONTENT[:200_000])
    while (await peer.hear("written"))["bytes"] < 200_000:
        pass


async def frames_before_a_proposal(peer: Peer) -> None:
    await peer.frame(0)


def frames() -> Iterator[tuple[str, Play, str]]:
    wrong, size, kind = "wrong place", "impossible size", "unknown kind"
    yield "more than proposed", frame(SIZE - 1, b"xx"), "more data than it had proposed"
    yield "much more than proposed", frame((1 << 64) - 1), "more data than it had proposed"
    yield "a gap", frame(1), wrong
    yield "an overlap", then(frame(0, b"xxxx"), frame(3)), wrong
    yield "twice the same", then(frame(0), frame(0)), wrong
    yield "backwards", then(frame(0, b"xxxx"), frame(0)), wrong
    yield "a block that nobody offered", frame(1 << 20), "more data than it had proposed"
    yield "with more reserved bits", frame(0, more=1), kind
    yield "with all reserved bits", frame(0, more=0xFFFF_FFFF), kind
    yield "of another kind", frame(0, start=b"\2\0\0\0"), kind
    yield "with flags", frame(0, start=b"\1\x80\0\0"), kind
    yield "with reserved bits", frame(0, start=b"\1\0\0\1"), kind
    packed = b"\1\1\0\0"  # docs/transfer-protocol.md §4
    yield "a packed gigabyte", frame(0, _ZEROS, start=packed), "packed frame of an impossible size"
    yield "a packed nothing", frame(0, b"x" * 40, start=packed), "packed frame that is damaged"
    small = pack(memoryview(CONTENT[:9]))
    yield "packed, and more", frame(0, small + b"x", start=packed), "packed frame that is not whole"
    yield "packed, cut", frame(0, small[:-1], start=packed), "packed frame"
    large = pack(memoryview(CONTENT[:65_536]))
    yield "packed, beyond", frame(SIZE - 9, large, start=packed), "more data than it had proposed"
    yield "with nothing in it", frame(0, b""), size
    yield "cut in its header", data(b"\1\0\0\0\0"), size
    yield "a frame of no bytes", an_empty_frame, size
    yield "65,537 bytes", frame(0, bytes(65_537)), size
    yield "256 KiB of frame", frame(0, bytes(262_128)), size
    yield "more after all of it", then(everything, frame(SIZE)), "more data than it had proposed"
    yield (
        "more after the end",
        then(frame(0, CONTENT[:9]), says(end(9)), frame(9)),
        wrong,
    )
    yield "more than it had said", then(says(end(8)), frame(0, b"123456789")), "than it had said"


def words() -> Iterator[tuple[str, Play, str]]:
    not_here, not_there = "left out what is not here", "keeps what is not there"
    only = "only a receiver may send"
    yield "another proposal after it was accepted", says(offer(entry(path="x"))[0]), "illegal move"
    yield "the same proposal again", says(PROPOSAL), "illegal move"
    yield "its own answer", says(accept(SIZE)), only
    yield "its own digests", says(have(0, bytes(32))), only
    yield "its own acknowledgement", says(written(1)), only
    yield "its own receipt", says(complete()), only
    yield "an early farewell", says(BYE), "illegal move"
    yield "the end before the data", says(end(0)), not_here
    yield "the end amid the data", then(frame(0), says(end(1))), "wrong place"
    yield "the end of less than it sent", then(all_acknowledged, says(end(9))), "wrong time"
    yield "the end of more than a window", says(end(RECEIVE_WINDOW + 1)), "than the window allows"
    yield "the end of 2^53", says(end(1 << 53)), "not valid JSON"
    yield "the end, twice", says(end(SIZE), end(SIZE)), "wrong time"
    yield "a digest that is none", says(end(SIZE, "\x1b[2J" * 16)), "malformed digest"
    yield "a digest of capitals", says(end(SIZE, "AB" * 32)), "malformed digest"
    yield "kept, and never offered", says(checking(SIZE, sent=0)), not_here
    yield "kept, and no block", says(checking(5, sent=0)), "wrong place"
    yield "kept beyond the size", says(checking(SIZE + 1, sent=0)), not_there
    yield "kept, and nothing", says(checking(0, sent=0)), not_there
    yield "kept before it is sent", says(*[checking(SIZE, sent=9)] * 2), not_there
    yield "kept what it has sent", then(all_acknowledged, says(checking(SIZE, sent=9))), "has sent"
    yield (
        "kept after more than a window",
        says(checking(SIZE, sent=RECEIVE_WINDOW + 1)),
        "than the window allows",
    )
    yield "kept after the end", says(end(SIZE), checking(SIZE, sent=SIZE)), not_there
    yield "less than nothing kept", says('{"type":"checking","bytes":-1}'), "bad “bytes”"
    yield "the list again", says(ENTRIES), "illegal move"
    yield "its own selection", says(skip(0, 1)), only


NAMES = [
    *("../evil", "..", ".", "", "/etc/passwd", "a/../../evil", "C:\\evil", "..\\evil"),
    *("film\0.iso", "\u00e9" * 3000, "x" * 5_000),
]
"""What no file is called. (tests/files/test_paths.py has the others.)"""


def lies() -> Iterator[Trick]:
    """Yield digests that lie."""
    wrong = CONTENT[:-1] + b"\xff"

    async def another_content(peer: Peer) -> None:
        await peer.content(wrong)
        await peer.say(end(SIZE, DIGEST))

    def trick(name: str, play: Play) -> Trick:
        code = "digest-mismatch"
        return Trick(name=name, play=after_accept(play), code=code, sentence="damaged", told=code)

    yield trick("a digest that lies", then(everything, says(end(SIZE, "00" * 32))))
    yield trick("content that lies", another_content)
    yield dataclasses.replace(
        trick("nothing, and its digest lies", says(end(0, "00" * 32))),
        play=after_accept(says(end(0, "00" * 32)), size=0),
    )


def cut(name: str, play: Play) -> Trick:
    """Return a trick that ends the connection: they could meet again, and this side does not."""
    return Trick(
        name=name,
        play=after_accept(then(frame(0), play)),
        code="connection-lost",
        sentence="could not meet again in 1 second",
        told=None,
        options=("--timeout", "1"),
    )


def reset(stream: int) -> Play:
    async def play(peer: Peer) -> None:
        peer.path.association.reset(stream, now=asyncio.get_running_loop().time())
        peer.path.wake()

    return play


async def vanish(peer: Peer) -> None:
    await peer.path.close()


SENDER_TRICKS = [
    cut("closes the control channel", reset(CONTROL)),
    cut("closes the data channel", reset(DATA)),
    cut("ends the association", vanish),
    *(Trick(name=name, play=says(text), sentence=said) for name, text, said in proposals()),
    *(
        Trick(name=f"list: {name}", play=says(*texts), sentence=said)
        for name, texts, said in entries()
    ),
    *(
        Trick(name=f"frame: {name}", play=after_accept(play), sentence=said)
        for name, play, said in frames()
    ),
    *(
        Trick(name=f"word: {name}", play=after_accept(play), sentence=said)
        for name, play, said in words()
    ),
    Trick(name="frames before a proposal", play=frames_before_a_proposal, sentence="asked for"),
    Trick(name="the end before a proposal", play=says(end(0)), sentence="illegal move"),
    Trick(name="two proposals", play=says(PROPOSAL, PROPOSAL), sentence="illegal move"),
    Trick(
        name="more than there is room for",
        play=says(*offer(entry(size=(1 << 53) - 1))),
        code="cannot-write",
        sentence="No space left",
        told="cannot-write",
    ),
    *lies(),
]


async def send_honestly(peer: Peer, *, path: str = "film.iso") -> None:
    """Send CONTENT as one should."""
    await peer.say(*offer(entry(path=path)))
    await peer.hear("accept")
    await peer.content(CONTENT)
    await bring_to_its_end(peer)


async def bring_to_its_end(peer: Peer) -> None:
    """Say how CONTENT ends, and leave as one should."""
    await peer.say(end(SIZE, DIGEST))
    await peer.hear("complete")
    await peer.say(BYE)
    await peer.channels.wait_closed()
