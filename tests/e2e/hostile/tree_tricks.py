"""What a hostile sender makes of folders and many files."""

import itertools
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress

from blake3 import blake3

from rtcsend.errors import ConnectionLost
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.sender_tricks import (
    entry,
    folder,
    frame,
    group,
    listed,
    offer,
    repeated,
    then,
)
from tests.e2e.hostile.trick import Play, Trick, says
from tests.transfer.wire import BYE, checking, end

FILES = {"d/a": b"hello", "d/b": b"", "d/sub/c": b"x" * 70_000, "top": b"top"}
STREAM = b"".join(FILES.values())
SIZE = len(STREAM)
LINES = [f"{blake3(content).hexdigest()}  {path}\n" for path, content in FILES.items()]
DIGEST = blake3("".join(LINES).encode()).hexdigest()
MANY = 100_000
PAGE = 400  # entries


def file(path: str) -> dict[str, object]:
    return entry(path=path, size=len(FILES[path]))


def link(path: str, target: str) -> dict[str, object]:
    return {"path": path, "kind": "link", "target": target}


TREE = (folder("d"), file("d/a"), file("d/b"), folder("d/sub"), file("d/sub/c"), file("top"))
OFFER = offer(*TREE)


async def send_honestly(peer: Peer) -> None:
    """Send the tree as one should."""
    await peer.say(*OFFER)
    await peer.hear("accept")
    await peer.content(STREAM, size=10_000)
    await peer.say(end(SIZE, DIGEST))
    await peer.hear("complete")
    await peer.say(BYE)
    await peer.channels.wait_closed()


def accepted(play: Play) -> Play:
    """Play when the tree is accepted."""

    async def wrapped(peer: Peer) -> None:
        await peer.say(*OFFER)
        await peer.hear("accept")
        await play(peer)

    return wrapped


async def everything(peer: Peer) -> None:
    await peer.content(STREAM)


def names() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield name, proposal, and what is said about it."""
    outside = "points"
    yield "a link to the root", offer(folder("d"), link("d/x", "/etc/passwd")), outside
    yield "a link up and out", offer(folder("d"), link("d/x", "../../x")), outside
    yield "a link through a link", offer(link("d", ".."), entry(path="d/x")), "not there"
    yield "a name that is none", offer(folder("d"), entry(path="d/..")), "name"
    yield "a name with NUL", offer(folder("d"), entry(path="d/\0")), "name"


def data() -> Iterator[tuple[str, Play, str]]:
    wrong, not_here = "wrong place", "left out what is not here"
    yield "over the end", then(everything, frame(SIZE)), "more data than it had proposed"
    yield "a file left out", frame(5 + 70_000), not_here
    yield "a file begun and left", then(frame(0), frame(5)), wrong
    yield "a file again", then(frame(0, b"hello"), frame(0, b"hello")), wrong
    yield "files kept that nobody has", says(checking(5, sent=0)), not_here
    yield "everything kept", says(end(0, DIGEST)), not_here
    yield "the end before the last file", then(frame(0, STREAM[:5]), says(end(5, DIGEST))), not_here


def lies() -> Iterator[tuple[str, Play]]:
    changed = b"j" + STREAM[1:]

    async def another_content(peer: Peer) -> None:
        await peer.content(changed)
        await peer.say(end(SIZE, DIGEST))

    yield "a digest that lies", then(everything, says(end(SIZE, "00" * 32)))
    yield "the digest of the stream", then(everything, says(end(SIZE, blake3(STREAM).hexdigest())))
    yield "content that lies", another_content


async def a_great_many(peer: Peer) -> None:
    """Propose a great many files, in pages as large as they may be."""
    digest = blake3()
    pages = []
    numbers = iter(range(MANY))
    while batch := list(itertools.islice(numbers, PAGE)):
        files = {
            "folder": "d",
            "kind": "file",
            "names": [f"{at:07}" for at in batch],
            "sizes": [0] * len(batch),
        }
        page = json.dumps([files] if batch[0] else [group(folder("d")), files]).encode()
        digest.update(page)
        first = batch[0] + 1 if batch[0] else 0
        pages.append(listed(zlib.compress(page), first=first))
    sums = {"entries": MANY + 1, "files": MANY, "bytes": 0, "digest": digest.hexdigest()}
    await peer.say(offer(entry(), **sums)[0], *pages)


async def folders_without_an_end(peer: Peer) -> None:
    """Propose folders, none of them in another, as long as the other side listens."""
    with suppress(ConnectionLost):
        for first in range(0, 1 << 20, PAGE):
            names = [str(number) for number in range(first, first + PAGE)]
            page = json.dumps([{"kind": "directory", "names": names}])
            await peer.say(listed(zlib.compress(page.encode()), first=first))


async def another_tree_after_a_cut(peer: Peer) -> None:
    await peer.say(*OFFER)
    await peer.hear("accept")
    await peer.content(STREAM[:40_000])
    while (await peer.hear("written"))["bytes"] < 40_000:
        pass
    await peer.meet_again()
    await peer.say(repeated(offer(*TREE[:-1], entry(path="other", size=3))[0]))


TREE_TRICKS = [
    *(
        Trick(name=name, play=says(*texts), sentence=said, code="unsafe-path", told="unsafe-path")
        for name, texts, said in names()
        if said != "not there"
    ),
    *(
        Trick(name=name, play=says(*texts), sentence=said)
        for name, texts, said in names()
        if said == "not there"
    ),
    *(Trick(name=name, play=accepted(play), sentence=said) for name, play, said in data()),
    *(
        Trick(
            name=name,
            play=accepted(play),
            sentence="damaged",
            code="digest-mismatch",
            told="digest-mismatch",
        )
        for name, play in lies()
    ),
    Trick(
        name="a great many files",
        play=a_great_many,
        sentence="at most 10",
        code="declined",
        told="declined",
        options=("--max-files", "10"),
    ),
    Trick(
        name="folders without an end",
        play=then(says(offer(entry(), entries=1 << 20)[0]), folders_without_an_end),
        sentence="far too much",
    ),
    Trick(
        name="another tree after a cut",
        play=another_tree_after_a_cut,
        sentence="something else than before",
    ),
]
