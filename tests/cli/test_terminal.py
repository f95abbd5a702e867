import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.cli.terminal import can_redraw, escape, is_terminal, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("film.iso", "film.iso"),
        ("Ärger mit Köln, 日本.txt", "Ärger mit Köln, 日本.txt"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\x7f\x85\x9b31m", "\\x7f\\x85\\x9b31m"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("\u2066\u200e\u200b\ufeff\u061c", "\\u2066\\u200e\\u200b\\ufeff\\u061c"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("C:\\x1b", "C:\\x1b"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_escape_leaves_one_harmless_line(text: str) -> None:
    shown = escape(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert escape(shown) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("term", "possible"), [("xterm-256color", True), ("dumb", False), ("DUMB", False), ("", False)]
)
def test_can_redraw_looks_at_term(
    term: str, possible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert can_redraw(Terminal()) is possible
    assert can_redraw(io.StringIO()) is False


def test_is_terminal_survives_missing_and_closed_streams() -> None:
    closed = io.StringIO()
    closed.close()
    assert is_terminal(None) is False
    assert is_terminal(closed) is False


def test_say_survives_a_reader_that_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1, closefd=False) as stream:
        monkeypatch.setattr("sys.stderr", stream)
        say("nobody hears it")
        monkeypatch.undo()
        # What is left in the buffer must not be written again when the stream is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
    os.close(writing)
