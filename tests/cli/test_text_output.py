import os
from collections.abc import Iterator

import pytest

from rtcsend.cli import text_output
from rtcsend.cli.text_output import harmless, text_shower
from rtcsend.errors import CannotWrite

HOSTILE = "\x1b]0;owned\x07red\x1b[31m\x9b\r\u202egpj.exe\x7f\u2028\n"


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Reading end, and the writing end, which is standard output; a test may close the first."""
    reading, writing = os.pipe()
    monkeypatch.setattr(text_output, "_FD", writing)
    yield reading, writing
    os.close(writing)
    try:
        os.close(reading)
    except OSError:
        return


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", "hello\n"),
        ("hello\n", "hello\n"),
        ("one\ntwo\n\n", "one\ntwo\n\n"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("a\tb", "a\tb\n"),
        ("grün 🎸 ש", "grün 🎸 ש\n"),
        ("over\rwritten", "over\\x0dwritten\n".replace("\\x0d", "\\r")),
        (HOSTILE, None),
    ],
)
def test_harmless(text: str, shown: str | None) -> None:
    found = harmless(text)
    assert shown in (None, found)
    assert found.endswith("\n")
    assert all(char.isprintable() or char in "\n\t" for char in found)


@pytest.mark.parametrize("text", ["hello", "hello\n", HOSTILE, "x" * 65_536])
async def test_a_pipe_gets_the_very_bytes(text: str, pipe: tuple[int, int]) -> None:
    cleared = []
    await text_shower(lambda: cleared.append(True))(text)
    assert os.read(pipe[0], 100_000) == text.encode()
    assert cleared == [True]


async def test_a_terminal_gets_what_is_harmless(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_output, "is_terminal", lambda _stream: True)
    await text_shower(lambda: None)(HOSTILE)
    assert os.read(pipe[0], 100_000) == harmless(HOSTILE).encode()


async def test_nobody_reads(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(CannotWrite, match="The text cannot be written"):
        await text_shower(lambda: None)("hello")
