"""Where the entries of a proposal go: the same, however it is found out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.files import proposed_tree
from rtcsend.files.proposed_tree import PlacedSiblings, ProposedTree
from rtcsend.manifest.entry import ManifestEntry, path_bytes
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from tests.manifest.trees import manifest_of

NAMES = ("a", "A", "b ", "b", "c\x1b", "c_", "e\u0301", "\u00e9", "d", "D")
trees = st.sets(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join), min_size=1, max_size=25
)


def listed(paths: set[str]) -> Manifest:
    """Return a manifest of files, and of the folders that they are in."""
    parents = {path.rpartition("/")[0] for path in paths}
    folders = {parent[:at] for parent in parents for at in range(len(parent) + 1)}
    every = paths | {
        folder for folder in folders if folder and any(p.startswith(f"{folder}/") for p in paths)
    }
    ordered = sorted(every, key=lambda path: path_bytes(path).split(b"/"))
    inner = {path.rpartition("/")[0] for path in every}
    return manifest_of(
        ManifestEntry(path=path, kind="directory" if path in inner else "file") for path in ordered
    )


def places(siblings: list[PlacedSiblings]) -> list[tuple[str, tuple[str, ...]]]:
    found = [place for placed in siblings for place in placed.places()]
    return [(place.entry.path, place.components) for place in found]


@given(trees, st.booleans(), st.sets(st.integers(0, 40)))
def test_every_walk_comes_to_the_same_places(
    paths: set[str], folding: bool, skipped: set[int]
) -> None:
    manifest = listed(paths)
    tree = ProposedTree(manifest, windows=False, folding=folding, key=b"k" * 16)
    checked = places(list(tree.check_untrusted()))
    assert [path for path, _ in checked] == [entry.path for entry in manifest.entries()]
    assert places([placed for _, placed in tree.all_siblings()]) == checked
    assert len({components for _, components in checked}) == len(checked)
    numbers = [number for number in skipped if number < len(manifest)]
    selection = Selection(manifest, [(number, number + 1) for number in numbers])
    wanted = [place for at, place in enumerate(checked) if at not in skipped]
    assert places(list(tree.siblings(selection))) == wanted


@given(trees)
def test_who_is_called_so_keeps_his_name(paths: set[str]) -> None:
    tree = ProposedTree(listed(paths), windows=False, folding=False, key=b"k" * 16)
    for path, components in places(list(tree.check_untrusted())):
        if not set(path) & {" ", "\x1b", "\u0301"}:
            assert "/".join(components) == path


def test_more_names_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposed_tree, "_MAX_RENAMED", 3)
    manifest = listed({"a", "a/c\x1b", "a/c_", "a/e\u0301", "b"})
    tree = ProposedTree(manifest, windows=False, folding=False, key=b"k" * 16)
    checked = list(tree.check_untrusted())
    again = [placed for _, placed in tree.all_siblings()]
    assert places(again) == places(checked)
    assert len(again) == len(manifest)  # one by one
