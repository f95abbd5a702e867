import pytest
from blake3 import blake3

from rtcsend.errors import CannotWrite, DigestMismatch, PeerProtocolError, UsageError
from rtcsend.files.text_sink import TextSink
from rtcsend.files.text_source import TextSource
from rtcsend.manifest.entry import MAX_TEXT, ManifestEntry
from rtcsend.manifest.selection import Selection
from rtcsend.options import ShowText

TEXT = "grün \x1b[31m\u202e\n"


def digest(data: bytes) -> str:
    return blake3(data).hexdigest()


def sink_of(data: bytes, show: ShowText | None = None) -> TextSink:
    return TextSink(size=len(data), show=show)


async def test_a_text_as_a_source() -> None:
    source, data = TextSource(TEXT), TEXT.encode()
    (entry,) = source.manifest.entries()
    assert entry == ManifestEntry(path="message.txt", kind="text", size=len(data))
    selection = Selection(source.manifest)
    for start in (0, 3, len(data)):
        pieces = [(at, bytes(piece)) async for at, piece in source.blocks(selection, start=start)]
        assert pieces == ([(start, data[start:])] if data[start:] else [])
    assert await source.digest() == digest(data)


@pytest.mark.parametrize("text", ["", "x" * (MAX_TEXT + 1), "ä" * (MAX_TEXT // 2 + 1)])
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="A text has 1 to 65536 bytes"):
        TextSource(text)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(UsageError, match="no valid Unicode"):
        TextSource("bl\udce9")


@pytest.mark.parametrize("text", ["x", TEXT, "x" * MAX_TEXT, "\0"])
async def test_a_text_as_a_sink(text: str) -> None:
    data, shown = text.encode(), []

    async def show(text: str) -> None:
        shown.append(text)

    sink = sink_of(data, show)
    for at in range(0, len(data), 40_000):
        await sink.write(data[at : at + 40_000])
    assert (sink.written, sink.text, shown) == (len(data), None, [])
    assert await sink.finish(digest(data)) == ()
    assert (sink.text, shown) == (text, [text])


async def test_a_text_that_nobody_is_shown() -> None:
    sink = sink_of(b"x")
    await sink.write(memoryview(b"x"))
    await sink.finish(digest(b"x"))
    assert sink.text == "x"


async def test_a_text_that_cannot_be_shown_has_not_arrived() -> None:
    async def show(text: str) -> None:
        raise CannotWrite(text)

    sink = sink_of(b"x", show)
    await sink.write(b"x")
    with pytest.raises(CannotWrite):
        await sink.finish(digest(b"x"))
    assert sink.text is None


async def test_lies_about_a_text() -> None:
    sink = sink_of(b"abc")
    await sink.write(b"abc")
    with pytest.raises(PeerProtocolError, match="more of the text"):
        await sink.write(b"d")
    with pytest.raises(DigestMismatch):
        await sink.finish(digest(b"abx"))
    sink = sink_of(b"abc")
    await sink.write(b"ab")
    with pytest.raises(PeerProtocolError, match="less of the text"):
        await sink.finish(digest(b"ab"))


@pytest.mark.parametrize("data", [b"\xff", b"\xed\xa0\x80", "ü".encode("latin-1")])
async def test_what_is_no_text(data: bytes) -> None:
    sink = sink_of(data)
    await sink.write(data)
    with pytest.raises(PeerProtocolError, match="no valid UTF-8"):
        await sink.finish(digest(data))
