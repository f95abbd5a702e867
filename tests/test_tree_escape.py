"""Whatever a sender proposes, and whatever is in the folder: nothing lands outside of it."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtcsend.errors import RtcsendError
from rtcsend.manifest.digest import ListDigest
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.options import Conflict, ReceiveOptions
from rtcsend.target import Target
from rtcsend.transfer.ports import Offer
from tests.files.trees import Tree, make, read
from tests.manifest.trees import reader_of
from tests.test_target import FakeQuestions

CONTENT = b"from outside"
NAMES = st.sampled_from(["a", "b", "A", "..", ".", "", "/etc", "a\0", "b ", "a.", "\udcff", "C:"])
TARGETS = st.sampled_from(["..", "../..", "../../outside", "/", "a", "b/a", "../b", "a/../..", "."])
ENTRIES = st.builds(
    lambda names, kind, target: ManifestEntry(
        path="/".join(names),
        kind=kind,
        size=len(CONTENT) if kind == "file" else 0,
        target=target if kind == "link" else "",
        mode=0o7777 & 0o777,
    ),
    st.lists(NAMES, min_size=1, max_size=4),
    st.sampled_from(["file", "directory", "link"]),
    TARGETS,
)
THERE = st.dictionaries(
    st.sampled_from(["a", "b", "a/b", "a/a", "b/b"]),
    st.sampled_from([None, b"mine", b"-> ../outside", b"-> ../outside/precious", b"-> .."]),
    max_size=3,
)
OUTSIDE: Tree = {"precious": b"precious", "folder": None}


@given(
    entries=st.lists(ENTRIES, min_size=1, max_size=8),
    there=THERE,
    conflict=st.sampled_from([Conflict.OVERWRITE, Conflict.RENAME, Conflict.SKIP]),
)
@example(
    entries=[
        ManifestEntry(path="a", kind="directory"),
        ManifestEntry(path="a/a", kind="link", target="."),
        ManifestEntry(path="a/a/b", kind="file", size=len(CONTENT)),
        ManifestEntry(path="b", kind="file", size=len(CONTENT)),
    ],
    there={"a": b"-> ../outside"},
    conflict=Conflict.OVERWRITE,
)
@example(
    entries=[
        ManifestEntry(path="a", kind="directory"),
        ManifestEntry(path="a/b", kind="directory"),
        ManifestEntry(path="a/b/folder", kind="file", size=len(CONTENT)),
    ],
    there={"a": None, "a/b": b"-> ../../outside"},
    conflict=Conflict.OVERWRITE,
)
@settings(max_examples=60, deadline=None)
def test_nothing_lands_outside(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[ManifestEntry],
    there: Tree,
    conflict: Conflict,
) -> None:
    top = tmp_path_factory.mktemp("top")
    into = top / "into"
    into.mkdir()
    make(top, {f"outside/{path}": content for path, content in OUTSIDE.items()})
    with suppress(OSError):  # some of them cannot be together
        make(into, there)
    manifest = Manifest()
    for entry in entries:
        manifest.add(entry)
    manifest.close()
    before = without(read(top), "into/")

    with suppress(RtcsendError):
        asyncio.run(receive(into, arrived(manifest), conflict))
    assert without(read(top), "into/") == before


def arrived(manifest: Manifest) -> Manifest:
    """Return what a receiver has of it."""
    reader = reader_of(manifest)
    for number in range(manifest.pages):
        reader.add_untrusted(*manifest.page(number))
    return reader.manifest


def without(tree: Tree, prefix: str) -> Tree:
    return {path: content for path, content in tree.items() if not path.startswith(prefix)}


async def receive(into: Path, manifest: Manifest, conflict: Conflict) -> None:
    """Receive all that is wanted of a manifest, as a sender would send it."""
    options = ReceiveOptions(code="7-guitar-velvet", output=into, conflict=conflict)
    async with Target(options, questions=FakeQuestions(), emit=lambda _event: None) as target:
        sink = await target.decide(Offer(sender="", manifest=manifest))
        if sink is None:
            return
        digest = ListDigest()
        for entry in sink.selection.wanted_files():
            await sink.write(CONTENT)
            digest.add(blake3(CONTENT).hexdigest(), entry.path)
        is_one = manifest.is_one_file
        await sink.finish(blake3(CONTENT).hexdigest() if is_one else digest.hexdigest())
