import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rtcsend.cli.sendable import Sendable, check_sendable
from rtcsend.errors import CannotRead, RtcsendError, UsageError
from rtcsend.options import STDIN

CODE_FILE = Path("code.txt")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.iso").touch()
    (tmp_path / "notes.md").touch()
    os.mkfifo(tmp_path / "fifo")


def check(
    *paths: str, text: str | None = None, name: str | None = None, code_file: Path | None = None
) -> Sendable:
    return check_sendable(list(paths), text=text, name=name, code_file=code_file)


@pytest.mark.parametrize(
    ("sendable", "paths", "text", "label"),
    [
        (lambda: check("film.iso"), ["film.iso"], None, "film.iso"),
        (lambda: check("film.iso", "notes.md"), ["film.iso", "notes.md"], None, "film.iso and 1"),
        (lambda: check("-"), ["-"], None, "standard input"),
        (lambda: check("-", name="x.tar"), ["-"], None, "x.tar"),
        (lambda: check("-", code_file=CODE_FILE), ["-"], None, "standard input"),
        (lambda: check("fifo"), ["fifo"], None, "fifo"),
        (lambda: check("fifo", name="x.tar"), ["fifo"], None, "x.tar"),
        (lambda: check(text="hi"), [], "hi", "a text message"),
        (lambda: check(text="-", name="note"), [], "-", "a text message"),
    ],
)
def test_what_can_be_sent(
    sendable: Callable[[], Sendable], paths: list[str], text: str | None, label: str
) -> None:
    found = sendable()
    assert found.paths == tuple(map(Path, paths))
    assert found.text == text
    assert found.label.startswith(label)
    assert found.is_stdin == (found.paths == (STDIN,))


@pytest.mark.parametrize(
    ("sendable", "error", "message"),
    [
        (check, UsageError, "nothing to send"),
        (lambda: check("-", "film.iso"), UsageError, "goes alone"),
        (lambda: check("-", "-"), UsageError, "goes alone"),
        (lambda: check("-", code_file=STDIN), UsageError, "cannot be both"),
        (lambda: check("film.iso", text="hi"), UsageError, "exclude each other"),
        (lambda: check("-", text="hi"), UsageError, "exclude each other"),
        (lambda: check("film.iso", name="b"), UsageError, "--name is for"),
        (lambda: check("fifo", "film.iso", name="b"), UsageError, "--name is for"),
        *(
            (partial(check, "-", name=name), UsageError, "cannot be a name")
            for name in ("", ".", "..", "a/b", "/", "a\0b", "x" * 256)
        ),
        (lambda: check(""), UsageError, "is empty"),
        (lambda: check("film.iso", ""), UsageError, "is empty"),
        (lambda: check("none"), CannotRead, "There is no file none"),
        (lambda: check("film.iso/x"), CannotRead, "Not a directory"),
    ],
)
def test_what_cannot(
    sendable: Callable[[], Sendable], error: type[RtcsendError], message: str
) -> None:
    with pytest.raises(error, match=message):
        sendable()


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CannotRead, match="no standard input"):
        check("-")
