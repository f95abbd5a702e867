"""Manifests made here and read there; whatever does not add up is refused."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import InternalError, PeerProtocolError, UnsafePath, UsageError
from rtcsend.manifest import manifest as module
from rtcsend.manifest import reading
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.page import MAX_PAGE_SIZE
from rtcsend.manifest.reading import ManifestReader
from rtcsend.manifest.selection import Selection
from tests.manifest.trees import file, folder, manifest_of, page, reader_of

TREE = [
    folder("photos"),
    file("photos/a.jpg", 5),
    folder("photos/b"),
    file("photos/b/c.jpg", 0),
    ManifestEntry(path="photos/b.link", kind="link", target="a.jpg"),
    file("photos/b.txt", 7),
    file("a.md", 2),
]


def copied(manifest: Manifest) -> Manifest:
    reader = reader_of(manifest)
    for number in range(manifest.pages):
        assert not reader.is_complete
        reader.add_untrusted(*manifest.page(number))
    assert reader.is_complete
    return reader.manifest


def many(count: int) -> Manifest:
    return manifest_of(
        file(f"{number // 1000:04}/{number % 1000:03}", number)
        if number % 1000
        else folder(f"{number // 1000:04}")
        for number in range(count)
    )


def test_counts() -> None:
    manifest = manifest_of(TREE)
    assert (len(manifest), manifest.files, manifest.bytes) == (7, 4, 14)
    assert list(manifest.sizes()) == [-1, 5, -1, 0, -1, 7, 2]
    assert list(manifest.entries()) == TREE
    assert not manifest.is_one_file


@pytest.mark.parametrize(
    ("entries", "expected"),
    [([file("a")], True), ([folder("a")], False), ([file("a"), file("b")], False), ([], False)],
)
def test_one_file(entries: list[ManifestEntry], expected: bool) -> None:
    assert manifest_of(entries).is_one_file == expected


def test_comes_out_at_the_other_side() -> None:
    manifest = many(3_000)
    assert manifest.pages > 2
    other = copied(manifest)
    assert list(other.entries()) == list(manifest.entries())
    assert other.digest == manifest.digest
    assert (other.files, other.bytes) == (manifest.files, manifest.bytes)


@given(st.integers(0, 1_600))
def test_read_from_anywhere(first: int) -> None:
    assert list(MANY.entries(first)) == LISTED[first:]


MANY = many(1_500)
LISTED = list(MANY.entries())


def test_pages_fit() -> None:
    for number in range(MANY.pages):
        _, compressed = MANY.page(number)
        assert len(zlib.decompress(compressed)) <= MAX_PAGE_SIZE
    widest = [file("\n" * 5_000), file("\0" * 5_000)]
    assert list(copied(manifest_of([widest[0]])).entries()) == [widest[0]]


@pytest.mark.parametrize(
    "entry",
    [file("x" * 5_001), ManifestEntry(path="\0" * 5_000, kind="link", target="\0" * 5_000)],
    ids=["path", "both"],
)
def test_too_long(entry: ManifestEntry) -> None:
    with pytest.raises(UsageError, match="too long"):
        manifest_of([entry])


def test_a_page_comes_whole() -> None:
    manifest = Manifest()
    manifest.add(file("a"))
    with pytest.raises(InternalError):
        manifest.append_page(b"[]", b"", [])


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_ENTRIES", 2), ("MAX_MANIFEST_SIZE", 300), ("MAX_UNPACKED_SIZE", 130)]
)
def test_too_much_here(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(module, limit, value)
    monkeypatch.setattr(module, "MAX_PAGE_SIZE", 50)
    manifest = Manifest()
    for name in ("a", "b"):
        manifest.add(file(name))
        manifest.close()
    with pytest.raises(UsageError, match="too much"):
        manifest.add(file("c"))


def test_more_bytes_than_can_be_counted() -> None:
    manifest = manifest_of([file("a", 2**53 - 1)])
    with pytest.raises(UsageError, match="too much"):
        manifest.add(file("b", 1))


STREAM = ManifestEntry(path="a", kind="stream")
TEXT = ManifestEntry(path="a", kind="text", size=5)


@pytest.mark.parametrize(("entry", "size"), [(STREAM, 0), (TEXT, 5)])
def test_a_stream_or_a_text_alone(entry: ManifestEntry, size: int) -> None:
    manifest = copied(manifest_of([entry]))
    assert (manifest.files, manifest.bytes, manifest.top) == (1, size, ["a"])
    assert manifest.is_one_file
    assert manifest.is_stream == Selection(manifest).layout.is_open == (entry is STREAM)
    assert Selection(manifest).bytes == size


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ([file("a"), file("a")], PeerProtocolError),
        ([file("a"), folder("a")], PeerProtocolError),
        ([folder("a"), file("b"), folder("a")], PeerProtocolError),
        ([folder("a"), file("a/b"), file("a/b")], PeerProtocolError),
        ([folder("a"), file("a/c"), file("a/b")], PeerProtocolError),
        ([folder("a"), file("a/c"), folder("a/d"), file("a/d/x"), file("a/c")], PeerProtocolError),
        (
            [folder("a"), folder("a/b"), file("a/b/x"), file("a/c"), file("a/b/y")],
            PeerProtocolError,
        ),
        ([file("a"), file("a/b")], PeerProtocolError),
        ([ManifestEntry(path="a", kind="link", target="b"), file("a/b")], PeerProtocolError),
        ([folder("a"), file("b"), file("a/b")], PeerProtocolError),
        ([file("a/b")], PeerProtocolError),
        ([folder("a"), file("b/c")], PeerProtocolError),
        ([folder("/".join("d" * n)) for n in range(1, 400)], PeerProtocolError),
        ([file("")], UnsafePath),
        ([file("..")], UnsafePath),
        ([folder("a"), file("a/..")], UnsafePath),
        ([folder("a"), file("a/.")], UnsafePath),
        ([folder("a"), file("a//b")], UnsafePath),
        ([folder("a"), file("a/")], UnsafePath),
        ([file("/etc/passwd")], UnsafePath),
        ([file("../evil")], UnsafePath),
        ([folder("a"), file("a/../../evil")], UnsafePath),
        ([file("a\0b")], UnsafePath),
        ([STREAM, file("b")], PeerProtocolError),
        ([file("b"), STREAM], PeerProtocolError),
        ([STREAM, STREAM._replace(path="b")], PeerProtocolError),
        ([TEXT, folder("b")], PeerProtocolError),
        ([TEXT._replace(path="a/b")], PeerProtocolError),
        ([STREAM._replace(path="..")], UnsafePath),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_no_tree(entries: list[ManifestEntry], error: type[Exception]) -> None:
    with pytest.raises(error):
        copied(manifest_of(entries))


@pytest.mark.parametrize("wrong", ["entries", "files", "size", "digest", "fewer"])
def test_does_not_add_up(wrong: str) -> None:
    manifest = manifest_of(TREE)
    said = {"entries": 7, "files": 4, "size": 14}
    said["entries"] -= wrong == "fewer"
    for key in ("files", "size"):
        said[key] -= wrong == key
    reader = ManifestReader(**said, digest="00" * 32 if wrong == "digest" else manifest.digest)
    if wrong == "entries":
        reader.add_untrusted(*manifest.page(0))
        with pytest.raises(PeerProtocolError):
            reader.add_untrusted(7, page("[]"))
        return
    with pytest.raises(PeerProtocolError):
        reader.add_untrusted(*manifest.page(0))


@pytest.mark.parametrize("key", ["files", "size"])
def test_less_than_was_said(key: str) -> None:
    manifest = manifest_of(TREE)
    said = {"entries": 7, "files": 4, "size": 14}
    said[key] += 1
    with pytest.raises(PeerProtocolError, match="add up"):
        ManifestReader(**said, digest=manifest.digest).add_untrusted(*manifest.page(0))


@pytest.mark.parametrize(
    "compressed",
    [
        b"",
        b"nonsense",
        page("[]")[:-1],
        page("[]") + b"x",
        page("[]"),
        page("{}"),
        page("[" * 100),
        page("\ufeff[]"),
        page("[1]"),
        page(b'[{"kind":"file","names":["\xff"],"sizes":[0]}]'),
        page('[{"kind":"file","names":["a"],"names":["b"],"sizes":[0]}]'),
        page('[{"kind":"file","names":["a"],"sizes":[0.5]}]'),
        page(b'[{"kind":"file","names":["a"],"sizes":[0]}]' + b" " * 48_000),
        page("[" + " " * 50_000_000 + "]"),
    ],
    ids=repr,
)
def test_no_page(compressed: bytes) -> None:
    reader = ManifestReader(entries=1, files=1, size=0, digest="00" * 32)
    tracemalloc.start()
    with pytest.raises(PeerProtocolError):
        reader.add_untrusted(0, compressed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_pages_out_of_order() -> None:
    for first in (0, 1, 10**6):
        reader = reader_of(MANY)
        reader.add_untrusted(*MANY.page(0))
        with pytest.raises(PeerProtocolError, match="disorder"):
            reader.add_untrusted(first, MANY.page(1)[1])


def test_too_much_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_MANIFEST_SIZE", len(MANY.page(0)[1]) + 200)
    reader = reader_of(MANY)
    reader.add_untrusted(*MANY.page(0))
    with pytest.raises(PeerProtocolError, match="too much"):
        reader.add_untrusted(*MANY.page(1))


def test_too_much_at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.manifest.outline.MAX_AT_TOP", 2)
    assert len(copied(manifest_of([file("a"), file("b")]))) == 2
    with pytest.raises(PeerProtocolError):
        copied(manifest_of([file("a"), file("b"), file("c")]))


def test_names_at_the_top_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcsend.manifest.outline.MAX_TOP_LENGTH", 10)
    inside = [folder("12345"), file("12345/" + "x" * 100), file("67890")]
    assert len(copied(manifest_of(inside))) == 3
    with pytest.raises(PeerProtocolError):
        copied(manifest_of([*inside, file("1")]))


def test_what_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [len(zlib.decompress(MANY.page(number)[1])) for number in range(MANY.pages)]
    monkeypatch.setattr(reading, "MAX_UNPACKED_SIZE", sum(sizes))
    copied(MANY)
    monkeypatch.setattr(reading, "MAX_UNPACKED_SIZE", sum(sizes) - 1)
    with pytest.raises(PeerProtocolError, match="too much"):
        copied(MANY)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_nothing_else_escapes(compressed: bytes, text: bytes) -> None:
    for data in (compressed, page(text)):
        reader = ManifestReader(entries=3, files=1, size=1, digest="00" * 32)
        with pytest.raises((PeerProtocolError, UnsafePath)):
            reader.add_untrusted(0, data)
