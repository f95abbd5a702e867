"""What is wanted, and the stream and digest that follow."""

import itertools

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.manifest.digest import ListDigest
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import Selection
from tests.manifest.test_manifest import TREE
from tests.manifest.trees import file, folder, manifest_of

MANIFEST = manifest_of(TREE)


def wanted(selection: Selection) -> list[ManifestEntry]:
    return [entry for group in selection.siblings() for entry in group.entries()]


def test_all() -> None:
    selection = Selection(MANIFEST)
    assert (selection.entries, selection.layout.files, selection.layout.size) == (7, 4, 14)
    assert list(selection.skipped()) == []
    assert wanted(selection) == TREE
    assert list(selection.wanted_files()) == [TREE[number] for number in (1, 3, 5, 6)]
    assert list(selection.wanted_files(2)) == TREE[5:]
    assert list(selection.wanted_files(4)) == []


def test_but_for_some() -> None:
    selection = Selection(MANIFEST, [(1, 2), (4, 6)])
    assert (selection.entries, selection.layout.files, selection.layout.size) == (4, 2, 2)
    assert list(selection.skipped()) == [(1, 2), (4, 6)]
    assert wanted(selection) == [TREE[number] for number in (0, 2, 3, 6)]
    assert list(selection.wanted_files(1)) == [TREE[6]]
    assert not selection.is_wanted(1)
    assert selection.is_wanted(2)


def test_nothing() -> None:
    selection = Selection(MANIFEST, [(0, 7)])
    assert (selection.entries, selection.layout.files) == (0, 0)
    assert wanted(selection) == list(selection.wanted_files()) == []


@given(st.sets(st.integers(0, 6)))
def test_ranges_say_it_all(numbers: set[int]) -> None:
    selection = Selection(MANIFEST, [(number, number + 1) for number in numbers])
    ranges = list(selection.skipped())
    assert {number for first, end in ranges for number in range(first, end)} == numbers
    assert all(end < first for (_, end), (first, _) in itertools.pairwise(ranges))
    assert Selection(MANIFEST, ranges) == selection
    assert (selection == Selection(MANIFEST)) == (not numbers)
    assert wanted(selection) == [TREE[number] for number in range(7) if number not in numbers]


@given(st.sets(st.integers(0, 29)))
def test_some_of_a_folder(numbers: set[int]) -> None:
    entries = [folder("a"), *(file(f"a/{number:02}", number) for number in range(29))]
    selection = Selection(manifest_of(entries), [(number, number + 1) for number in numbers])
    assert wanted(selection) == [entries[n] for n in range(30) if n not in numbers]
    assert selection.bytes == sum(entry.size for entry in wanted(selection))


def test_another_manifest_is_another_selection() -> None:
    assert Selection(MANIFEST) != Selection(manifest_of([file("a")]))


def test_the_digest_of_a_list() -> None:
    digest = ListDigest()
    assert digest.hexdigest() == blake3().hexdigest()
    digest.add("ab" * 32, "photos/a.jpg")
    digest.add("cd" * 32, "na\udcefve")
    lines = b"%s  photos/a.jpg\n%s  na\xefve\n" % (b"ab" * 32, b"cd" * 32)
    assert digest.hexdigest() == blake3(lines).hexdigest()
