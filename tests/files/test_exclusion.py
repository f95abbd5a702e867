"""Patterns: as git understands them, compared with git itself where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rtcsend.errors import UsageError
from rtcsend.files.exclusion import Patterns

PATHS = (
    *("a.o", "src/", "src/a.o", "src/a.c", "build/", "src/build/", "build.txt", "docs/", "docs/a"),
    *("docs/_build/", "x y", " lead", "é.o", "a/", "a/b/", "a/b/c/", "a/b/c/d.log", "keep.o", "#x"),
)
FILES = (
    ("*.o",),
    ("*.o", "!keep.o"),
    ("build/",),
    ("/build/",),
    ("docs/_build",),
    ("a/**/d.log",),
    ("**/c",),
    ("/*", "!/src"),
    ("src/*", "!src/a.c"),
    ("[ab].?",),
    ("\\#x",),
    ("", "# a remark", "  ", "x y", "/docs/a  "),
    ("!", "*.c"),
)


def kept(lines: tuple[str, ...]) -> set[str]:
    """Return what is left of PATHS, a folder before what is in it."""
    patterns = Patterns.of_ignore_file("\n".join(lines).encode(), prefix=0, above=None)
    left: set[str] = set()
    for path in sorted(PATHS):
        above = path.rstrip("/").rpartition("/")[0]
        if above and f"{above}/" in PATHS and f"{above}/" not in left:
            continue
        if not patterns.leaves_out(path.rstrip("/"), is_folder=path.endswith("/")):
            left.add(path)
    return {path.rstrip("/") for path in left}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git to compare with")
@pytest.mark.parametrize("lines", FILES)
def test_a_file_means_what_it_means_to_git(tmp_path: Path, lines: tuple[str, ...]) -> None:
    for path in PATHS:
        place = tmp_path / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    (tmp_path / ".gitignore").write_text("\n".join(lines))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    found = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin"],
        input="\0".join(path.rstrip("/") for path in PATHS).encode(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=False,
    )
    ignored = set(found.stdout.decode().split("\0")) - {""}
    assert {path.rstrip("/") for path in PATHS} - ignored == kept(lines)


def test_the_folder_below_has_the_last_word() -> None:
    above = Patterns.of_ignore_file(b"*.o\n", prefix=0, above=None)
    below = Patterns.of_ignore_file(b"!x.o\n/y\n", prefix=len("src/"), above=above)
    assert not below.leaves_out("src/x.o", is_folder=False)
    assert below.leaves_out("src/z.o", is_folder=False)
    assert below.leaves_out("src/y", is_folder=True)
    assert not above.leaves_out("src/y", is_folder=True)


def test_strange_lines_are_read_over() -> None:
    content = b"\xef\xbb\xbf*.o\r\n!\n\\\n\xff\xfe.c\n" + b"x" * 100
    patterns = Patterns.of_ignore_file(content, prefix=0, above=None)
    assert patterns.leaves_out("a.o", is_folder=False)
    assert patterns.leaves_out(b"\xff\xfe.c".decode("utf-8", "surrogateescape"), is_folder=False)


def test_the_patterns_of_the_user() -> None:
    assert Patterns.of_user([]) is None
    patterns = Patterns.of_user(["*.o", ".git/"])
    assert patterns is not None
    assert patterns.leaves_out("src/.git", is_folder=True)
    assert not patterns.leaves_out("src/.git", is_folder=False)
    with pytest.raises(UsageError, match="is not understood"):
        Patterns.of_user(["*.o", "!"])
