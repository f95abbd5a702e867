"""Trees for tests: made from a plain description, and read back into one."""

import os
import stat
from pathlib import Path
from typing import Any

from blake3 import blake3

from rtcsend.blocks import block_digest
from rtcsend.files.proposed_tree import ProposedTree
from rtcsend.files.scan import ScanRules, scan_paths
from rtcsend.files.tree_sink import TreeSink
from rtcsend.files.tree_target import TreeTarget
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.options import Conflict

Tree = dict[str, bytes | None]
"""Contents by path, components between slashes; None is a folder, ``b"-> x"`` a link to x."""

MIXED: Tree = {
    "top": None,
    "top/a": b"1",
    "top/b": None,
    "top/b/empty": b"",
    "top/b/large": bytes(range(256)) * 10_001,
    "top/b/x": b"x" * 70_000,
    "top/b.txt": b"text",
    "top/empty": None,
    "top/link": b"-> b/x",
    "top/z": b"zz",
}


def make(folder: Path, tree: Tree) -> None:
    """Write a tree into a folder."""
    for path, content in tree.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            place.mkdir(exist_ok=True)
        elif content.startswith(b"-> "):
            place.unlink(missing_ok=True)
            place.symlink_to(content[3:].decode())
        else:
            place.write_bytes(content)


def read(folder: Path) -> Tree:
    """Return what is in a folder, hidden things too."""
    found: Tree = {}
    for place in sorted(folder.rglob("*")):
        mode = place.lstat().st_mode
        path = place.relative_to(folder).as_posix()
        if stat.S_ISLNK(mode):
            found[path] = b"-> " + os.fsencode(place.readlink())
        else:
            found[path] = None if stat.S_ISDIR(mode) else place.read_bytes()
    return found


def is_file(content: bytes | None) -> bool:
    return content is not None and not content.startswith(b"-> ")


def stream(tree: Tree) -> bytes:
    """Return the contents of a tree in the order of its manifest."""
    return b"".join(content for _path, content in files(tree) if content)


def files(tree: Tree) -> list[tuple[str, bytes]]:
    """Return the files in the order of the manifest."""
    ordered = sorted(tree.items(), key=lambda item: os.fsencode(item[0]).split(b"/"))
    return [
        (path, content) for path, content in ordered if content is not None and is_file(content)
    ]


def digest(tree: Tree) -> str:
    """Return the digest of a tree with more than a file."""
    lines = (f"{blake3(content).hexdigest()}  {path}\n" for path, content in files(tree))
    return blake3(os.fsencode("".join(lines))).hexdigest()


def manifest_of(folder: Path, *names: str) -> Manifest:
    """Return the manifest of things in a folder."""
    return scan_paths([folder / name for name in names], ScanRules()).manifest


def target(folder: Path, manifest: Manifest, **changes: Any) -> TreeTarget:
    """Return a target for all of a manifest, checked."""
    tree = ProposedTree(manifest, windows=False, folding=False, key=b"k" * 16)
    for _ in tree.check_untrusted():
        pass
    skipped = changes.pop("skipped", ())
    return TreeTarget(
        folder=folder,
        tree=tree,
        selection=Selection(manifest, skipped),
        **{"names": {}, "conflict": Conflict.ASK, **changes},
    )


async def deliver(sink: TreeSink, content: bytes, *, stop: int | None = None, cut: int = 0) -> int:
    """Write a stream as a sender would that skips what is there; return what had to travel.

    Args:
        sink: Where it goes.
        content: The stream.
        stop: Where to end before the end.
        cut: Bytes of a write, at most; 0 for blocks.
    """
    layout = sink.selection.layout
    there: dict[int, bytes] = {}
    if sink.blocks:
        async for first, digests in sink.survey(layout.next_block(sink.written)):
            for number in range(len(digests) // 32):
                there[first + number] = digests[number * 32 : number * 32 + 32]
    end = len(content) if stop is None else stop
    position, moved = sink.written, 0
    while position < end:
        block = layout.block_at(position)
        last = layout.block_end(block)
        if layout.is_boundary(position) and there.get(block) == block_digest(
            content[position:last]
        ):
            await sink.keep(last)
        else:
            last = min(last, end, position + cut if cut else last)
            await sink.write(content[position:last])
            moved += last - position
        position = last
    return moved
