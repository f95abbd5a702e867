"""Questions that need no terminal; those that do are in test_receive.py and test_send.py."""

import asyncio
import io
import threading

import pytest

from rtcsend.cli import questions
from rtcsend.cli.questions import ScriptQuestions, TerminalQuestions
from rtcsend.options import Conflict
from tests.cli.fake_engine import HOSTILE_NAME, proposal

SHOWN = r"\x1b]0;owned\x07\x9b31mfi\u202egpj.exe\r\n[red]x[/red]"


async def test_script_answers_by_options() -> None:
    told: list[str] = []
    script = ScriptQuestions(tell=told.append)
    assert await script.accept(proposal(HOSTILE_NAME)) is True
    assert await script.conflict(HOSTILE_NAME) is Conflict.ASK
    assert await script.verification_matches("tennis\x1b") is False
    assert told == [
        f"{SHOWN}  4.4 GB  from ada-laptop",
        f"{SHOWN} exists.",
        "Verification: tennis\\x1b",
    ]


@pytest.fixture
def by_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as on Windows, where the loop cannot watch standard input."""
    monkeypatch.setattr(questions, "_read_line", questions._read_by_thread)


@pytest.mark.usefixtures("by_thread")
@pytest.mark.parametrize(
    ("typed", "accepted"), [("y\n", True), ("\n", True), ("n\n", False), ("", False)]
)
async def test_reading_by_a_thread(
    typed: str, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    said: list[str] = []
    asking = TerminalQuestions(hold=lambda: said.append("hold"), go_on=lambda: said.append("on"))
    assert await asking.accept(proposal()) is accepted
    assert said == ["hold", "on"]


@pytest.mark.usefixtures("by_thread")
async def test_a_thread_that_still_reads_keeps_nothing_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = threading.Event()

    class Stdin:
        def readline(self, size: int) -> str:
            typed.wait(90)
            return "y\n"[:size]

        def fileno(self) -> int:
            raise OSError("no file")

    monkeypatch.setattr("sys.stdin", Stdin())
    asking = TerminalQuestions(hold=lambda: None, go_on=lambda: None)
    question = asyncio.create_task(asking.accept(proposal()))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    typed.set()
