import dataclasses

import pytest
from rich.cells import cell_len

from rtcsend.cli import proposal_view
from rtcsend.cli.proposal_view import count, describe, describe_fully, proposal_name
from rtcsend.events import Entry, Proposal
from rtcsend.options import Conflict
from tests.cli.fake_engine import HOSTILE_NAME, proposal


def entry(path: str, size: int = 0, *odd: str) -> Entry:
    return Entry(path=path, kind="file", bytes=size, odd=odd)


def folder(path: str) -> Entry:
    return Entry(path=path, kind="directory", bytes=0)


PHOTOS = Proposal(
    files=1234,
    bytes=4_400_000_000,
    entries=(
        folder("photos"),
        folder("photos/2024"),
        entry("photos/2024/beach.jpg", 3_100_000),
        entry("photos/2024/_run.sh", 2000, "renamed", "executable"),
        Entry(path="photos/latest", kind="link", bytes=0, odd=("to", "2024/beach.jpg")),
        *(entry(f"photos/{number}") for number in range(95)),
    ),
    sender="ada-laptop",
    tops=("photos",),
    directories=2,
    links=1,
    executables=1,
    renamed=1,
    existing=12,
    existing_paths=tuple(f"photos/{number}" for number in range(10)),
)


def test_one_file() -> None:
    assert describe(proposal()) == "film.iso  4.4 GB  from ada-laptop"
    assert describe_fully(proposal()) == describe(proposal())
    assert describe(proposal(sender="")) == "film.iso  4.4 GB"
    assert len(describe(proposal(sender="x" * 1000))) < 100


def test_names() -> None:
    several = Proposal(
        files=2, bytes=2, entries=(entry("a"), entry("b")), sender="", tops=("a", "b")
    )
    assert proposal_name(several) == "2 files"
    assert proposal_name(PHOTOS) == "photos"
    assert (count(0, "file"), count(1, "file"), count(1000, "file")) == (
        "0 files",
        "1 file",
        "1,000 files",
    )


def test_a_tree() -> None:
    assert describe_fully(PHOTOS).splitlines() == [
        "photos  1,234 files  4.4 GB  from ada-laptop",
        "  photos/",
        "    2024/",
        "      beach.jpg  3.1 MB",
        "      _run.sh  2.0 kB  (name made safe, program)",
        "    latest -> 2024/beach.jpg",
        *(f"    {number}  0 B" for number in range(7)),
        "  … and 1,225 more",
        "Look twice: 1 program, 1 link, 1 name made safe.",
        "12 files and links are here already: photos/0, photos/1, photos/2, …",
    ]


@pytest.mark.parametrize(
    ("conflict", "fate"),
    [
        (Conflict.ASK, "are here already"),
        (Conflict.OVERWRITE, "here will be replaced"),
        (Conflict.SKIP, "here will be skipped"),
    ],
)
def test_what_becomes_of_what_is_here(conflict: Conflict, fate: str) -> None:
    *_, last = describe_fully(PHOTOS, conflict=conflict).splitlines()
    assert last.startswith(f"12 files and links {fate}: photos/0")
    assert len(last) < 80


def test_what_is_odd_is_shown_though_the_tree_is_longer() -> None:
    """Whoever hides a program behind many files does not hide it."""
    odd = (
        Entry(path="x/away", kind="link", bytes=0, odd=("to", "a\x1b[2J")),
        entry("x/setup.exe", 20_000, "executable"),
        *(entry(f"x/late/{number}", 0, "renamed") for number in range(9)),
    )
    plain = tuple(entry(f"x/{number}") for number in range(40))
    hidden = dataclasses.replace(PHOTOS, entries=(*plain, *odd), existing=0, existing_paths=())
    assert describe_fully(hidden).splitlines()[-4:] == [
        "Look twice: 1 program, 1 link, 1 name made safe.",
        "  x/setup.exe  20.0 kB  (program)",
        "  x/away -> a\\x1b[2J",
        "  x/late/0  0 B  (name made safe)",
    ]


def test_what_lies_deep_is_seen_to_lie_in_its_folder() -> None:
    path = "a/b/c/d/e/f"
    folders = [path[: 2 * depth + 1] for depth in range(6)]
    entries = (*map(folder, folders), folder(f"{path}/g"), entry(f"{path}/g/h.txt", 3))
    deep = dataclasses.replace(PHOTOS, entries=entries, tops=("a",), existing=0)
    lines = describe_fully(deep).splitlines()
    assert lines[1:9] == [
        *("  " * (depth + 1) + f"{name}/" for depth, name in enumerate("abcdef")),
        "            …/f/g/",
        "            …/g/h.txt  3 B",
    ]


def test_an_empty_folder() -> None:
    empty = Proposal(
        files=0, bytes=0, entries=(folder("x"),), sender="", tops=("x",), directories=1
    )
    assert describe_fully(empty).splitlines() == ["x  0 files  0 B", "  x/"]


@pytest.mark.parametrize("name", [HOSTILE_NAME, "\u4e2d" * 200, "x" * 4000, "\udcff"])
def test_no_line_is_longer_than_the_terminal_and_none_does_harm(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    hostile = Proposal(
        files=2,
        bytes=1,
        entries=(
            entry("/".join(["d"] * 50 + [name]), 1),
            Entry(path=f"a/{name}", kind="link", bytes=0, odd=("to", name)),
        ),
        sender="",
        tops=("d", "a"),
        existing=4,
        existing_paths=(name,) * 4,
    )
    first, *lines = describe_fully(hostile).splitlines()
    assert first == "2 files  1 B"
    assert len(lines) == 3
    for line in lines:
        assert cell_len(line) < 80
        assert line.isprintable()


def test_it_is_cut_where_a_person_stops_reading() -> None:
    assert proposal_view.MAX_LINES + 5 < 25  # lines of a terminal
